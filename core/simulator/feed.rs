//! What the server serves: a page of the feed, documents by their ids, and what differs.
//!
//! Which entries a page holds and where its cursor goes on is the core's `paging`, what differs its `compare`.

use crate::{
    guard::Guard,
    server::Server,
    stored::{Disk, Reader, Row, State},
};
use kieumau_core::{
    document::Actor,
    hash::Sha256,
    id::{DocumentId, UnitId},
    log::{
        compare::{self, Held},
        numbering::Entry,
        paging::{self, Cursor, Delivery, Limits, Position, Scanned, Start},
    },
    wire::{After, Compare, Compared, Fetch, Pulled, WireKey},
};
use std::collections::{BTreeMap, BTreeSet};

impl Server {
    /// Up to where a unit's feed is served.
    fn end(&self, unit: UnitId) -> i64 {
        let ends = match self.off {
            Some(Guard::CheckedThrough) => &self.disk.last,
            _ => &self.disk.checked_through,
        };
        ends.get(&unit).copied().unwrap_or(0)
    }

    /// One answer's worth of what comes after a cursor, as it travels.
    pub fn page(&self, reader: &Reader, after: &After, limits: Limits) -> Vec<u8> {
        let (unit, epoch) = (reader.unit, self.disk.epoch);
        let end = self.end(unit);
        let own = after.opening.map(|opening| {
            let phone = reader.phone;
            hex::encode(Actor { phone, opening }.to_bytes()).into_bytes()
        });
        let mut answer = self.answer(own, after.snapshots);
        let readable = |id| self.disk.may_read(reader, id, self.off);
        let cursor = Cursor::parse(&after.cursor);
        let (number, listed) = match paging::start(cursor.as_ref(), epoch, unit, end) {
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
                let who = (reader.person, unit);
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
            Start::Anew => {
                answer.push(&Pulled::Cursor(Cursor::anew(epoch).to_text(), true));
                return answer.bytes;
            }
        };
        let more = listed.is_some() || number < end;
        let cursor = cursor_at(self.disk.epoch, unit, number, listed);
        answer.push(&Pulled::Cursor(cursor, more));
        answer.bytes
    }

    /// Documents that a phone names, whole; also what it wrote itself.
    pub fn fetch(&self, reader: &Reader, fetch: &Fetch, limits: Limits) -> Vec<u8> {
        let ids: BTreeSet<DocumentId> = fetch.documents.iter().copied().collect();
        let readable = ids.iter().filter_map(|id| {
            let may = self.disk.may_read(reader, *id, None);
            Some((*id, self.disk.documents.get(id).filter(|_| may)?.size_bytes))
        });
        let rows: Vec<(DocumentId, i64)> = readable.collect();
        let limits = Limits {
            entries: usize::MAX,
            ..limits
        };
        let listing = paging::listing(&rows, |_| true, limits);
        let mut answer = self.answer(None, !fetch.singly);
        for id in &listing.documents {
            answer.put(*id, None);
        }
        let through = listing.through.or(listing.documents.last().copied());
        let through = through.map_or_else(String::new, |id| id.to_string());
        answer.push(&Pulled::Cursor(through, listing.through.is_some()));
        answer.bytes
    }

    /// What differs from what a phone names.
    pub fn compare(&self, reader: &Reader, told: &Compare) -> Compared {
        let named = compare::unpack(&told.documents).expect("phones name documents");
        let of_unit = self.disk.documents.iter();
        let of_unit = of_unit.filter(|(_, stored)| stored.key.unit == reader.unit);
        let texts: BTreeMap<DocumentId, (String, String)> = of_unit
            .map(|(id, stored)| (*id, (stored.heads(), stored.checked_heads())))
            .filter(|(_, (heads, _))| !heads.is_empty())
            .collect();
        let held = texts.iter().map(|(id, (heads, checked_heads))| Held {
            document: *id,
            heads,
            checked_heads,
            readable: !named.contains_key(id) && self.disk.may_read(reader, *id, None),
        });
        Compared {
            differing: compare::differing(&named, held).into_iter().collect(),
            cursor: cursor_at(self.disk.epoch, reader.unit, self.end(reader.unit), None),
        }
    }

    const fn answer(&self, own: Option<Vec<u8>>, snapshots: bool) -> Answer<'_> {
        Answer {
            disk: &self.disk,
            own,
            snapshots,
            bytes: Vec::new(),
            off: self.off,
        }
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

fn cursor_at(
    epoch: kieumau_core::log::head::Epoch,
    unit: UnitId,
    number: i64,
    listed: Option<DocumentId>,
) -> String {
    let position = Position {
        unit,
        number,
        listed,
    };
    let feeds = vec![position];
    Cursor { epoch, feeds }.to_text()
}

/// A page being written.
struct Answer<'a> {
    disk: &'a Disk,
    /// The actor of the asking phone's present opening: it is not sent what it wrote in it.
    own: Option<Vec<u8>>,
    /// What goes whole may go as a snapshot.
    snapshots: bool,
    bytes: Vec<u8>,
    off: Option<Guard>,
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
        let saved = stored.saved.as_ref();
        let saved = saved.filter(|_| self.snapshots && only.is_none());
        let beyond = match only {
            Some(_) => Some(0),
            None if saved.is_some() && self.off == Some(Guard::Beyond) => None,
            None => {
                let held = saved.map(|saved| (saved.heads.as_str(), saved.through));
                paging::beyond(held, &stored.checked_heads())
            }
        };
        let wanted = |hash: &Sha256| only.is_none_or(|only| only.contains(hash));
        let served = |row: &Row| {
            row.state == State::Checked && self.own.as_ref() != Some(&row.candidate.actor)
        };
        let mut rows: Vec<(i64, &Row)> = stored
            .rows
            .iter()
            .filter(|(hash, row)| served(row) && wanted(hash))
            .filter_map(|(_, row)| {
                Some((
                    row.number.filter(|it| beyond.is_some_and(|b| *it > b))?,
                    row,
                ))
            })
            .collect();
        rows.sort_by_key(|(number, _)| *number);
        let seals = stored.seals.iter().filter(|seal| {
            let row = stored.rows.get(&seal.change);
            wanted(&seal.change) && row.is_some_and(served)
        });
        let mut items: Vec<Pulled> = Vec::new();
        items.extend(saved.map(|saved| Pulled::Snapshot((*saved.snapshot).clone())));
        let singly = rows.into_iter();
        items.extend(singly.map(|(_, row)| Pulled::Change(row.bytes.to_vec())));
        items.extend(seals.map(|seal| Pulled::Seal(*seal)));
        if !items.is_empty() {
            self.push(&Pulled::Document(WireKey::from(&stored.key)));
            items.iter().for_each(|item| self.push(item));
        }
    }
}
