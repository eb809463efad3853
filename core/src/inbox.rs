//! Inbox: what a page brings to a phone, what of it is put down as it came and what is merged, and where reading goes on.
//!
//! The cursor is written down last, or together with the only transaction there is: a page that was cut, or a disk that refused
//! half-way, is asked for again, and what came twice is there once. The phone's store reads rows, calls these functions and
//! writes rows; a simulator does the same with what it keeps in memory.

use crate::{
    document::{self, Change, DocumentError, Key},
    hash::Sha256,
    header,
    id::DocumentId,
    log::{head::Epoch, paging::Cursor},
    seal::Seal,
    wire::{Pulled, Snapshot, WireKey},
};
use automerge::Automerge;
use std::collections::BTreeSet;

/// What came is not a whole page of our server's: as good as no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a page of our server's")]
pub struct NotOurs;

/// A page as it came.
#[derive(Debug)]
pub struct Page<'a> {
    /// What of each document came.
    pub documents: Vec<Arrived<'a>>,
    /// What may no longer be read.
    pub ungranted: Vec<DocumentId>,
    /// Where to go on.
    pub cursor: String,
    /// Whether there is more.
    pub more: bool,
}

/// What came of one document.
#[derive(Debug)]
pub struct Arrived<'a> {
    /// Which; none of a kind that is not known here.
    pub key: Option<Key>,
    /// The id of one of a kind that is not known here: an id follows from a kind that is, and of another only its seals tell.
    pub strange: Option<DocumentId>,
    /// As it travelled: its name and what follows it.
    items: &'a [u8],
    /// How many changes its snapshot holds.
    pub snapshot: Option<u32>,
}

/// The same, read.
#[derive(Debug)]
pub struct Incoming {
    /// Which document.
    pub key: Key,
    snapshot: Option<Snapshot>,
    changes: Vec<Change>,
    /// Seals of its changes.
    pub seals: Vec<Seal>,
}

impl<'a> Page<'a> {
    /// Reads a page. What every change says about itself is checked here, so that nothing is put down that is none.
    ///
    /// # Errors
    /// For what is not a whole page.
    pub fn read(page: &'a [u8]) -> Result<Self, NotOurs> {
        let mut decoder = minicbor::Decoder::new(page);
        let mut read = Self {
            documents: Vec::new(),
            ungranted: Vec::new(),
            cursor: String::new(),
            more: false,
        };
        let mut begun = 0;
        while decoder.position() < page.len() {
            let at = decoder.position();
            let item = decoder.decode::<Pulled>().map_err(|_| NotOurs)?;
            let to = decoder.position();
            match item {
                Pulled::Document(key) => {
                    begun = at;
                    read.documents.push(Arrived {
                        key: known(&key)?,
                        strange: None,
                        items: &page[at..to],
                        snapshot: None,
                    });
                    continue;
                }
                Pulled::Ungrant(document, _) => {
                    read.ungranted.push(document);
                    continue;
                }
                Pulled::Cursor(cursor, more) if to == page.len() => {
                    (read.cursor, read.more) = (cursor, more);
                    return Ok(read);
                }
                Pulled::Cursor(..) => return Err(NotOurs),
                Pulled::Change(_) | Pulled::Seal(_) | Pulled::Snapshot(_) => {}
            }
            let document = read.documents.last_mut().ok_or(NotOurs)?;
            document.items = &page[begun..to];
            match item {
                Pulled::Change(bytes) => {
                    header::read(&bytes).map_err(|_| NotOurs)?;
                }
                Pulled::Snapshot(snapshot) => document.snapshot = Some(snapshot.changes),
                Pulled::Seal(seal) if document.key.is_none() => {
                    document.strange = Some(seal.document);
                }
                _ => {}
            }
        }
        // Cut before its cursor.
        Err(NotOurs)
    }
}

impl Arrived<'_> {
    /// As it travelled: its name and what follows it.
    #[must_use]
    pub const fn items(&self) -> &[u8] {
        self.items
    }

    /// What it says; none of a kind that is not known here.
    ///
    /// # Errors
    /// For what is not of our server.
    pub fn incoming(&self) -> Result<Option<Incoming>, NotOurs> {
        Incoming::read(self.items)
    }
}

impl Incoming {
    /// Reads what was put down as it came; none of a kind that is not known here.
    ///
    /// # Errors
    /// For what is not of our server.
    pub fn read(items: &[u8]) -> Result<Option<Self>, NotOurs> {
        let mut decoder = minicbor::Decoder::new(items);
        let mut incoming: Option<Self> = None;
        while decoder.position() < items.len() {
            let item = decoder.decode::<Pulled>().map_err(|_| NotOurs)?;
            match (item, &mut incoming) {
                (Pulled::Document(name), _) => {
                    let Some(key) = known(&name)? else {
                        return Ok(None);
                    };
                    incoming.get_or_insert_with(|| Self {
                        key,
                        snapshot: None,
                        changes: Vec::new(),
                        seals: Vec::new(),
                    });
                }
                (Pulled::Change(bytes), Some(incoming)) => {
                    let hash = header::read(&bytes).map_err(|_| NotOurs)?.hash;
                    incoming.changes.push(Change { hash, bytes });
                }
                (Pulled::Seal(seal), Some(incoming)) => incoming.seals.push(seal),
                (Pulled::Snapshot(snapshot), Some(incoming)) => incoming.snapshot = Some(snapshot),
                _ => return Err(NotOurs),
            }
        }
        Ok(incoming)
    }

    /// Its changes, those of its snapshot first.
    ///
    /// # Errors
    /// What `document::unfold` says of the snapshot.
    pub fn into_changes(self) -> Result<(Vec<Change>, Vec<Seal>), DocumentError> {
        let mut changes = match &self.snapshot {
            Some(snapshot) => document::unfold(&self.key, &snapshot.bytes, &snapshot.heads)?.1,
            None => Vec::new(),
        };
        changes.extend(self.changes);
        Ok((changes, self.seals))
    }

    /// The document, of which there is nothing here yet.
    ///
    /// # Errors
    /// `Incomplete` for a change that lacks an ancestor, and what `document::unfold` says of the snapshot.
    pub fn into_document(self) -> Result<(Automerge, Vec<Change>, Vec<Seal>), DocumentError> {
        let (mut document, mut changes) = match &self.snapshot {
            Some(snapshot) => document::unfold(&self.key, &snapshot.bytes, &snapshot.heads)?,
            None => (document::new(&self.key), Vec::new()),
        };
        let mut held: BTreeSet<Sha256> = changes.iter().map(|change| change.hash).collect();
        for change in self.changes {
            if !held.insert(change.hash) {
                continue;
            }
            document.load_incremental(&change.bytes)?;
            if document
                .get_change_meta_by_hash(&change.hash.into())
                .is_none()
            {
                return Err(DocumentError::Incomplete {
                    stored: held.len(),
                    loaded: changes.len(),
                });
            }
            changes.push(change);
        }
        Ok((document, changes, self.seals))
    }
}

/// The key; none of a kind that is not known here.
fn known(key: &WireKey) -> Result<Option<Key>, NotOurs> {
    if key.kind.parse::<document::Kind>().is_err() {
        return Ok(None);
    }
    key.key().map(Some).map_err(|_| NotOurs)
}

impl Page<'_> {
    /// What of it is put down as it came, and what is merged: what is new here (`is_new`) and comes whole, or is of a kind that is not
    /// known here; and the rest.
    #[must_use]
    pub fn sorted(&self, is_new: impl Fn(DocumentId) -> bool) -> Sorted<'_> {
        let puts_down = |arrived: &&Arrived<'_>| match &arrived.key {
            None => true,
            Some(key) => arrived.snapshot.is_some() && is_new(key.document()),
        };
        let (whole, others) = self.documents.iter().partition(puts_down);
        Sorted { whole, others }
    }
}

/// A page's documents, in the order in which they are written down.
#[derive(Debug)]
pub struct Sorted<'p> {
    /// First these, in one transaction, as they came.
    pub whole: Vec<&'p Arrived<'p>>,
    /// Then these, one after the other.
    pub others: Vec<&'p Arrived<'p>>,
}

impl Sorted<'_> {
    /// Whether the cursor is written with what is put down whole; else it is written alone, after all the rest.
    #[must_use]
    pub const fn cursor_goes_along(&self) -> bool {
        !self.whole.is_empty() && self.others.is_empty()
    }
}

/// What a phone knows of where it is in its feeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The last cursor that was written down; empty before the first.
    pub cursor: String,
    /// The epoch of the server's log, as far as this phone heard.
    pub epoch: Option<Epoch>,
    /// When all documents were last compared with the server's; none: not in this epoch.
    pub compared_at_ms: Option<i64>,
    /// Before the first cursor: the server said something of what was written here, held or refused, for which this phone does not send it
    /// again. What it had no room for comes by itself, and counted here it would hide an epoch only for as long as that takes.
    pub sent: bool,
}

/// A place after a cursor was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Where.
    pub place: Place,
    /// Receipts of before count no longer, nor does what was announced of backups: the server may have lost what they are about.
    pub cut_short: bool,
}

impl Place {
    /// Reading goes on at `cursor`. The first cursor of all needs no comparison: everything comes with it. But one of another epoch than
    /// this phone heard of, or one that says to begin anew, does; and the first one if something was sent before, in an epoch that
    /// nobody said: a backup may have been put back between that push and this page.
    ///
    /// # Errors
    /// For what is no cursor.
    pub fn moved(&self, cursor: &str, now_ms: i64) -> Result<Moved, NotOurs> {
        let parsed = Cursor::parse(cursor).ok_or(NotOurs)?;
        let cut_short = parsed.is_anew();
        let same = match self.epoch {
            Some(epoch) => epoch == parsed.epoch,
            None => !self.sent,
        };
        let compared_at_ms = match same && !cut_short {
            true if self.cursor.is_empty() => Some(now_ms),
            true => self.compared_at_ms,
            false => None,
        };
        Ok(Moved {
            place: Self {
                cursor: cursor.to_owned(),
                epoch: Some(parsed.epoch),
                compared_at_ms,
                sent: false,
            },
            cut_short,
        })
    }

    /// The epoch, when receipts name it before any cursor does. Of what was sent before them nobody said in which epoch that was: then
    /// none, and the first cursor has all compared.
    #[must_use]
    pub fn heard(&self, epoch: Epoch) -> Option<Epoch> {
        self.epoch.or_else(|| (!self.sent).then_some(epoch))
    }

    /// The epoch of a first page that ends in `cursor`, to be written down before anything of it is: else a phone that dies over it, or
    /// whose disk is full, holds what nobody knows the history of, and takes a restored server's first page for its own. None where that
    /// is known, or not to be told.
    ///
    /// # Errors
    /// For what is no cursor.
    pub fn begun(&self, cursor: &str) -> Result<Option<Epoch>, NotOurs> {
        let parsed = Cursor::parse(cursor).ok_or(NotOurs)?;
        let first = self.cursor.is_empty() && self.epoch.is_none();
        Ok(first.then(|| self.heard(parsed.epoch)).flatten())
    }

    /// Whether the server said that its history is another one.
    #[must_use]
    pub fn is_anew(&self) -> bool {
        Cursor::parse(&self.cursor).is_some_and(|cursor| cursor.is_anew())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::UnitId, log::paging::Position};

    fn cursor(epoch: u8) -> String {
        let position = Position {
            unit: UnitId::from_bytes([1; 16]),
            number: 7,
            listed: None,
        };
        let epoch = Epoch([epoch; 16]);
        let feeds = vec![position];
        Cursor { epoch, feeds }.to_text()
    }

    #[test]
    fn another_history_is_compared_and_the_first_cursor_needs_no_comparison() {
        let first = Place::default().moved(&cursor(1), 10).expect("a cursor");
        assert_eq!(first.place.compared_at_ms, Some(10));
        let next = first.place.moved(&cursor(1), 20).expect("a cursor");
        assert_eq!(
            next.place.compared_at_ms,
            Some(10),
            "it stays as old as it is"
        );
        let other = next.place.moved(&cursor(2), 30).expect("a cursor");
        assert_eq!(other.place.compared_at_ms, None);
        assert!(!other.cut_short && !other.place.is_anew());
        let anew = Cursor::anew(Epoch([1; 16])).to_text();
        let anew = next.place.moved(&anew, 40).expect("a cursor");
        assert!(anew.cut_short && anew.place.is_anew());
        assert_eq!(anew.place.compared_at_ms, None);
        assert_eq!(next.place.moved("nothing of ours", 50), Err(NotOurs));
    }

    #[test]
    fn who_died_over_a_first_page_compares_when_the_next_one_is_of_another_epoch() {
        let fresh = Place::default();
        let epoch = fresh.begun(&cursor(1)).expect("a cursor");
        assert_eq!(epoch, Some(Epoch([1; 16])));
        // Its rows are on the disk, its cursor is not; then a backup is put back.
        let died = Place {
            epoch,
            ..fresh.clone()
        };
        assert_eq!(
            died.begun(&cursor(2)),
            Ok(None),
            "what is here is of the first"
        );
        let moved = died.moved(&cursor(2), 10).expect("a cursor");
        assert_eq!(moved.place.compared_at_ms, None);
        let same = died.moved(&cursor(1), 10).expect("a cursor");
        assert_eq!(same.place.compared_at_ms, Some(10), "nothing was put back");
        // The twin: without it nothing is compared, and what the server lost stays lost.
        let moved = fresh.moved(&cursor(2), 10).expect("a cursor");
        assert_eq!(moved.place.compared_at_ms, Some(10));
        let sent = Place {
            sent: true,
            ..fresh
        };
        assert_eq!(
            sent.begun(&cursor(1)),
            Ok(None),
            "nobody said in which epoch"
        );
    }

    #[test]
    fn who_sent_before_the_first_page_compares_unless_it_is_of_the_same_epoch() {
        let compared = |epoch: Option<u8>, sent| {
            let place = Place {
                epoch: epoch.map(|epoch| Epoch([epoch; 16])),
                sent,
                ..Place::default()
            };
            let moved = place.moved(&cursor(1), 10).expect("a cursor");
            moved.place.compared_at_ms
        };
        assert_eq!(compared(Some(1), true), Some(10));
        assert_eq!(compared(Some(2), true), None, "a backup was put back since");
        assert_eq!(compared(None, true), None, "it may have been");
        assert_eq!(compared(None, false), Some(10), "nothing is to be lost");
        let place = |sent| Place {
            sent,
            ..Place::default()
        };
        let epoch = Epoch([1; 16]);
        assert_eq!(place(false).heard(epoch), Some(epoch));
        assert_eq!(
            place(true).heard(epoch),
            None,
            "a push before had no receipt"
        );
    }

    #[test]
    fn what_is_new_and_whole_is_put_down_first_and_the_cursor_comes_last() {
        let arrived = |number: u8, snapshot| Arrived {
            key: Some(Key::reference(UnitId::from_bytes([number; 16]))),
            strange: None,
            items: &[],
            snapshot,
        };
        let page = |documents| Page {
            documents,
            ungranted: Vec::new(),
            cursor: cursor(1),
            more: false,
        };
        let known = arrived(3, None).key.expect("a key").document();
        let mixed = page(vec![
            arrived(1, None),
            arrived(2, Some(5)),
            arrived(3, Some(5)),
        ]);
        let sorted = mixed.sorted(|id| id != known);
        assert_eq!((sorted.whole.len(), sorted.others.len()), (1, 2));
        assert!(!sorted.cursor_goes_along());
        let whole = page(vec![arrived(2, Some(5))]);
        assert!(whole.sorted(|_| true).cursor_goes_along());
        assert!(!page(Vec::new()).sorted(|_| true).cursor_goes_along());
    }
}
