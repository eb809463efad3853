//! What the server serves: a page of the feed, and the checker that lets entries be served.
//!
//! Which entries a page holds and where its cursor goes on is the core's `paging`; up to where a feed may be served is its
//! `numbering`. The checker's worker is played: it merges what it is given and withholds what was planted as bad.

use crate::{
    guard::Guard,
    server::{Carrier, Disk, Row, Server, State, Stored},
};
use automerge::Automerge;
use kieumau_core::{
    document::{self, Actor, Change, Key, Kind},
    hash::Sha256,
    id::{DocumentId, PersonId, UnitId},
    log::{
        numbering::{self, Entry},
        paging::{self, Cursor, Delivery, Limits, Position, Scanned, Start},
    },
    patrol::PatrolLog,
    person::Role,
    wire::{After, Pulled, WireKey},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// Who reads.
#[derive(Clone, Debug)]
pub struct Reader {
    pub carrier: Carrier,
    pub role: Role,
}

impl Disk {
    /// Whether this reader may read a document now.
    pub fn may_read(&self, reader: &Reader, id: DocumentId) -> bool {
        let Some(stored) = self.documents.get(&id) else {
            return false;
        };
        let carrier = &reader.carrier;
        stored.key.unit == carrier.unit
            && (reader.role.reads_the_unit()
                || stored.key.kind != Kind::PatrolLog
                || stored.readers.contains(&carrier.person))
    }
}

impl Server {
    /// One answer's worth of what comes after a cursor, as it travels.
    pub fn page(&self, reader: &Reader, after: &After, limits: Limits) -> Vec<u8> {
        let unit = reader.carrier.unit;
        let end = match self.off {
            Some(Guard::CheckedThrough) => self.disk.last.get(&unit).copied().unwrap_or(0),
            _ => self.disk.checked_through.get(&unit).copied().unwrap_or(0),
        };
        let own = after.opening.map(|opening| {
            let phone = reader.carrier.phone;
            hex::encode(Actor { phone, opening }.to_bytes()).into_bytes()
        });
        let mut answer = Answer {
            disk: &self.disk,
            own,
            bytes: Vec::new(),
        };
        let readable = |id| {
            self.off == Some(Guard::Rights) && self.disk.documents.contains_key(&id)
                || self.disk.may_read(reader, id)
        };
        let cursor = Cursor::parse(&after.cursor);
        let (number, listed) = match paging::start(cursor.as_ref(), self.epoch, unit, end) {
            Start::Documents { after, number } => {
                let of_unit = self.disk.documents.iter().filter(|(id, stored)| {
                    **id > after && (stored.key.unit == unit || self.off == Some(Guard::Rights))
                });
                let rows = of_unit.map(|(id, stored)| (*id, stored.size_bytes));
                let rows: Vec<(DocumentId, i64)> = rows.take(limits.entries).collect();
                let listing = paging::listing(&rows, readable, limits);
                for id in listing.documents {
                    answer.put(id, None);
                }
                (number, listing.through)
            }
            Start::Entries { after } => {
                let rows = self.scanned(unit, (after, end), limits.entries);
                let who = (reader.carrier.person, unit);
                let page = paging::page(&rows, (after, end), who, readable, limits);
                for delivery in page.deliveries {
                    match delivery {
                        Delivery::Whole(id) => answer.put(id, None),
                        Delivery::Changes(id, hashes) => answer.put(id, Some(&hashes)),
                        Delivery::Ungrant(id) => answer.push(&Pulled::Ungrant(id, who.0)),
                    }
                }
                (page.through, None)
            }
        };
        let more = listed.is_some() || number < end;
        let position = Position {
            unit,
            number,
            listed,
        };
        let cursor = Cursor {
            epoch: self.epoch,
            feeds: vec![position],
        };
        answer.push(&Pulled::Cursor(cursor.to_text(), more));
        answer.bytes
    }

    fn scanned(&self, unit: UnitId, (after, end): (i64, i64), limit: usize) -> Vec<Scanned> {
        let entries = self.disk.entries.get(&unit).into_iter().flatten();
        let entries = entries.filter(|(number, _)| (after + 1..=end).contains(number));
        let scanned = entries.map(|(number, entry)| Scanned {
            number: *number,
            entry: *entry,
            size_bytes: match entry {
                Entry::Change(id, hash) => {
                    let row = self.disk.row(*id, *hash);
                    row.map_or(0, |row| row.bytes.len() as i64)
                }
                other => {
                    let stored = self.disk.documents.get(&other.document());
                    stored.map_or(0, |stored| stored.size_bytes)
                }
            },
        });
        scanned.take(limit).collect()
    }
}

/// A page being written.
struct Answer<'a> {
    disk: &'a Disk,
    /// The actor of the asking phone's present opening: it is not sent what it wrote in it.
    own: Option<Vec<u8>>,
    bytes: Vec<u8>,
}

impl Answer<'_> {
    fn push(&mut self, item: &Pulled) {
        minicbor::encode(item, &mut self.bytes).expect("writing to memory does not fail");
    }

    /// A document's checked changes (only `only` if given) and their seals; no name if nothing follows it.
    fn put(&mut self, id: DocumentId, only: Option<&BTreeSet<Sha256>>) {
        let Some(stored) = self.disk.documents.get(&id) else {
            return;
        };
        let wanted = |hash: &Sha256| only.is_none_or(|only| only.contains(hash));
        let own = |actor: &Vec<u8>| self.own.as_ref() == Some(actor);
        let rows = stored.rows.iter();
        let mut rows: Vec<_> = rows
            .filter(|(hash, row)| {
                row.state == State::Checked && wanted(hash) && !own(&row.candidate.actor)
            })
            .map(|(_, row)| row)
            .collect();
        rows.sort_by_key(|row| row.number);
        let seals = stored.seals.iter().filter(|seal| {
            let row = stored.rows.get(&seal.change);
            let served = |row: &Row| row.state == State::Checked && !own(&row.candidate.actor);
            wanted(&seal.change) && row.is_some_and(served)
        });
        let mut items: Vec<Pulled> = Vec::new();
        items.extend(
            rows.into_iter()
                .map(|row| Pulled::Change(row.bytes.to_vec())),
        );
        items.extend(seals.map(|seal| Pulled::Seal(*seal)));
        if !items.is_empty() {
            self.push(&Pulled::Document(WireKey::from(&stored.key)));
            items.iter().for_each(|item| self.push(item));
        }
    }
}

/// Documents as they were read to be checked: what was not checked of each, in the order of numbers.
pub type Looked = BTreeMap<DocumentId, Vec<Sha256>>;

/// The checker: what it keeps in memory between two looks.
#[derive(Default)]
pub struct Checker {
    documents: BTreeMap<DocumentId, Automerge>,
    /// Changes that it lets not pass.
    pub poisoned: BTreeSet<Sha256>,
}

impl Checker {
    /// The process is gone, and what was in memory with it.
    pub fn die(&mut self) {
        self.documents.clear();
    }

    /// What waits to be checked.
    pub fn look(disk: &Disk) -> Looked {
        let unchecked = disk.documents.iter();
        let unchecked = unchecked.filter(|(_, stored)| stored.unchecked_from.is_some());
        unchecked.map(|(id, stored)| (*id, fresh(stored))).collect()
    }

    /// What the disk is when these are checked.
    pub fn settle(&mut self, disk: &Disk, looked: &Looked, off: Option<Guard>) -> Disk {
        let mut next = disk.clone();
        let mut units = BTreeSet::new();
        for (id, hashes) in looked {
            let Some(mut stored) = next.documents.remove(id) else {
                continue;
            };
            units.insert(stored.key.unit);
            let document = Rc::make_mut(&mut stored);
            let readers = self.check(document, hashes);
            if off != Some(Guard::Grants) {
                let mut feeds = next.hold([document.key.unit]);
                for entry in rights(*id, &document.readers, &readers) {
                    feeds
                        .append(document.key.unit, entry)
                        .expect("the feed is held");
                }
                next.number(feeds);
            }
            document.readers = readers;
            next.documents.insert(*id, stored);
        }
        for unit in units {
            let last = next.last.get(&unit).copied().unwrap_or(0);
            let of_unit = next.documents.values();
            let of_unit = of_unit.filter(|stored| stored.key.unit == unit);
            let first = of_unit.filter_map(|stored| stored.unchecked_from).min();
            let through = numbering::checked_through(last, first);
            next.checked_through.insert(unit, through);
        }
        next
    }

    /// Gives each its verdict; who may read the document because of what passed.
    fn check(&mut self, stored: &mut Stored, fresh: &[Sha256]) -> BTreeSet<PersonId> {
        let id = stored.key.document();
        let mut document = match self.documents.remove(&id) {
            Some(document) => document,
            None => load(stored),
        };
        for hash in fresh {
            let row = stored.rows.get_mut(hash).expect("it was looked at");
            // Another look was faster.
            if row.state != State::Accepted {
                continue;
            }
            let whole = row.candidate.deps.iter();
            let whole = whole.map(|dep| (*dep).into());
            let whole = whole
                .into_iter()
                .all(|dep| document.get_change_meta_by_hash(&dep).is_some());
            if self.poisoned.contains(hash) || !whole {
                row.state = State::Withheld;
                continue;
            }
            let change = Change {
                hash: *hash,
                bytes: row.bytes.to_vec(),
            };
            document::merge(&mut document, vec![&change]).expect("phones write changes");
            row.state = State::Checked;
        }
        let unchecked = stored.rows.values();
        let unchecked = unchecked.filter(|row| row.state == State::Accepted);
        stored.unchecked_from = unchecked.filter_map(|row| row.number).min();
        let readers = readers(&stored.key, &document);
        self.documents.insert(id, document);
        readers
    }
}

fn fresh(stored: &Stored) -> Vec<Sha256> {
    let rows = stored.rows.iter();
    let mut fresh: Vec<_> = rows
        .filter(|(_, row)| row.state == State::Accepted)
        .map(|(hash, row)| (row.number, *hash))
        .collect();
    fresh.sort_unstable();
    fresh.into_iter().map(|(_, hash)| hash).collect()
}

fn load(stored: &Stored) -> Automerge {
    let rows = stored.rows.values();
    let checked = rows.filter(|row| row.state == State::Checked);
    document::load(&stored.key, checked.map(|row| row.bytes.as_slice()))
        .expect("what passed is whole")
}

fn readers(key: &Key, document: &Automerge) -> BTreeSet<PersonId> {
    match key.kind {
        Kind::PatrolLog => document::read::<PatrolLog>(document)
            .expect("is of its kind")
            .readers(),
        _ => BTreeSet::new(),
    }
}

/// The entries that say who came and who went.
fn rights(id: DocumentId, before: &BTreeSet<PersonId>, after: &BTreeSet<PersonId>) -> Vec<Entry> {
    let came = after
        .difference(before)
        .map(|person| Entry::Grant(id, *person));
    let went = before
        .difference(after)
        .map(|person| Entry::Ungrant(id, *person));
    came.chain(went).collect()
}
