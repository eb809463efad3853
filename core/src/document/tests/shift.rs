//! A whole shift written apart: besides adding, every other thing that phones do to a patrol. What was recorded is there, and of
//! what was written over one another each value is visible, in a clash, or was seen by whoever wrote over it.

use super::*;
use crate::{
    attachment::Attachment,
    hash::Sha256,
    id::{CheckpointId, HandoverId},
    position::Fix,
};
use automerge::{ObjType, ROOT, Value as Read};

/// What one phone did.
#[derive(Default)]
struct Done {
    recorded: BTreeSet<String>,
    /// Notes written, each one different.
    notes: BTreeMap<ObservationId, BTreeSet<String>>,
    /// Notes that were seen when another was written over them.
    over: BTreeSet<String>,
}

/// One thing on this phone. A rule that forbids it then and there is no edit.
fn act(replica: &mut Replica, done: &mut Done, phone: u8, step: usize, action: u8) {
    let stamp = stamp(phone, step);
    let notes = seen(&replica.document);
    let noted = notes.keys().nth(step % notes.len().max(1)).copied();
    let text = format!("{phone} {step}");
    let written = edit(&mut replica.document, actor(phone), stamp.at_ms, |log| {
        said(log, stamp, action, noted, &text)
    });
    let Ok((recorded, change)) = written else {
        return;
    };
    done.recorded.extend(recorded);
    replica.written.extend(change);
    for (id, notes_now) in seen(&replica.document) {
        if notes_now.contains(&text) {
            done.over
                .extend(notes.get(&id).into_iter().flatten().cloned());
            done.notes.entry(id).or_default().insert(text.clone());
        }
    }
}

/// Does it; the key of what was recorded.
fn said(
    log: &mut PatrolLog,
    stamp: Stamp,
    action: u8,
    noted: Option<ObservationId>,
    text: &str,
) -> Result<Option<String>, Invalid> {
    if log.started_at_ms.is_none() {
        let new = NewPatrol {
            title: "Ca đêm".into(),
            ..NewPatrol::default()
        };
        log.start(stamp, new)?;
    }
    log.join(stamp);
    let one = NewObservation::of("urban-order", 1, "case");
    let id = match (action % 10, noted) {
        (0..=2, Some(id)) => {
            let new = NewObservation {
                note: Some(text.to_owned()),
                withdrawn: action.is_multiple_of(10),
                ..one
            };
            return log.edit_observation(stamp, id, new).map(|()| None);
        }
        (3, _) => log.pause(stamp)?.to_string(),
        (4, _) => return log.resume(stamp).map(|()| None),
        (5, _) => log
            .visit(stamp, CheckpointId::from_bytes([9; 16]), "gps")?
            .to_string(),
        (6, _) => log.attach(stamp, photo(stamp))?.to_string(),
        (7, _) => {
            return Ok(log
                .add_track(stamp, None, &[fix(stamp)])?
                .map(|id| id.to_string()));
        }
        (8, _) => log
            .hand_over(stamp, PersonId::from_bytes([7; 16]), text)?
            .to_string(),
        (9, _) if stamp.random[7].is_multiple_of(3) => return log.end(stamp).map(|()| None),
        _ => log
            .observe(
                stamp,
                NewObservation {
                    note: Some(text.to_owned()),
                    ..one
                },
            )?
            .to_string(),
    };
    Ok(Some(id))
}

fn photo(stamp: Stamp) -> Attachment {
    Attachment {
        sha256: Sha256::of_parts(&[&stamp.random, stamp.by.as_bytes()]),
        size_bytes: 7,
        media_type: "image/jpeg".to_owned(),
        item: None,
        attached_at_ms: stamp.at_ms,
        attached_by: stamp.by,
        withdrawn_at_ms: None,
    }
}

fn fix(stamp: Stamp) -> Fix {
    crate::track::tests::fix(
        i64::from(stamp.random[7]),
        f64::from(stamp.by.as_bytes()[0]),
    )
}

/// Every note that is readable, the losing ones of clashes too.
fn seen(document: &Automerge) -> BTreeMap<ObservationId, BTreeSet<String>> {
    let Ok(Some((Read::Object(ObjType::Map), all))) = document.get(ROOT, "observations") else {
        return BTreeMap::new();
    };
    let keys: Vec<String> = document.keys(&all).collect();
    let read = |key: String| {
        let Ok(Some((_, one))) = document.get(&all, &key) else {
            return None;
        };
        let values = document.get_all(&one, "note").unwrap_or_default();
        let texts = values
            .into_iter()
            .filter_map(|(value, _)| value.into_string().ok());
        Some((key.parse().ok()?, texts.collect()))
    };
    keys.into_iter().filter_map(read).collect()
}

/// Everything that has a key of its own.
fn keys(log: &PatrolLog) -> BTreeSet<String> {
    let of = |keys: &mut dyn Iterator<Item = String>| keys.collect::<Vec<_>>();
    [
        of(&mut log.observations.keys().map(ToString::to_string)),
        of(&mut log.pauses.keys().map(ToString::to_string)),
        of(&mut log.visits.keys().map(ToString::to_string)),
        of(&mut log.attachments.keys().map(ToString::to_string)),
        of(&mut log.track.keys().map(ToString::to_string)),
        of(&mut log.handovers.keys().map(|id: &HandoverId| id.to_string())),
    ]
    .concat()
    .into_iter()
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_shift_written_apart_converges_and_nothing_is_written_over_unseen(
        phones in 2u8..=4,
        script in script(),
        actions in prop::collection::vec(any::<u8>(), 24),
    ) {
        let mut done = Done::default();
        let replicas = play(&patrol_key(), phones, &script, |replica, phone, step| {
            act(replica, &mut done, phone, step, actions[step]);
        });
        let first: PatrolLog = read(&replicas[0].document).expect("a patrol");
        for replica in &replicas {
            prop_assert_eq!(heads(&replica.document), heads(&replicas[0].document));
            prop_assert_eq!(&read::<PatrolLog>(&replica.document).expect("a patrol"), &first);
            prop_assert_eq!(check(&Whole::of(&replica.document)), Ok(()));
        }
        prop_assert_eq!(keys(&first), done.recorded);
        prop_assert!(first.team.len() <= usize::from(phones));
        let readable = seen(&replicas[0].document);
        for (id, notes) in &done.notes {
            let kept: BTreeSet<String> = notes.difference(&done.over).cloned().collect();
            prop_assert_eq!(&readable[id], &kept, "of {}", id);
        }
    }
}

/// The twin: a plain reconcile of the whole record writes over what its writer never read.
#[test]
fn without_the_careful_writer_a_note_is_written_over_unseen() {
    let mut an = Replica {
        document: new(&patrol_key()),
        written: Vec::new(),
        recorded: BTreeSet::new(),
    };
    observe(&mut an, 1, 0);
    let mut ha = an.document.clone();
    let note = |document: &mut Automerge, phone: u8, note: &str| {
        let (_, change) = edit(document, actor(phone), 1_000, |log: &mut PatrolLog| {
            log.observations
                .values_mut()
                .for_each(|one| one.note = Some(note.to_owned()));
            Ok(())
        })
        .expect("edits");
        change.expect("it differs").bytes
    };
    note(&mut an.document, 1, "của An");
    let from_ha = note(&mut ha, 2, "của Hà");
    an.document.load_incremental(&from_ha).expect("merges");
    let both = seen(&an.document).into_values().next().expect("noted");
    assert_eq!(both.len(), 2);
    let visible: PatrolLog = read(&an.document).expect("a patrol");
    let mut transaction = an.document.transaction();
    autosurgeon::reconcile(&mut transaction, &visible).expect("reconciles");
    transaction.commit();
    assert_eq!(
        seen(&an.document)
            .into_values()
            .next()
            .expect("noted")
            .len(),
        1
    );
}
