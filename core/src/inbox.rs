//! Inbox: what a page of the feed brings to a phone, in the order in which it is written down, and where reading goes on.
//!
//! The cursor comes last and is written last: a page that was cut, or a disk that refused half-way, is asked for again, and what
//! came twice is there once. A change that comes without what it depends on is not kept; instead the feed is read from its
//! beginning, once in a sync, because a second time would find the same.

use crate::{
    document::{Change, Key},
    header,
    id::DocumentId,
    invalid::Invalid,
    seal::Seal,
    wire::Pulled,
};

/// A document's part of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Which document.
    pub key: Key,
    /// Changes of it, in the order in which they came.
    pub changes: Vec<Change>,
    /// Their seals.
    pub seals: Vec<Seal>,
}

/// What to write down next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Changes of a document, in one transaction.
    Changes(Incoming),
    /// The right to read a document ended.
    Ungrant(DocumentId),
    /// All that the page holds is written: reading goes on from here.
    Cursor {
        /// Where.
        cursor: String,
        /// Whether there is more now.
        more: bool,
    },
}

/// Why a page is taken in up to here only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// It ended before its cursor.
    #[error("page-cut")]
    Cut,
    /// A change's bytes are none.
    #[error("page-change")]
    NotAChange,
    /// A change came before its document was named.
    #[error("page-nameless")]
    Nameless,
    /// The name of a document that is none.
    #[error(transparent)]
    Name(#[from] Invalid),
}

/// What a page brings, the cursor last; and why it ends early, if it does.
#[must_use]
pub fn arrivals(items: Vec<Pulled>) -> (Vec<Arrival>, Option<PageError>) {
    let mut arrivals = Vec::new();
    let mut open: Option<Incoming> = None;
    for item in items {
        let went = match item {
            Pulled::Document(key) => key.key().map_err(PageError::from).map(|key| {
                arrivals.extend(open.replace(incoming(key)).map(Arrival::Changes));
            }),
            Pulled::Change(bytes) => open.as_mut().ok_or(PageError::Nameless).and_then(|open| {
                let hash = header::read(&bytes)
                    .map_err(|_| PageError::NotAChange)?
                    .hash;
                open.changes.push(Change { hash, bytes });
                Ok(())
            }),
            Pulled::Seal(seal) => open
                .as_mut()
                .ok_or(PageError::Nameless)
                .map(|open| open.seals.push(seal)),
            Pulled::Ungrant(document, _) => {
                arrivals.push(Arrival::Ungrant(document));
                Ok(())
            }
            Pulled::Cursor(cursor, more) => {
                arrivals.extend(open.take().map(Arrival::Changes));
                arrivals.push(Arrival::Cursor { cursor, more });
                return (arrivals, None);
            }
        };
        if let Err(error) = went {
            return (arrivals, Some(error));
        }
    }
    (arrivals, Some(PageError::Cut))
}

const fn incoming(key: Key) -> Incoming {
    Incoming {
        key,
        changes: Vec::new(),
        seals: Vec::new(),
    }
}

/// What one sync remembers of its reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    lacking: bool,
    read_anew: bool,
}

impl Reading {
    /// A merge left so many changes aside that lacked an ancestor.
    pub fn lacked(&mut self, changes: usize) {
        self.lacking |= changes > 0;
    }

    /// The cursor to write down, and whether there is more to read now, after a page that ended in `cursor`.
    #[must_use]
    pub fn goes_on(&mut self, cursor: String, more: bool) -> (String, bool) {
        let again = std::mem::take(&mut self.lacking) && !self.read_anew;
        self.read_anew |= again;
        if again {
            (String::new(), true)
        } else {
            (cursor, more)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{document, id::UnitId, wire::WireKey};

    fn key() -> Key {
        Key::reference(UnitId::from_bytes([1; 16]))
    }

    #[test]
    fn a_cut_page_brings_what_came_whole_and_no_cursor() {
        let name = || Pulled::Document(WireKey::from(&key()));
        let change = || Pulled::Change(document::birth(&key()).remove(0).bytes);
        let cursor = || Pulled::Cursor("here".to_owned(), true);
        let (whole, error) = arrivals(vec![name(), change(), cursor()]);
        assert_eq!((whole.len(), error), (2, None));
        assert!(matches!(&whole[0], Arrival::Changes(one) if one.changes.len() == 1));
        assert!(matches!(&whole[1], Arrival::Cursor { more: true, .. }));
        let (cut, error) = arrivals(vec![name(), change(), name(), change()]);
        assert_eq!((cut.len(), error), (1, Some(PageError::Cut)));
        let (none, error) = arrivals(vec![change()]);
        assert_eq!((none.len(), error), (0, Some(PageError::Nameless)));
        let (none, error) = arrivals(vec![name(), Pulled::Change(vec![1]), cursor()]);
        assert_eq!((none.len(), error), (0, Some(PageError::NotAChange)));
    }

    #[test]
    fn what_lacked_an_ancestor_has_the_feed_read_anew_once() {
        let mut reading = Reading::default();
        let here = || "here".to_owned();
        assert_eq!(reading.goes_on(here(), false), (here(), false));
        reading.lacked(1);
        assert_eq!(reading.goes_on(here(), false), (String::new(), true));
        reading.lacked(1);
        assert_eq!(reading.goes_on(here(), false), (here(), false));
    }
}
