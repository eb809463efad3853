//! A cursor never skips: random histories of one feed, read in pages of random sizes.

use super::*;
use crate::log::numbering::{Numbering, checked_through};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

const UNIT: UnitId = UnitId::from_bytes([1; 16]);
const AN: PersonId = PersonId::from_bytes([2; 16]);
const HA: PersonId = PersonId::from_bytes([3; 16]);
const EPOCH: Epoch = Epoch([4; 16]);

fn document(number: u8) -> DocumentId {
    DocumentId::from_bytes([number; 16])
}

/// What happens to a feed of four documents.
#[derive(Clone, Copy, Debug)]
enum Happens {
    /// A change of this document is stored.
    Change(u8),
    /// The worker looks at what is unchecked of this document, and lets it through or not.
    Check(u8, bool),
    /// What was withheld of this document is let in again.
    Release(u8),
    /// An comes onto its team, or leaves it.
    Team(u8, bool),
    /// An pulls one page.
    Pull(usize, i64),
    /// A backup was put back: all that came after it is gone, and the log begins a new epoch.
    Epoch,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => (1u8..=4).prop_map(Happens::Change),
        4 => (1u8..=4, prop::bool::weighted(0.8)).prop_map(|(of, good)| Happens::Check(of, good)),
        1 => (1u8..=4).prop_map(Happens::Release),
        2 => (1u8..=4, any::<bool>()).prop_map(|(of, on)| Happens::Team(of, on)),
        4 => (1usize..=5, 1i64..=400).prop_map(|(entries, bytes)| Happens::Pull(entries, bytes)),
        1 => Just(Happens::Epoch),
    ]
}

/// What can be switched off, so that the test is seen to see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Off {
    Nothing,
    /// Unchecked entries are served, and passed over for they show nothing yet.
    CheckedThrough,
    /// What is let in again keeps its old number.
    NewNumber,
    /// A grant brings only what comes after it.
    Whole,
    /// A cursor goes on in another epoch.
    NewEpoch,
    /// A reader that has nothing goes on where the feed ends when the documents have come, not where it ended when they began.
    Begun,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unchecked,
    Checked,
    Withheld,
}

struct World {
    off: Off,
    epoch: Epoch,
    last: i64,
    entries: Vec<Scanned>,
    changes: BTreeMap<Sha256, (DocumentId, State, i64)>,
    team: BTreeSet<DocumentId>,
    cursor: Option<Cursor>,
    read: BTreeSet<Sha256>,
}

impl World {
    fn new(off: Off) -> Self {
        Self {
            off,
            epoch: EPOCH,
            last: 0,
            entries: Vec::new(),
            changes: BTreeMap::new(),
            team: BTreeSet::new(),
            cursor: None,
            read: BTreeSet::new(),
        }
    }

    fn append(&mut self, entry: Entry) -> i64 {
        let mut feeds = Numbering::new(BTreeMap::from([(UNIT, self.last)]));
        let number = feeds.append(UNIT, entry).expect("it is held");
        let numbered = feeds.into_numbered();
        self.last = numbered.last[&UNIT];
        self.entries
            .extend(numbered.entries.iter().map(|(_, number, entry)| Scanned {
                number: *number,
                entry: *entry,
                size_bytes: 100,
            }));
        number
    }

    fn happen(&mut self, what: Happens) {
        match what {
            Happens::Change(of) => {
                let hash = Sha256::of(&self.changes.len().to_be_bytes());
                let number = self.append(Entry::Change(document(of), hash));
                self.changes
                    .insert(hash, (document(of), State::Unchecked, number));
            }
            Happens::Check(of, good) => {
                for (at, state, _) in self.changes.values_mut() {
                    if *at == document(of) && *state == State::Unchecked {
                        *state = if good {
                            State::Checked
                        } else {
                            State::Withheld
                        };
                    }
                }
            }
            Happens::Release(of) => self.release(document(of)),
            Happens::Team(of, on) => {
                let document = document(of);
                let entry = if on {
                    Entry::Grant(document, AN)
                } else {
                    Entry::Ungrant(document, AN)
                };
                if on != self.team.contains(&document) {
                    self.append(entry);
                    // Another's rights are entries that An scans and does not see.
                    self.append(Entry::Grant(document, HA));
                }
                if on {
                    self.team.insert(document);
                } else {
                    self.team.remove(&document);
                }
            }
            Happens::Pull(entries, bytes) => {
                self.pull(Limits { entries, bytes });
            }
            Happens::Epoch => self.restore(),
        }
    }

    /// The same documents, in a log of another order.
    fn restore(&mut self) {
        self.epoch = Epoch([self.epoch.0[0] + 1; 16]);
        self.last = 0;
        self.entries.clear();
        let changes: Vec<(Sha256, DocumentId)> = self
            .changes
            .iter()
            .map(|(hash, (of, ..))| (*hash, *of))
            .collect();
        for (hash, of) in changes {
            let number = self.append(Entry::Change(of, hash));
            if let Some((_, _, at)) = self.changes.get_mut(&hash) {
                *at = number;
            }
        }
    }

    fn release(&mut self, of: DocumentId) {
        let withheld: Vec<Sha256> = self
            .changes
            .iter()
            .filter(|(_, (at, state, _))| *at == of && *state == State::Withheld)
            .map(|(hash, _)| *hash)
            .collect();
        for hash in withheld {
            let number = if self.off == Off::NewNumber {
                self.changes[&hash].2
            } else {
                self.append(Entry::Change(of, hash))
            };
            self.changes.insert(hash, (of, State::Unchecked, number));
        }
    }

    fn end(&self) -> i64 {
        let unchecked = self
            .changes
            .values()
            .filter(|(_, state, _)| *state == State::Unchecked)
            .map(|(_, _, number)| *number);
        let first = unchecked.min().filter(|_| self.off != Off::CheckedThrough);
        checked_through(self.last, first)
    }

    /// One page; true if there is more.
    fn pull(&mut self, limits: Limits) -> bool {
        let end = self.end();
        let epoch = match (&self.cursor, self.off) {
            (Some(cursor), Off::NewEpoch) => cursor.epoch,
            _ => self.epoch,
        };
        let epoch_is_new = |world: &mut Self| {
            world.cursor = Some(Cursor::anew(world.epoch));
            true
        };
        let travels = self.cursor.as_ref().map(Cursor::to_text);
        let cursor = travels.and_then(|text| Cursor::parse(&text));
        let readable = |document| self.team.contains(&document);
        let (deliveries, number, listed) = match start(cursor.as_ref(), epoch, UNIT, end) {
            Start::Anew => return epoch_is_new(self),
            Start::Documents { after, number } => {
                let all: BTreeSet<DocumentId> = self.changes.values().map(|(of, ..)| *of).collect();
                let rows: Vec<(DocumentId, i64)> = all
                    .into_iter()
                    .filter(|document| *document > after)
                    .map(|document| (document, 100))
                    .take(limits.entries)
                    .collect();
                let listing = listing(&rows, readable, limits);
                let number = match (self.off, listing.through) {
                    (Off::Begun, None) => end,
                    _ => number,
                };
                let whole = listing.documents.into_iter().map(Delivery::Whole);
                (whole.collect(), number, listing.through)
            }
            Start::Entries { after } => {
                let rows: Vec<Scanned> = self
                    .entries
                    .iter()
                    .filter(|row| row.number > after && row.number <= end)
                    .take(limits.entries)
                    .copied()
                    .collect();
                let page = page(&rows, (after, end), (AN, UNIT), readable, limits);
                (page.deliveries, page.through, None)
            }
        };
        for delivery in deliveries {
            self.take(&delivery);
        }
        let position = Position {
            unit: UNIT,
            number,
            listed,
        };
        self.cursor = Some(Cursor {
            epoch: self.epoch,
            feeds: vec![position],
        });
        listed.is_some() || number < end
    }

    fn take(&mut self, delivery: &Delivery) {
        for (hash, (of, state, _)) in &self.changes {
            let came = match delivery {
                Delivery::Whole(document) => of == document && self.off != Off::Whole,
                Delivery::Changes(_, hashes) => hashes.contains(hash),
                Delivery::Ungrant(_) => false,
            };
            if came && *state == State::Checked {
                self.read.insert(*hash);
            }
        }
    }

    /// What An may read, is checked, and did not come, once all is quiet.
    fn skipped(mut self) -> usize {
        for number in 1..=4 {
            self.happen(Happens::Check(number, true));
        }
        let limits = Limits {
            entries: 3,
            bytes: 250,
        };
        while self.pull(limits) {}
        let missing = |(hash, (of, state, _)): &(&Sha256, &(DocumentId, State, i64))| {
            *state == State::Checked && self.team.contains(of) && !self.read.contains(*hash)
        };
        self.changes.iter().filter(missing).count()
    }
}

fn skipped(history: &[Happens], off: Off) -> usize {
    let mut world = World::new(off);
    for what in history {
        world.happen(*what);
    }
    world.skipped()
}

fn histories() -> impl Strategy<Value = Vec<Happens>> {
    prop::collection::vec(happens(), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_cursor_never_skips(history in histories()) {
        prop_assert_eq!(skipped(&history, Off::Nothing), 0);
    }

    /// Whatever comes as a cursor, an answer begins within the feed.
    #[test]
    fn any_text_is_a_cursor_or_none(text in "[A-Za-z0-9_-]{0,80}", end in 0i64..100) {
        match start(Cursor::parse(&text).as_ref(), EPOCH, UNIT, end) {
            Start::Documents { number, .. } => prop_assert!(number <= end),
            Start::Entries { after } => prop_assert!((0..=end).contains(&after)),
            Start::Anew => {}
        }
    }
}

/// The twins: each rule switched off is seen to skip within as many histories.
#[test]
fn without_its_rules_a_cursor_skips() {
    for (off, name) in [
        (Off::CheckedThrough, "checked through"),
        (Off::NewNumber, "a new number"),
        (Off::Whole, "whole documents"),
        (Off::NewEpoch, "another epoch"),
        (Off::Begun, "where the listing began"),
    ] {
        let mut runner = TestRunner::deterministic();
        let skips = (0..2_000).any(|_| {
            let history = histories().new_tree(&mut runner).expect("a history");
            skipped(&history.current(), off) > 0
        });
        assert!(skips, "{name} was switched off and nothing was missing");
    }
}

#[test]
fn a_page_ends_at_its_bytes_and_its_first_entry_goes_whatever_its_size() {
    let rows: Vec<Scanned> = (1..=4)
        .map(|number| Scanned {
            number,
            entry: Entry::Change(document(number as u8), Sha256::of(&[number as u8])),
            size_bytes: 100,
        })
        .collect();
    let through = |bytes, entries| {
        let limits = Limits { entries, bytes };
        let rows = &rows[..entries.min(4)];
        page(rows, (0, 4), (AN, UNIT), |_| true, limits).through
    };
    assert_eq!(through(1, 9), 1);
    assert_eq!(through(250, 9), 2);
    assert_eq!(through(900, 9), 4);
    assert_eq!(through(900, 3), 3);
}

#[test]
fn a_document_that_comes_whole_does_not_come_singly_as_well() {
    let hash = Sha256::of(b"a change");
    let rows = [
        Entry::Change(document(1), hash),
        Entry::Grant(document(1), AN),
        Entry::Change(document(1), Sha256::of(b"another")),
    ];
    let rows: Vec<Scanned> = (1..)
        .zip(rows)
        .map(|(number, entry)| Scanned {
            number,
            entry,
            size_bytes: 1,
        })
        .collect();
    let limits = Limits {
        entries: 9,
        bytes: 99,
    };
    let page = page(&rows, (0, 3), (AN, UNIT), |of| of == document(1), limits);
    assert_eq!(page.deliveries, [Delivery::Whole(document(1))]);
    assert_eq!(page.through, 3);
}

#[test]
fn a_cursor_of_another_history_begins_anew() {
    let cursor = |epoch, number| Cursor {
        epoch,
        feeds: vec![Position {
            unit: UNIT,
            number,
            listed: None,
        }],
    };
    let nothing = start(None, EPOCH, UNIT, 7);
    assert!(matches!(nothing, Start::Documents { number: 7, .. }));
    assert_eq!(start(Some(&Cursor::anew(EPOCH)), EPOCH, UNIT, 7), nothing);
    for strange in [
        cursor(Epoch([9; 16]), 3),
        cursor(EPOCH, 8),
        cursor(EPOCH, -1),
    ] {
        assert_eq!(start(Some(&strange), EPOCH, UNIT, 7), Start::Anew);
    }
    let good = cursor(EPOCH, 3);
    assert_eq!(
        start(Some(&good), EPOCH, UNIT, 7),
        Start::Entries { after: 3 }
    );
}

#[test]
fn what_came_after_a_snapshot_follows_it_singly() {
    assert_eq!(beyond(None, "b"), Some(0));
    assert_eq!(beyond(Some(("a", 7)), "b"), Some(7));
    assert_eq!(beyond(Some(("b", 7)), "b"), None, "it says all there is");
}
