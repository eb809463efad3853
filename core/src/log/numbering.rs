//! Numbering: a feed's entries get their numbers one after the other, and up to which number a feed may be served.
//!
//! Numbers are given while the feed is held, so they appear in the order of commits; what is served ends before the first change that
//! was not checked yet. A change that is let in again after it was withheld gets a *new* entry: readers are beyond its first
//! one, and a number behind a cursor is never looked at again. Data in, data out: the committer, the checker and the
//! simulator call the same functions.

use crate::{
    hash::Sha256,
    id::{DocumentId, PersonId, UnitId},
};
use std::collections::BTreeMap;

/// What an entry of a feed says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A change was accepted.
    Change(DocumentId, Sha256),
    /// A person may read a document from here on: it is delivered whole.
    Grant(DocumentId, PersonId),
    /// A person may no longer.
    Ungrant(DocumentId, PersonId),
}

impl Entry {
    /// The document it is about.
    #[must_use]
    pub const fn document(&self) -> DocumentId {
        match self {
            Self::Change(document, _) | Self::Grant(document, _) | Self::Ungrant(document, _) => {
                *document
            }
        }
    }
}

/// Feeds that are held, with their last numbers, and the entries that are to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbering {
    last: BTreeMap<UnitId, i64>,
    entries: Vec<(UnitId, i64, Entry)>,
}

/// What [`Numbering`] wants written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbered {
    /// New entries with their numbers.
    pub entries: Vec<(UnitId, i64, Entry)>,
    /// The last number of each feed that grew.
    pub last: BTreeMap<UnitId, i64>,
}

impl Numbering {
    /// Holds feeds whose last numbers are these.
    #[must_use]
    pub const fn new(last: BTreeMap<UnitId, i64>) -> Self {
        Self {
            last,
            entries: Vec::new(),
        }
    }

    /// Gives `entry` the next number of the feed of `unit`; none if that feed is not held.
    pub fn append(&mut self, unit: UnitId, entry: Entry) -> Option<i64> {
        let last = self.last.get_mut(&unit)?;
        *last += 1;
        self.entries.push((unit, *last, entry));
        Some(*last)
    }

    /// What is to be written.
    #[must_use]
    pub fn into_numbered(self) -> Numbered {
        let mut last = self.last;
        last.retain(|unit, _| self.entries.iter().any(|(grown, _, _)| grown == unit));
        Numbered {
            entries: self.entries,
            last,
        }
    }
}

/// Up to which entry a feed may be served: the one before `first_unchecked`, or its last.
#[must_use]
pub const fn checked_through(last: i64, first_unchecked: Option<i64>) -> i64 {
    match first_unchecked {
        Some(first) => first - 1,
        None => last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(number: u8) -> UnitId {
        UnitId::from_bytes([number; 16])
    }

    fn entry(number: u8) -> Entry {
        Entry::Change(DocumentId::from_bytes([number; 16]), Sha256::of(&[number]))
    }

    #[test]
    fn entries_follow_the_last_number_of_their_own_feed() {
        let mut feeds = Numbering::new(BTreeMap::from([(unit(1), 7), (unit(2), 0), (unit(3), 5)]));
        assert_eq!(feeds.append(unit(1), entry(1)), Some(8));
        assert_eq!(feeds.append(unit(2), entry(2)), Some(1));
        assert_eq!(feeds.append(unit(1), entry(3)), Some(9));
        assert_eq!(feeds.append(unit(9), entry(4)), None, "it is not held");
        let numbered = feeds.into_numbered();
        assert_eq!(numbered.last, BTreeMap::from([(unit(1), 9), (unit(2), 1)]));
        assert_eq!(
            numbered.entries,
            [
                (unit(1), 8, entry(1)),
                (unit(2), 1, entry(2)),
                (unit(1), 9, entry(3))
            ]
        );
    }

    #[test]
    fn a_feed_is_served_up_to_its_first_unchecked_entry() {
        assert_eq!(checked_through(9, Some(4)), 3);
        assert_eq!(checked_through(9, None), 9);
        assert_eq!(checked_through(0, None), 0);
    }
}
