//! Convergence: two to four phones, random edits, any order, any loss, any repetition. The same heads, the same content,
//! and nothing recorded is missing; also for documents born twice.

use super::*;
use crate::{
    criterion::CriterionNumber,
    evidence::{EvidenceFile, NewEvidence},
    id::{ObservationId, PersonId, UnitId},
    invalid::Rule,
    observation::NewObservation,
    patrol::{NewPatrol, PatrolLog},
    stamp::Stamp,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

mod shift;

const UNIT: UnitId = UnitId::from_bytes([1; 16]);

pub(super) fn actor(phone: u8) -> Actor {
    Actor {
        phone: PhoneId::from_bytes([phone; 16]),
        opening: [phone; 8],
    }
}

pub(super) fn stamp(phone: u8, step: usize) -> Stamp {
    let mut random = [phone; 10];
    random[..8].copy_from_slice(&(step as u64).to_be_bytes());
    Stamp {
        by: PersonId::from_bytes([phone; 16]),
        at_ms: 1_700_000_000_000 + step as i64,
        random,
    }
}

pub(super) fn patrol_key() -> Key {
    Key::patrol(
        UNIT,
        uuid::Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001),
    )
}

fn evidence_key() -> Key {
    let period = "2025-11-16..2026-11-15".parse().expect("a period");
    Key::evidence(UNIT, CriterionNumber::new(20).expect("a number"), &period)
}

/// A phone's replica and every change it ever wrote.
struct Replica {
    document: Automerge,
    written: Vec<Change>,
    recorded: BTreeSet<String>,
}

/// Lets `phones` replicas of one document edit and hear each other as `script` says, then brings all changes to all.
fn play(
    key: &Key,
    phones: u8,
    script: &[(u8, u8, bool)],
    mut edit: impl FnMut(&mut Replica, u8, usize),
) -> Vec<Replica> {
    let mut replicas: Vec<Replica> = (0..phones)
        .map(|_| Replica {
            document: new(key),
            written: Vec::new(),
            recorded: BTreeSet::new(),
        })
        .collect();
    for (step, &(phone, other, hears)) in script.iter().enumerate() {
        let (phone, other) = (phone % phones, other % phones);
        if hears {
            // Some of the other's changes, in reverse order and twice: Automerge holds back what lacks an ancestor.
            let heard: Vec<Vec<u8>> = replicas[other as usize]
                .written
                .iter()
                .rev()
                .take(step % 3 + 1)
                .map(|c| c.bytes.clone())
                .collect();
            for bytes in heard.iter().chain(&heard) {
                replicas[phone as usize]
                    .document
                    .load_incremental(bytes)
                    .expect("a change loads");
            }
        }
        edit(&mut replicas[phone as usize], phone + 1, step);
    }
    let all: Vec<Vec<u8>> = replicas
        .iter()
        .flat_map(|r| r.written.iter().map(|c| c.bytes.clone()))
        .collect();
    for (turn, replica) in replicas.iter_mut().enumerate() {
        for at in 0..all.len() {
            let bytes = &all[(at * 7 + turn) % all.len()];
            replica
                .document
                .load_incremental(bytes)
                .expect("a change loads");
        }
        for bytes in &all {
            replica
                .document
                .load_incremental(bytes)
                .expect("a change loads again");
        }
    }
    replicas
}

fn observe(replica: &mut Replica, phone: u8, step: usize) {
    let stamp = stamp(phone, step);
    let edit = edit::<PatrolLog, _>(&mut replica.document, actor(phone), stamp.at_ms, |patrol| {
        if patrol.started_at_ms.is_none() {
            let new = NewPatrol {
                title: format!("Ca của {phone}"),
                ..NewPatrol::default()
            };
            patrol.start(stamp, new)?;
        }
        patrol.join(stamp);
        patrol.observe(
            stamp,
            NewObservation::of("urban-order", i64::from(phone), "case"),
        )
    });
    let (id, change): (ObservationId, _) = edit.expect("the rules hold");
    replica.recorded.insert(id.to_string());
    replica.written.extend(change);
}

fn file(replica: &mut Replica, phone: u8, step: usize) {
    let stamp = stamp(phone, step);
    let new = NewEvidence {
        evidence_kind: "photo".into(),
        summary: "Vỉa hè".into(),
        ..NewEvidence::default()
    };
    let (id, change) = edit(
        &mut replica.document,
        actor(phone),
        stamp.at_ms,
        |file: &mut EvidenceFile| file.file(stamp, new),
    )
    .expect("the rules hold");
    replica.recorded.insert(id.to_string());
    replica.written.extend(change);
}

fn script() -> impl Strategy<Value = Vec<(u8, u8, bool)>> {
    prop::collection::vec((0u8..4, 0u8..4, any::<bool>()), 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn patrols_written_apart_converge_and_keep_everything(phones in 2u8..=4, script in script()) {
        let replicas = play(&patrol_key(), phones, &script, observe);
        let recorded: BTreeSet<String> = replicas.iter().flat_map(|r| r.recorded.clone()).collect();
        let first: PatrolLog = read(&replicas[0].document).expect("a patrol");
        for replica in &replicas {
            prop_assert_eq!(heads(&replica.document), heads(&replicas[0].document));
            prop_assert_eq!(&read::<PatrolLog>(&replica.document).expect("a patrol"), &first);
            // In one pass as field by field.
            let slowly: PatrolLog = autosurgeon::hydrate(&replica.document).expect("a patrol");
            prop_assert_eq!(&slowly, &first);
        }
        let kept: BTreeSet<String> = first.observations.keys().map(ToString::to_string).collect();
        prop_assert_eq!(kept, recorded);
    }

    #[test]
    fn evidence_born_on_each_phone_is_one_file(phones in 2u8..=4, script in script()) {
        let replicas = play(&evidence_key(), phones, &script, file);
        let recorded: BTreeSet<String> = replicas.iter().flat_map(|r| r.recorded.clone()).collect();
        for replica in &replicas {
            let file: EvidenceFile = read(&replica.document).expect("an evidence file");
            prop_assert_eq!(file.items.keys().map(ToString::to_string).collect::<BTreeSet<_>>(), recorded.clone());
        }
    }

    /// A stored pile of changes makes the same document in any order, and a lost one is noticed.
    #[test]
    fn a_lost_change_is_noticed(phones in 1u8..=4, script in script(), lost in any::<prop::sample::Index>()) {
        let replicas = play(&patrol_key(), phones, &script, observe);
        let mut changes: Vec<&Change> = replicas.iter().flat_map(|replica| &replica.written).collect();
        changes.reverse();
        let bytes = |changes: &[&Change]| -> Vec<Vec<u8>> { changes.iter().map(|change| change.bytes.clone()).collect() };
        let all = bytes(&changes);
        let loaded = load(&patrol_key(), all.iter().map(Vec::as_slice)).expect("loads");
        let heads = heads(&loaded);
        prop_assert_eq!(&heads, &super::heads(&replicas[0].document));
        let gone = changes.remove(lost.index(changes.len()));
        let left = bytes(&changes);
        let incomplete = matches!(
            load(&patrol_key(), left.iter().map(Vec::as_slice)),
            Err(DocumentError::Incomplete { .. })
        );
        // Without a head, what is left is a whole, older document.
        prop_assert_eq!(incomplete, !heads.contains(&gone.hash));
    }
}

/// An and Hà set one observation's count apart; who edits another field afterwards decides nothing about it.
fn clashing() -> (Automerge, ObservationId) {
    let mut an = Replica {
        document: new(&patrol_key()),
        written: Vec::new(),
        recorded: BTreeSet::new(),
    };
    observe(&mut an, 1, 0);
    let id: ObservationId = an
        .recorded
        .first()
        .expect("recorded")
        .parse()
        .expect("an id");
    let mut ha = new(&patrol_key());
    ha.load_incremental(&an.written[0].bytes).expect("loads");
    let set = |document: &mut Automerge, phone: u8, count: i64| {
        let (_, change) = edit(document, actor(phone), 1_000, |patrol: &mut PatrolLog| {
            patrol.observations.get_mut(&id).expect("it is there").count = count;
            Ok(())
        })
        .expect("edits");
        change.expect("it differs")
    };
    set(&mut an.document, 1, 3);
    let from_ha = set(&mut ha, 2, 5);
    an.document
        .load_incremental(&from_ha.bytes)
        .expect("merges");
    (an.document, id)
}

#[test]
fn both_values_of_a_clash_are_readable_with_who_wrote_them() {
    let (document, id) = clashing();
    let clashes = clashes(&Whole::of(&document));
    assert_eq!(clashes.len(), 1);
    assert_eq!(
        clashes[0].path,
        [
            "observations".to_owned(),
            id.to_string(),
            "count".to_owned()
        ]
    );
    let values: BTreeSet<_> = clashes[0]
        .values
        .iter()
        .map(|v| (v.text.as_str(), v.phone))
        .collect();
    assert_eq!(
        values,
        BTreeSet::from([("3", Some(actor(1).phone)), ("5", Some(actor(2).phone))])
    );
}

#[test]
fn editing_another_field_leaves_a_clash_and_choosing_ends_it() {
    let (mut document, id) = clashing();
    edit(&mut document, actor(1), 2_000, |patrol: &mut PatrolLog| {
        patrol.observations.get_mut(&id).expect("it is there").note = Some("Đã nhắc nhở".into());
        Ok(())
    })
    .expect("edits");
    let clash = clashes(&Whole::of(&document))
        .pop()
        .expect("the clash is still there");
    let index = clash
        .values
        .iter()
        .position(|v| v.text == "3")
        .expect("An's value");
    choose(&mut document, actor(1), 3_000, &clash.path, index)
        .expect("chooses")
        .expect("a change");
    assert_eq!(clashes(&Whole::of(&document)), []);
    assert_eq!(
        read::<PatrolLog>(&document).expect("a patrol").observations[&id].count,
        3
    );
}

/// The twin: reconciling the whole record through a plain transaction ends the clash without anybody's word.
#[test]
fn without_the_careful_writer_an_edit_decides_a_clash() {
    let (mut document, id) = clashing();
    let mut patrol: PatrolLog = read(&document).expect("a patrol");
    patrol.observations.get_mut(&id).expect("it is there").note = Some("Đã nhắc nhở".into());
    let mut transaction = document.transaction();
    autosurgeon::reconcile(&mut transaction, &patrol).expect("reconciles");
    transaction.commit();
    assert_eq!(clashes(&Whole::of(&document)), []);
}

#[test]
fn an_edit_that_breaks_a_rule_leaves_no_trace() {
    let mut document = new(&patrol_key());
    let before = heads(&document);
    let refused = edit::<PatrolLog, ()>(&mut document, actor(1), 0, |patrol| {
        patrol.title = Some("Ca".into());
        Err(Invalid::new("title", crate::invalid::Rule::TooLong))
    });
    assert!(matches!(refused, Err(DocumentError::Invalid(_))));
    assert_eq!(heads(&document), before);
    assert_eq!(
        read::<PatrolLog>(&document).expect("a patrol"),
        PatrolLog::default()
    );
}

#[test]
fn an_edit_that_changes_nothing_writes_nothing() {
    let mut document = new(&patrol_key());
    let (_, change) = edit::<PatrolLog, ()>(&mut document, actor(1), 0, |_| Ok(())).expect("edits");
    assert_eq!(change, None);
}

#[test]
fn a_path_is_one_text_and_no_two_paths_share_one() {
    let clash = |path: &[&str]| Clash {
        path: path.iter().map(|key| (*key).to_owned()).collect(),
        values: Vec::new(),
    };
    let [slash, two, tilde] = [clash(&["a/b"]), clash(&["a", "b"]), clash(&["a~1b"])];
    for clash in [&slash, &two, &tilde] {
        assert_eq!(path_of(&clash.pointer()), clash.path);
    }
    assert_ne!(slash.pointer(), two.pointer());
    assert_ne!(slash.pointer(), tilde.pointer());
}

#[test]
fn a_value_that_lost_is_held_to_the_rules_of_text() {
    let title = |document: &mut Automerge, phone: u8, title: &str| {
        let (_, change) = edit(document, actor(phone), 1_000, |patrol: &mut PatrolLog| {
            patrol.title = Some(title.to_owned());
            Ok(())
        })
        .expect("edits");
        change.expect("it differs")
    };
    let merged = |hostile: &str| {
        let mut an = new(&patrol_key());
        let mut ha = new(&patrol_key());
        // The higher actor's value is the visible one.
        title(&mut an, 2, "Ca đêm");
        let from_ha = title(&mut ha, 1, hostile);
        an.load_incremental(&from_ha.bytes).expect("merges");
        an
    };
    let document = merged("Ca sáng");
    assert_eq!(clashes(&Whole::of(&document)).len(), 1);
    assert_eq!(check(&Whole::of(&document)), Ok(()));
    let document = merged("Ca\0sáng");
    let visible: PatrolLog = read(&document).expect("reads");
    assert_eq!(
        visible.title.as_deref(),
        Some("Ca đêm"),
        "the twin: what is visible keeps the rules"
    );
    let forbidden = Invalid::new("title", Rule::ForbiddenCharacter);
    assert_eq!(check(&Whole::of(&document)), Err(forbidden));
}

#[test]
fn a_document_deeper_than_the_limit_is_refused() {
    use automerge::{ObjType, transaction::Transactable as _};
    let nested = |depth: usize| {
        let mut document = new(&patrol_key());
        let mut tx = document.transaction();
        let mut object = automerge::ROOT;
        for _ in 0..depth {
            object = tx
                .put_object(&object, "within", ObjType::Map)
                .expect("puts");
        }
        tx.commit();
        document
    };
    assert_eq!(check(&Whole::of(&nested(64))), Ok(()));
    assert_eq!(
        check(&Whole::of(&nested(65))),
        Err(Invalid::new("depth", Rule::TooLarge))
    );
}

#[test]
fn a_patrol_that_two_ended_offers_no_choice_of_anothers_name() {
    let mut an = new(&patrol_key());
    let new_patrol = NewPatrol {
        title: "Ca đêm".into(),
        team: vec![stamp(2, 0).by],
        ..NewPatrol::default()
    };
    let start = |log: &mut PatrolLog| log.start(stamp(1, 0), new_patrol);
    edit(&mut an, actor(1), 1_000, start).expect("starts");
    let mut ha = an.clone();
    let end = |document: &mut Automerge, phone: u8, step: usize| {
        let (_, change) = edit(document, actor(phone), 2_000, |log: &mut PatrolLog| {
            log.end(stamp(phone, step))
        })
        .expect("ends");
        change.expect("it differs")
    };
    end(&mut an, 1, 1);
    let from_ha = end(&mut ha, 2, 2);
    an.load_incremental(&from_ha.bytes).expect("merges");
    let fields: Vec<Vec<String>> = clashes(&Whole::of(&an))
        .into_iter()
        .map(|clash| clash.path)
        .collect();
    assert_eq!(
        fields,
        [["ended_at_ms"]],
        "when it ended is for people to say"
    );
    let names = an.get_all(automerge::ROOT, "ended_by").expect("is there");
    assert_eq!(names.len(), 2, "the twin: both names are there");
    let path = ["ended_by".to_owned()];
    let chosen = choose(&mut an, actor(1), 3_000, &path, 0).expect("asks");
    assert!(chosen.is_none());
}
