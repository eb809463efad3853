//! The checker, which lets entries be served, and saves documents whole.
//!
//! Up to where a feed may be served is the core's `numbering`, who may read its `rights`. The worker is played: it merges what it
//! is given and withholds what was planted as bad.

use crate::{
    guard::Guard,
    stored::{Disk, Saved, State, Stored},
};
use automerge::Automerge;
use kieumau_core::{
    document::{self, Change, Key, Kind},
    hash::Sha256,
    id::{DocumentId, PersonId},
    log::{numbering, rights},
    patrol::PatrolLog,
    review::heads_text,
    wire::Snapshot,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// Documents as they were read to be checked: what was not checked of each, in the order of numbers.
pub type Looked = BTreeMap<DocumentId, Vec<Sha256>>;

/// The checker: what it keeps in memory between two looks.
#[derive(Default)]
pub struct Checker {
    documents: BTreeMap<DocumentId, Automerge>,
    /// Changes that it lets not pass, with their documents.
    pub poisoned: BTreeMap<Sha256, DocumentId>,
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
                for entry in rights::changed(*id, &document.readers, &readers) {
                    let number = feeds.append(document.key.unit, entry);
                    number.expect("the feed is held");
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
            // Another look was faster, or a backup was put back meanwhile.
            let Some(row) = stored.rows.get_mut(hash) else {
                continue;
            };
            if row.state != State::Accepted {
                continue;
            }
            let mut deps = row.candidate.deps.iter().map(|dep| (*dep).into());
            let whole = deps.all(|dep| document.get_change_meta_by_hash(&dep).is_some());
            if self.poisoned.contains_key(hash) || !whole {
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

/// Documents that have grown enough to be saved whole.
pub fn grown(disk: &Disk, least_bytes: i64) -> Vec<DocumentId> {
    let grown = disk.documents.iter().filter(|(_, stored)| {
        let before = stored.saved_bytes;
        stored.unchecked_from.is_none() && stored.size_bytes > before + before / 4 + least_bytes
    });
    grown.map(|(id, _)| *id).collect()
}

/// What the disk is when this document is saved whole; spoilt, it names other heads than it has.
pub fn saved(disk: &Disk, id: DocumentId, spoilt: bool) -> Disk {
    let mut next = disk.clone();
    let Some(mut shared) = next.documents.remove(&id) else {
        return next;
    };
    let stored = Rc::make_mut(&mut shared);
    let document = load(stored);
    let checked = stored.rows.values();
    let checked: Vec<_> = checked.filter(|row| row.state == State::Checked).collect();
    let heads = document::heads(&document);
    let snapshot = Snapshot {
        heads: if spoilt {
            vec![Sha256::of(b"another head")]
        } else {
            heads.clone()
        },
        changes: u32::try_from(checked.len()).unwrap_or(u32::MAX),
        bytes: document::save(&document),
    };
    if !checked.is_empty() {
        stored.saved = Some(Saved {
            heads: heads_text(&heads),
            through: checked
                .iter()
                .filter_map(|row| row.number)
                .max()
                .unwrap_or(0),
            snapshot: Rc::new(snapshot),
        });
    }
    stored.saved_bytes = stored.size_bytes;
    next.documents.insert(id, shared);
    next
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
