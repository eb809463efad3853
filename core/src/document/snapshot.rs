//! A document saved whole: compact, for who has nothing of it. It is unfolded into the changes it is made of before anything else
//! is done with it, so that there is one form in which a document is kept, edited and passed on.
//!
//! Saving is for worker processes, unfolding for phones, which cannot trust the bytes: what comes out must have exactly the
//! announced heads, hold the birth as it is computed here, and consist of changes that the header reader takes.

use super::{Change, DocumentError, Key, birth, heads};
use crate::{hash::Sha256, header};
use automerge::{Automerge, LoadOptions};

/// The document as bytes.
#[must_use]
pub fn save(document: &Automerge) -> Vec<u8> {
    document.save()
}

/// The document in `bytes`, and its changes without the birth, each after what it depends on.
///
/// # Errors
/// `Incomplete` if it has other heads than `announced`, lacks its birth, or holds what is no change by its header; `Automerge` for what
/// is no document.
pub fn unfold(
    key: &Key,
    bytes: &[u8],
    announced: &[Sha256],
) -> Result<(Automerge, Vec<Change>), DocumentError> {
    let document = Automerge::load_with_options(bytes, LoadOptions::new())?;
    let births = birth(key);
    let mut changes = Vec::new();
    let mut born = 0;
    let all = document.get_changes(&[]);
    let other = |loaded| DocumentError::Incomplete {
        stored: all.len(),
        loaded,
    };
    if heads(&document) != announced {
        return Err(other(0));
    }
    for change in &all {
        let change = Change::from(change);
        if births.contains(&change) {
            born += 1;
        } else if header::read(&change.bytes).is_ok_and(|header| header.hash == change.hash) {
            changes.push(change);
        } else {
            return Err(other(changes.len()));
        }
    }
    if born == births.len() {
        Ok((document, changes))
    } else {
        Err(other(born))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::{self, Actor},
        id::{PersonId, PhoneId, UnitId},
        patrol::{NewPatrol, PatrolLog},
        stamp::Stamp,
    };

    fn key(number: u8) -> Key {
        Key::patrol(
            UnitId::from_bytes([9; 16]),
            crate::id::fresh(1, [number; 10]),
        )
    }

    fn written() -> (Automerge, Vec<Change>) {
        let mut document = document::new(&key(1));
        let actor = Actor {
            phone: PhoneId::from_bytes([1; 16]),
            opening: [1; 8],
        };
        let mut changes = Vec::new();
        for at_ms in 1..=5 {
            let stamp = Stamp {
                by: PersonId::from_bytes([1; 16]),
                at_ms,
                random: [1; 10],
            };
            let title = format!("Ca {at_ms}");
            let edited = document::edit(&mut document, actor, at_ms, |log: &mut PatrolLog| {
                if at_ms == 1 {
                    let new = NewPatrol::default();
                    log.start(stamp, NewPatrol { title, ..new })
                } else {
                    log.title = Some(title);
                    Ok(())
                }
            });
            changes.extend(edited.expect("edits").1);
        }
        (document, changes)
    }

    #[test]
    fn a_snapshot_unfolds_into_the_same_changes() {
        let (document, changes) = written();
        let (unfolded, found) =
            unfold(&key(1), &save(&document), &heads(&document)).expect("unfolds");
        assert_eq!(found, changes);
        assert_eq!(heads(&unfolded), heads(&document));
    }

    #[test]
    fn another_documents_snapshot_other_heads_and_changed_bytes_do_not_unfold() {
        let (document, _) = written();
        let (saved, announced) = (save(&document), heads(&document));
        assert!(unfold(&key(2), &saved, &announced).is_err(), "another key");
        let other = [Sha256::of(b"another head")];
        assert!(unfold(&key(1), &saved, &other).is_err(), "other heads");
        for at in 0..saved.len() {
            let mut changed = saved.clone();
            changed[at] ^= 1;
            assert!(unfold(&key(1), &changed, &announced).is_err(), "at {at}");
        }
    }
}
