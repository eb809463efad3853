//! Joining heads: where more phones wrote at the same time than a change may name, changes that say nothing join some of them first.
//!
//! A change names every head that it is written on, and a header's reader takes no more than [`header::MAX_DEPENDENCIES`] of them. One
//! more would be refused by every reader, this phone's own among them.

use super::{Actor, Change, DocumentError};
use crate::header;
use automerge::{ActorId, Automerge, ChangeHash, transaction::CommitOptions};

/// The most heads that are written on: a change names its actor's last one too.
const HEADS_LIMIT: usize = header::MAX_DEPENDENCIES - 1;

/// Joins the document's heads until a change by `actor` may be written on all of them; what was written for that, mostly nothing.
///
/// # Errors
/// `Automerge`, which holds all that it is asked for.
pub fn join_heads(
    document: &mut Automerge,
    actor: Actor,
    at_ms: i64,
) -> Result<Vec<Change>, DocumentError> {
    let actor = ActorId::from(actor.to_bytes().as_slice());
    let mut joins = Vec::new();
    loop {
        let heads = document.get_heads();
        if heads.len() <= HEADS_LIMIT {
            return Ok(joins);
        }
        document.set_actor(actor.clone());
        let last = document.get_last_local_change().map(|change| change.hash());
        let some: Vec<ChangeHash> = heads.into_iter().take(HEADS_LIMIT).chain(last).collect();
        let mut fork = document.fork_at(&some)?;
        fork.set_actor(actor.clone());
        fork.empty_commit(CommitOptions::default().with_time(at_ms.div_euclid(1_000)));
        let Some(join) = fork.get_last_local_change() else {
            return Ok(joins);
        };
        document.load_incremental(join.raw_bytes())?;
        joins.push(Change::from(&join));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::{
            edit, heads, load, new, read,
            tests::{actor, patrol_key, stamp},
        },
        observation::NewObservation,
        patrol::{NewPatrol, PatrolLog},
        stamp::Stamp,
    };

    /// The leader's, at so many phones.
    fn of_the_team(phone: u8, step: usize) -> Stamp {
        Stamp {
            by: stamp(0, 0).by,
            ..stamp(phone, step)
        }
    }

    /// A patrol that so many phones observed at the same time, and what they wrote.
    fn at_the_same_time(phones: u8) -> (Automerge, Vec<Change>) {
        let key = patrol_key();
        let mut born = new(&key);
        let start = |log: &mut PatrolLog| {
            let title = "Ca".to_owned();
            log.start(
                stamp(0, 0),
                NewPatrol {
                    title,
                    ..NewPatrol::default()
                },
            )
        };
        let (_, start) = edit(&mut born, actor(0), 0, start).expect("the rules hold");
        let mut changes: Vec<Change> = start.into_iter().collect();
        for phone in 1..=phones {
            let mut own = load(&key, [changes[0].bytes.as_slice()]).expect("loads");
            let observe = |log: &mut PatrolLog| {
                log.observe(
                    of_the_team(phone, 1),
                    NewObservation::of("urban-order", 1, "case"),
                )
            };
            let (_, change) = edit(&mut own, actor(phone), 0, observe).expect("the rules hold");
            changes.extend(change);
        }
        let all = load(&key, changes.iter().map(|change| change.bytes.as_slice()));
        (all.expect("loads"), changes)
    }

    fn one_more(document: &mut Automerge) -> Change {
        let observe = |log: &mut PatrolLog| {
            log.observe(
                of_the_team(0, 2),
                NewObservation::of("urban-order", 1, "case"),
            )
        };
        let (_, change) = edit(document, actor(0), 0, observe).expect("the rules hold");
        change.expect("something was written")
    }

    #[test]
    fn a_change_on_more_heads_than_a_header_names_is_written_on_joined_ones() {
        for phones in [60, 63, 64, 65, 130, 200] {
            let (mut document, mut changes) = at_the_same_time(phones);
            assert_eq!(heads(&document).len(), usize::from(phones));
            let joins = join_heads(&mut document, actor(0), 0).expect("joins");
            let change = one_more(&mut document);
            for own in joins.iter().chain([&change]) {
                let header = crate::header::read(&own.bytes).expect("every reader takes it");
                assert_eq!(header.actor, actor(0).to_bytes());
            }
            assert_eq!(heads(&document), [change.hash], "{phones}");
            assert_eq!(joins.is_empty(), phones < 64, "{phones}");
            changes.extend(joins);
            changes.push(change);
            let all = load(
                &patrol_key(),
                changes.iter().map(|change| change.bytes.as_slice()),
            );
            let read: PatrolLog = read(&all.expect("loads")).expect("a patrol");
            assert_eq!(read.observations.len(), usize::from(phones) + 1);
        }
    }

    /// The twin: the change that its own reader refuses.
    #[test]
    fn without_joins_a_change_on_too_many_heads_is_read_by_nobody() {
        let (mut document, _) = at_the_same_time(65);
        let change = one_more(&mut document);
        let read = crate::header::read(&change.bytes);
        assert_eq!(read, Err(crate::header::HeaderError::Dependencies));
    }
}
