//! Paging: what one answer to a pull holds, and where a cursor goes on.
//!
//! A cursor says how far a feed was *scanned*, not what was shown: entries that are hidden from its reader are passed over, and a
//! grant later delivers the document whole. A reader whose cursor is of another history (another epoch, beyond the end: a restored backup) is
//! told so. One that has nothing first gets every readable document whole, in the order of their ids, then every entry after the
//! number at which that began. So nothing falls between: what a whole document lacked came after that number. Data in, data out.

use super::{head::Epoch, numbering::Entry};
use crate::{
    document::Key,
    hash::Sha256,
    id::{DocumentId, PersonId, UnitId},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use minicbor::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};

/// The longest text that is read as a cursor, bytes: it comes from outside.
const CURSOR_LIMIT_BYTES: usize = 4 << 10;

/// Where a reader is in the feeds it reads.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Cursor {
    /// The epoch in which its numbers count.
    #[n(0)]
    pub epoch: Epoch,
    /// One per feed.
    #[n(1)]
    pub feeds: Vec<Position>,
}

/// Where a reader is in one feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Position {
    /// The feed.
    #[n(0)]
    pub unit: UnitId,
    /// Entries up to this one are done with.
    #[n(1)]
    pub number: i64,
    /// While documents come whole: up to this id they came. None once all did.
    #[n(2)]
    pub listed: Option<DocumentId>,
}

/// Where an answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With whole documents after this id; entries go on after `number` when all came.
    Documents {
        /// Documents up to this id came.
        after: DocumentId,
        /// Where the feed ended when the first of them came.
        number: i64,
    },
    /// With the entry after this one.
    Entries {
        /// Entries up to this one are done with.
        after: i64,
    },
    /// The cursor is of another history: the reader is told so and nothing else. It may have what this server lost, and most of what it
    /// has: it compares.
    Anew,
}

/// What one answer may hold. The first thing goes whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries scanned, or documents.
    pub entries: usize,
    /// Bytes of what is shown.
    pub bytes: i64,
}

/// An entry as it is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Its number.
    pub number: i64,
    /// What it says.
    pub entry: Entry,
    /// Bytes it would bring.
    pub size_bytes: i64,
}

/// What an answer brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A document with all it has.
    Whole(DocumentId),
    /// These changes of a document.
    Changes(DocumentId, BTreeSet<Sha256>),
    /// The reader may no longer read it.
    Ungrant(DocumentId),
}

/// One answer's worth of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What it brings, in order.
    pub deliveries: Vec<Delivery>,
    /// Entries up to this one are done with.
    pub through: i64,
}

/// One answer's worth of whole documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Which.
    pub documents: Vec<DocumentId>,
    /// Documents up to this id are done with; none if all are.
    pub through: Option<DocumentId>,
}

impl Cursor {
    /// The cursor in this text; none if it is none of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > CURSOR_LIMIT_BYTES {
            return None;
        }
        minicbor::decode(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }

    /// As it travels.
    ///
    /// # Panics
    /// Never: writing to memory does not fail.
    #[must_use]
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(minicbor::to_vec(self).expect("writing to memory does not fail"))
    }

    /// Says that the reader has to begin anew.
    #[must_use]
    pub const fn anew(epoch: Epoch) -> Self {
        Self {
            epoch,
            feeds: Vec::new(),
        }
    }

    /// Whether it says that.
    #[must_use]
    pub const fn is_anew(&self) -> bool {
        self.feeds.is_empty()
    }
}

/// Where the answer to `cursor` begins in the feed of `unit`, which is served up to `end` in `epoch`.
#[must_use]
pub fn start(cursor: Option<&Cursor>, epoch: Epoch, unit: UnitId, end: i64) -> Start {
    let position = cursor.and_then(|cursor| {
        let mut positions = cursor.feeds.iter();
        positions.find(|position| position.unit == unit)
    });
    let epoch_is = |cursor: &Cursor| cursor.epoch == epoch;
    match position {
        None => Start::Documents {
            after: DocumentId::from_bytes([0; 16]),
            number: end,
        },
        Some(position)
            if !cursor.is_some_and(epoch_is) || !(0..=end).contains(&position.number) =>
        {
            Start::Anew
        }
        Some(Position {
            number,
            listed: Some(after),
            ..
        }) => Start::Documents {
            after: *after,
            number: *number,
        },
        Some(Position { number, .. }) => Start::Entries { after: *number },
    }
}

/// What one answer holds of `rows`: the entries after `after` up to `end` in the order of their numbers, at most
/// `limits.entries` of them. `readable` says which documents `reader` may read now.
#[must_use]
pub fn page(
    rows: &[Scanned],
    (after, end): (i64, i64),
    reader: (PersonId, UnitId),
    readable: impl Fn(DocumentId) -> bool,
    limits: Limits,
) -> Page {
    let (person, unit) = reader;
    let mut shown = Shown::default();
    let mut bytes = 0;
    let mut through = after;
    let mut cut = rows.len() >= limits.entries;
    for row in rows.iter().take(limits.entries) {
        let visible = match row.entry {
            Entry::Change(document, _) => readable(document),
            Entry::Grant(document, to) => to == person && readable(document),
            Entry::Ungrant(_, of) => of == person,
        };
        if visible {
            bytes += row.size_bytes;
            if bytes > limits.bytes && !shown.is_empty() {
                cut = true;
                break;
            }
            shown.add(row.entry, unit, &readable);
        }
        through = row.number;
    }
    Page {
        deliveries: shown.deliveries(),
        // Fewer rows than asked for: that was all there is.
        through: if cut { through } else { end },
    }
}

/// What one answer holds of whole documents: of `rows` (id and bytes) in the order of ids, at most `limits.entries` of them.
#[must_use]
pub fn listing(
    rows: &[(DocumentId, i64)],
    readable: impl Fn(DocumentId) -> bool,
    limits: Limits,
) -> Listing {
    let mut documents = Vec::new();
    let mut bytes = 0;
    let mut through = None;
    for (document, size_bytes) in rows.iter().take(limits.entries) {
        if readable(*document) {
            bytes += size_bytes;
            if bytes > limits.bytes && !documents.is_empty() {
                return Listing { documents, through };
            }
            documents.push(*document);
        }
        through = Some(*document);
    }
    Listing {
        documents,
        through: through.filter(|_| rows.len() >= limits.entries),
    }
}

/// From which number on a document's changes follow singly where it comes whole: all of them without a snapshot, those entered after it
/// with one; none when it says all there is. `snapshot`: its heads, and the number up to which it holds what was entered.
#[must_use]
pub fn beyond(snapshot: Option<(&str, i64)>, checked_heads: &str) -> Option<i64> {
    match snapshot {
        Some((heads, _)) if heads == checked_heads => None,
        Some((_, through)) => Some(through),
        None => Some(0),
    }
}

/// What entries bring, each document once.
#[derive(Default)]
struct Shown {
    rights: Vec<Delivery>,
    whole: BTreeSet<DocumentId>,
    order: Vec<DocumentId>,
    changes: BTreeMap<DocumentId, BTreeSet<Sha256>>,
}

impl Shown {
    fn is_empty(&self) -> bool {
        self.rights.is_empty() && self.order.is_empty()
    }

    fn add(&mut self, entry: Entry, unit: UnitId, readable: impl Fn(DocumentId) -> bool) {
        match entry {
            Entry::Change(document, hash) => {
                if !self.changes.contains_key(&document) {
                    self.order.push(document);
                }
                self.changes.entry(document).or_default().insert(hash);
            }
            // With the decisions about it.
            Entry::Grant(document, _) => {
                for document in [document, Key::review(unit, document).document()] {
                    if readable(document) && self.whole.insert(document) {
                        self.rights.push(Delivery::Whole(document));
                    }
                }
            }
            // Where a later grant gave it back, the document comes whole after this.
            Entry::Ungrant(document, _) => self.rights.insert(0, Delivery::Ungrant(document)),
        }
    }

    fn deliveries(mut self) -> Vec<Delivery> {
        let singly = self
            .order
            .iter()
            .filter(|document| !self.whole.contains(document))
            .filter_map(|document| {
                Some(Delivery::Changes(*document, self.changes.remove(document)?))
            });
        self.rights.extend(singly);
        self.rights
    }
}

#[cfg(test)]
mod tests;
