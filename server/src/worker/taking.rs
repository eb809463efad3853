//! Changes taken into a document: each in the one canonical form of what it says, and a phone's own run of them together.
//!
//! Applying one by one is what phones do, and costs half as much again. Together, a change could point at what a later one of them
//! makes, and phones would die of what passed here. So together go only changes that one actor wrote each right upon the one before,
//! whose operations are numbered onwards, and of which nothing points ahead: what such a change points at is there already or is
//! nowhere, one by one and together alike.

use automerge::{
    Automerge, Change, ExpandedChange,
    legacy::{ElementId, Key, ObjectId, OpId},
};

/// Takes these changes, each after what it depends on.
///
/// # Errors
/// The stable word of why one does not pass; the document then holds some of them.
pub(super) fn take_all<'a>(
    document: &mut Automerge,
    fresh: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(), &'static str> {
    let mut run: Vec<Change> = Vec::new();
    for bytes in fresh {
        let change = canonical(bytes)?;
        if run.last().is_some_and(|last| !is_next(last, &change)) {
            apply(document, std::mem::take(&mut run))?;
        }
        run.push(change);
    }
    apply(document, run)
}

/// Takes one change.
///
/// # Errors
/// The stable word of why it does not pass.
pub(super) fn take(document: &mut Automerge, bytes: &[u8]) -> Result<(), &'static str> {
    take_all(document, [bytes])
}

/// The change in these bytes, if they are the canonical form of what it says, and nothing in it points ahead of itself.
pub(super) fn canonical(bytes: &[u8]) -> Result<Change, &'static str> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the worker: limited, and killed at its deadline"
    )]
    let change = Change::from_bytes(bytes.to_vec()).map_err(|_| "not-a-change")?;
    let says = change.decode();
    if points_ahead(&says) {
        return Err("points-ahead");
    }
    // Bytes behind the last column survive re-encoding, and nobody would ever see what they say.
    if !change.extra_bytes().is_empty() || Change::from(says).raw_bytes() != bytes {
        return Err("not-canonical");
    }
    Ok(change)
}

/// Whether `change` was written by the same actor right upon `last`, and numbers its operations onwards.
fn is_next(last: &Change, change: &Change) -> bool {
    change.actor_id() == last.actor_id()
        && change.seq() == last.seq() + 1
        && change.deps() == [last.hash()]
        && change.start_op().get() > last.max_op()
}

/// Whether an operation points at one that is not numbered before it: whoever has seen what it points at numbers on from there.
fn points_ahead(change: &ExpandedChange) -> bool {
    let numbered = (change.start_op.get()..).zip(&change.operations);
    let mut points = numbered.flat_map(|(number, operation)| {
        let object = match &operation.obj {
            ObjectId::Id(id) => Some(id),
            ObjectId::Root => None,
        };
        let element = match &operation.key {
            Key::Seq(ElementId::Id(id)) => Some(id),
            Key::Seq(ElementId::Head) | Key::Map(_) => None,
        };
        let at = object
            .into_iter()
            .chain(element)
            .chain(operation.pred.iter());
        at.map(move |OpId(counter, _)| *counter >= number)
    });
    points.any(|ahead| ahead)
}

/// Applies a run and sees that all of it is there: the last is there only if what it depends on is.
fn apply(document: &mut Automerge, run: Vec<Change>) -> Result<(), &'static str> {
    let Some(last) = run.last().map(Change::hash) else {
        return Ok(());
    };
    document.apply_changes(run).map_err(|_| "does-not-apply")?;
    if document.get_change_meta_by_hash(&last).is_some() {
        Ok(())
    } else {
        Err("lacks-an-ancestor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use automerge::{ActorId, ObjType, ROOT, ReadDoc as _, transaction::Transactable as _};
    use std::num::NonZeroU64;

    /// Three changes of one actor, the third of which writes into what the second makes.
    fn written() -> [Change; 3] {
        let mut document = Automerge::new().with_actor(ActorId::from([7; 24]));
        let mut map = ROOT;
        let mut write = |number: u8| {
            let mut tx = document.transaction();
            match number {
                0 => tx.put(ROOT, "title", "Ca tối").expect("put"),
                1 => map = tx.put_object(ROOT, "visits", ObjType::Map).expect("put"),
                _ => tx.put(&map, "note", 1).expect("put"),
            }
            let (hash, _) = tx.commit();
            let hash = hash.expect("a change");
            document.get_change_by_hash(&hash).expect("there")
        };
        [write(0), write(1), write(2)]
    }

    /// `change` as it would be right upon `last`, numbered from there or from where it was.
    fn moved(change: &Change, last: &Change, renumbers: bool) -> Change {
        let mut says = change.decode();
        says.deps = vec![last.hash()];
        says.seq = last.seq() + 1;
        if renumbers {
            says.start_op = NonZeroU64::new(last.max_op() + 1).expect("not 0");
        }
        Change::from(says)
    }

    fn taken(changes: &[&Change]) -> Result<(), &'static str> {
        let mut document = Automerge::new();
        take_all(
            &mut document,
            changes.iter().map(|change| change.raw_bytes()),
        )
    }

    fn apply_together(changes: [&Change; 3]) -> bool {
        let mut document = Automerge::new();
        let applied = document.apply_changes(changes.map(Clone::clone));
        applied.is_ok()
            && changes
                .map(Change::hash)
                .iter()
                .all(|hash| document.get_change_meta_by_hash(hash).is_some())
    }

    #[test]
    fn a_run_is_taken_together_and_says_what_it_says_one_by_one() {
        let run = written();
        assert!(run.windows(2).all(|pair| is_next(&pair[0], &pair[1])));
        let (mut together, mut singly) = (Automerge::new(), Automerge::new());
        take_all(&mut together, run.iter().map(Change::raw_bytes)).expect("taken");
        for change in &run {
            take(&mut singly, change.raw_bytes()).expect("taken");
        }
        assert_eq!(together.get_heads(), singly.get_heads());
        assert_eq!(together.save(), singly.save());
    }

    #[test]
    fn what_points_ahead_within_a_run_is_not_taken_although_it_would_apply_together() {
        let [first, makes, writes] = written();
        // It writes into what comes only behind it, and is numbered as if it came behind.
        let ahead = moved(&writes, &first, false);
        let late = moved(&makes, &ahead, false);
        assert!(
            apply_together([&first, &ahead, &late]),
            "why it is looked at"
        );
        assert!(!is_next(&ahead, &late), "numbered backwards");
        assert!(taken_alone_fails(&[&first, &ahead, &late]));
        // The same, numbered onwards.
        let ahead = moved(&writes, &first, true);
        assert_eq!(taken(&[&first, &ahead]), Err("points-ahead"));
    }

    /// Whether it is refused, or ends its reader.
    fn taken_alone_fails(changes: &[&Change]) -> bool {
        !matches!(std::panic::catch_unwind(|| taken(changes)), Ok(Ok(())))
    }
}
