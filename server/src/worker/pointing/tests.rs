//! What points elsewhere does not pass, and the twins show what it would do.

mod honest;

use super::*;
use automerge::{Automerge, ObjId, ReadDoc as _};
use kieumau_core::{
    attachment::Attachment,
    document::{self, Actor, Change, DEPTH_LIMIT, Key as DocumentKey, Whole, clashes},
    hash::Sha256,
    id::{CheckpointId, PersonId, PhoneId, UnitId},
    invalid::Invalid,
    observation::NewObservation,
    patrol::{NewPatrol, PatrolLog},
    position::{Fix, Position},
    stamp::Stamp,
};
use std::sync::LazyLock;

fn patrol() -> DocumentKey {
    DocumentKey::patrol(UnitId::from_bytes([1; 16]), uuid::Uuid::from_u128(7))
}

const THERE: Position = Position {
    lat_e7: 186_000_000,
    lon_e7: 1_056_000_000,
};

fn actor(phone: u8) -> Actor {
    Actor {
        phone: PhoneId::from_bytes([phone; 16]),
        opening: [phone; 8],
    }
}

/// Whose phones they are: each number's.
fn people() -> &'static BTreeMap<PhoneId, PersonId> {
    static PEOPLE: LazyLock<BTreeMap<PhoneId, PersonId>> = LazyLock::new(|| {
        let person = |number| {
            (
                PhoneId::from_bytes([number; 16]),
                PersonId::from_bytes([number; 16]),
            )
        };
        (1..=4).map(person).collect()
    });
    &PEOPLE
}

fn stamp(phone: u8, step: usize) -> Stamp {
    let mut random = [phone; 10];
    random[..8].copy_from_slice(&(step as u64).to_be_bytes());
    Stamp {
        by: PersonId::from_bytes([phone; 16]),
        at_ms: 1_795_000_000_000 + step as i64,
        random,
    }
}

/// One thing that a phone does with a patrol; a rule may forbid it.
fn on_patrol(log: &mut PatrolLog, stamp: Stamp, action: u8) -> Result<(), Invalid> {
    if log.started_at_ms.is_none() {
        let new = NewPatrol {
            title: "Ca đêm".to_owned(),
            ..NewPatrol::default()
        };
        log.start(stamp, new)?;
    }
    log.join(stamp);
    let one = |note: &str| NewObservation {
        note: Some(note.to_owned()),
        position: action.is_multiple_of(2).then_some(THERE),
        measures_taken: vec![["reminded", "dispersed"][usize::from(action % 2)].to_owned()],
        ..NewObservation::of("urban-order", 1, "case")
    };
    let nth = usize::from(stamp.random[7]);
    let mut handovers = log.handovers.iter();
    let mine = handovers.find(|(_, handover)| handover.to == stamp.by);
    let handover = mine.map(|(id, _)| *id);
    match action % 12 {
        0..=2 if !log.observations.is_empty() => {
            let mut ids = log.observations.keys().cycle();
            let id = *ids.nth(nth).expect("one");
            log.edit_observation(stamp, id, one(&format!("{action} {nth}")))
        }
        3 => log.pause(stamp).map(|_| ()),
        4 => log.resume(stamp),
        5 => log
            .visit(stamp, CheckpointId::from_bytes([9; 16]), "gps")
            .map(|_| ()),
        6 => log.attach(stamp, photo(stamp, None)).map(|_| ()),
        7 => {
            let fix = Fix {
                at_ms: stamp.at_ms,
                position: THERE,
                accuracy_dm: None,
            };
            log.add_track(stamp, None, &[fix]).map(|_| ())
        }
        8 => log
            .hand_over(stamp, PersonId::from_bytes([1; 16]), "")
            .map(|_| ()),
        9 => handover.map_or(Ok(()), |id| log.confirm_handover(stamp, id)),
        10 => {
            let hung = log.attachments.keys().next().copied();
            hung.map_or(Ok(()), |id| log.withdraw_attachment(stamp, id))
        }
        11 if nth.is_multiple_of(3) => log.end(stamp),
        _ => log.observe(stamp, one("mới")).map(|_| ()),
    }
}

fn photo(stamp: Stamp, item: Option<String>) -> Attachment {
    Attachment {
        sha256: Sha256::of_parts(&[&stamp.random, stamp.by.as_bytes()]),
        size_bytes: 7,
        media_type: "image/jpeg".to_owned(),
        item,
        attached_at_ms: stamp.at_ms,
        attached_by: stamp.by,
        withdrawn_at_ms: None,
    }
}

fn decoded(bytes: &[u8]) -> automerge::Change {
    #[expect(clippy::disallowed_methods, reason = "written by the test itself")]
    automerge::Change::from_bytes(bytes.to_vec()).expect("a change")
}

/// What points where in a document's birth and these changes.
fn held(key: &DocumentKey, changes: &[&Change]) -> Pointing<'static> {
    let mut pointing = Pointing::of(key.kind, people());
    let births = document::birth(key);
    for change in births.iter().chain(changes.iter().copied()) {
        let change = decoded(&change.bytes);
        let taken = pointing.held(change.hash(), &change.decode());
        taken.expect("its ancestors are there");
    }
    pointing
}

/// A patrol that An started and in which Hà observed something, as it is on both phones; and each change.
fn shared() -> (Automerge, Vec<Change>) {
    let mut document = document::new(&patrol());
    let changes = [(1, 5), (2, 13)].map(|(phone, action)| {
        by(&mut document, phone, |log, stamp| {
            on_patrol(log, stamp, action)
        })
    });
    (document, changes.into())
}

/// What is told of a change upon these.
fn told(kind: Kind, changes: &[&Change], change: &ExpandedChange) -> Result<(), &'static str> {
    let mut pointing = held(&patrol(), changes);
    pointing.kind = kind;
    let hash = automerge::Change::from(change.clone()).hash();
    pointing.look(hash, change).map(|_| ())
}

/// A change that An's phone writes after `document`, of these operations.
fn forged(document: &Automerge, operations: Vec<Op>) -> ExpandedChange {
    let of = document::edit(
        &mut document.clone(),
        actor(1),
        1_795_000_000_000,
        |log: &mut PatrolLog| {
            log.title = Some("Ca khác".to_owned());
            Ok(())
        },
    );
    let honest = of.expect("edited").1.expect("a change");
    ExpandedChange {
        operations,
        hash: None,
        ..decoded(&honest.bytes).decode()
    }
}

fn operation(action: OpType, obj: ObjectId, name: &str, pred: Vec<OpId>) -> Op {
    Op {
        action,
        obj,
        key: Key::Map(name.into()),
        pred: pred.into(),
        insert: false,
    }
}

/// The values at the root's field `name`.
fn at_root(document: &Automerge, name: &str) -> Vec<OpId> {
    let values = document.get_all(ObjId::Root, name).expect("a field");
    let id = |(_, id)| match id {
        ObjId::Id(number, actor, _) => Some(OpId(number, actor)),
        ObjId::Root => None,
    };
    values.into_iter().filter_map(id).collect()
}

#[test]
fn a_value_is_replaced_where_it_stands_and_nowhere_else() {
    let (document, changes) = shared();
    let title = at_root(&document, "title");
    let takes_it_from = |name: &str| {
        let takes = operation(OpType::Delete, ObjectId::Root, name, title.clone());
        forged(&document, vec![takes])
    };
    let elsewhere = takes_it_from("a");
    let all = [&changes[0], &changes[1]];
    let told = |change: &ExpandedChange| told(Kind::PatrolLog, &all, change);
    assert_eq!(told(&elsewhere), Err(ELSEWHERE));
    assert_eq!(told(&takes_it_from("title")), Ok(()), "the twin");
    // What it would do: nothing here, where it comes alone, and elsewhere the title is gone.
    let change = automerge::Change::from(elsewhere);
    let mut alone = document;
    let bytes = changes.iter().map(|change| change.bytes.as_slice());
    let whole = document::load(&patrol(), bytes.chain([change.raw_bytes()]));
    let whole = whole.expect("loads");
    alone.apply_changes([change.clone()]).expect("applies");
    let title = |document: &Automerge| at_root(document, "title").len();
    assert_eq!((title(&alone), title(&whole)), (1, 0));
}

#[test]
fn what_its_writer_had_not_seen_is_not_written_into() {
    let (document, changes) = shared();
    let observations = document.get(ObjId::Root, "observations").expect("a map");
    let (_, observations) = observations.expect("a map");
    let of_ha = document.map_range(&observations, ..).next().expect("one");
    let ObjId::Id(number, of, _) = of_ha.id() else {
        panic!("the root is no record")
    };
    let note = operation(
        OpType::Put("khác".into()),
        ObjectId::Id(OpId(number, of)),
        "comment",
        Vec::new(),
    );
    let seen = forged(&document, vec![note.clone()]);
    let all = [&changes[0], &changes[1]];
    let told = |change: &ExpandedChange| told(Kind::PatrolLog, &all, change);
    assert_eq!(told(&seen), Ok(()));
    // An's phone as it was before it heard of Hà's observation.
    let mine = [changes[0].bytes.as_slice()];
    let before = document::load(&patrol(), mine).expect("loads");
    let unseen = forged(&before, vec![note]);
    assert_eq!(told(&unseen), Err(ELSEWHERE));
}

#[test]
fn numbers_go_on_from_what_was_seen() {
    let (document, changes) = shared();
    let all = [&changes[0], &changes[1]];
    let told = |change: &ExpandedChange| told(Kind::PatrolLog, &all, change);
    let put = operation(
        OpType::Put("khác".into()),
        ObjectId::Root,
        "comment",
        Vec::new(),
    );
    let honest = forged(&document, vec![put]);
    assert_eq!(told(&honest), Ok(()));
    for bent in [
        honest.start_op.get() - 1,
        honest.start_op.get() + 1,
        1,
        u64::MAX,
    ] {
        let change = ExpandedChange {
            start_op: bent.try_into().expect("not 0"),
            ..honest.clone()
        };
        assert_eq!(told(&change), Err(ELSEWHERE), "{bent}");
    }
    let lacking = ExpandedChange {
        deps: vec![ChangeHash([7; 32])],
        ..honest
    };
    assert_eq!(told(&lacking), Err(LACKS));
}

/// The map that the root shows at `name`, and its first record by its key.
fn record(document: &Automerge, name: &str) -> (OpId, String, OpId) {
    let (_, map) = document
        .get(ObjId::Root, name)
        .expect("a map")
        .expect("a map");
    let item = document.map_range(&map, ..).next().expect("one");
    let (ObjId::Id(map, by_birth, _), ObjId::Id(record, writer, _)) = (&map, item.id()) else {
        panic!("the root is no record")
    };
    let map = OpId(*map, by_birth.clone());
    (map, item.key.to_string(), OpId(record, writer))
}

#[test]
fn nobody_takes_a_record_away() {
    let (document, changes) = shared();
    let all = [&changes[0], &changes[1]];
    let (map, key, id) = record(&document, "observations");
    let whole_map = at_root(&document, "observations");
    for (name, obj, field, pred) in [
        ("all", ObjectId::Root, "observations", whole_map),
        ("one", ObjectId::Id(map), key.as_str(), vec![id]),
    ] {
        for action in [
            OpType::Delete,
            OpType::Put(7.into()),
            OpType::Make(ObjType::Map),
        ] {
            let change = operation(action.clone(), obj.clone(), field, pred.clone());
            let change = forged(&document, vec![change]);
            assert_eq!(
                told(Kind::PatrolLog, &all, &change),
                Err(TAKES_AWAY),
                "{name}"
            );
            // The server's own kinds are published anew.
            assert_eq!(told(Kind::Reference, &all, &change), Ok(()));
            // Beside it, as if nothing stood there.
            let beside = operation(action, obj.clone(), field, Vec::new());
            let change = forged(&document, vec![beside]);
            let told = told(Kind::PatrolLog, &all, &change);
            assert_eq!(told, Err(ELSEWHERE), "{name}");
        }
    }
}

/// Who had not seen a record cannot say that it replaces it; it is not hidden even so.
#[test]
fn a_record_is_not_hidden_by_who_had_not_seen_it() {
    let (document, changes) = shared();
    let all = [&changes[0], &changes[1]];
    let (map, key, _) = record(&document, "observations");
    let before = document::load(&patrol(), [changes[0].bytes.as_slice()]).expect("loads");
    for action in [OpType::Put(7.into()), OpType::Make(ObjType::Map)] {
        let change = operation(action, ObjectId::Id(map.clone()), &key, Vec::new());
        let change = forged(&before, vec![change]);
        let told = told(Kind::PatrolLog, &all, &change);
        assert_eq!(told, Err(TAKES_AWAY));
    }
    // Nor by a change that says it had seen nothing at all, the document's birth neither.
    let filler = |name: &str| operation(OpType::Put(1.into()), ObjectId::Root, name, Vec::new());
    let mut operations: Vec<Op> = ('a'..'p').map(|name| filler(&name.to_string())).collect();
    let make = OpType::Make(ObjType::Map);
    operations.push(operation(make, ObjectId::Root, "observations", Vec::new()));
    let unborn = ExpandedChange {
        deps: Vec::new(),
        start_op: 1.try_into().expect("not 0"),
        ..forged(&before, operations)
    };
    assert_eq!(told(Kind::PatrolLog, &all, &unborn), Err(ELSEWHERE));
}

/// A map that loses against the value beside it is shown to nobody, and the next honest change would have to say that it goes.
#[test]
fn no_map_is_hidden_beneath_a_value() {
    let (document, changes) = shared();
    let all = [&changes[0], &changes[1]];
    let null = OpType::Put(ScalarValue::Null);
    for field in ["ended_at_ms", "title", "comment"] {
        let pred = at_root(&document, field);
        let make = operation(
            OpType::Make(ObjType::Map),
            ObjectId::Root,
            field,
            pred.clone(),
        );
        let over = operation(null.clone(), ObjectId::Root, field, Vec::new());
        let change = forged(&document, vec![make, over]);
        let told = told(Kind::PatrolLog, &all, &change);
        assert_eq!(told, Err(ELSEWHERE), "{field}");
    }
}

#[test]
fn a_value_stands_alone_or_its_writer_says_beside_what() {
    let (document, changes) = shared();
    let all = [&changes[0], &changes[1]];
    let told = |change: &ExpandedChange| told(Kind::PatrolLog, &all, change);
    let put = |pred| operation(OpType::Put("khác".into()), ObjectId::Root, "title", pred);
    let alone = forged(&document, vec![put(at_root(&document, "title"))]);
    assert_eq!(told(&alone), Ok(()));
    let beside = forged(&document, vec![put(Vec::new())]);
    assert_eq!(told(&beside), Err(ELSEWHERE));
}

/// Automerge ends a clash whose winner is chosen by saying that the others go.
#[test]
fn a_clash_ends_with_its_winner_or_with_a_new_value() {
    let key = patrol();
    let (document, changes) = shared();
    let titled = |phone: u8, title: &str| {
        by(&mut document.clone(), phone, |log, _| {
            log.title = Some(title.to_owned());
            Ok(())
        })
    };
    let both = [titled(1, "Ca một"), titled(2, "Ca hai")];
    let all: Vec<&Change> = changes.iter().chain(&both).collect();
    let bytes = all.iter().map(|change| change.bytes.as_slice());
    let clashing = document::load(&key, bytes).expect("loads");
    let clash = clashes(&Whole::of(&clashing)).pop().expect("a clash");
    let winner = clash.values.len() - 1;
    let stamp = stamp(1, 10);
    let chosen = document::choose(
        &mut clashing.clone(),
        actor(1),
        stamp.at_ms,
        &clash.path,
        winner,
    );
    let chosen = decoded(&chosen.expect("chosen").expect("a change").bytes).decode();
    assert!(matches!(chosen.operations[0].action, OpType::Delete));
    assert_eq!(told(Kind::PatrolLog, &all, &chosen), Ok(()));
    let values = at_root(&clashing, "title");
    let takes = |gone: &OpId| {
        let takes = operation(OpType::Delete, ObjectId::Root, "title", vec![gone.clone()]);
        forged(&clashing, vec![takes])
    };
    let said = |gone: &OpId| told(Kind::PatrolLog, &all, &takes(gone));
    assert_eq!(said(&values[0]), Ok(()));
    // The winner alone: the twin.
    assert_eq!(said(&values[1]), Err(ELSEWHERE));
}

/// An edit on the phone of this number.
fn by(
    document: &mut Automerge,
    phone: u8,
    edit: impl FnOnce(&mut PatrolLog, Stamp) -> Result<(), Invalid>,
) -> Change {
    let stamp = stamp(phone, usize::from(phone));
    let edited = document::edit(document, actor(phone), stamp.at_ms, |log| edit(log, stamp));
    edited.expect("edited").1.expect("a change")
}

/// Each change by itself: what is forged is not hidden by what comes after it.
#[test]
fn a_name_is_its_writers_and_stays_with_its_record() {
    let mut document = document::new(&patrol());
    let person = |number: u8| PersonId::from_bytes([number; 16]);
    let started = by(&mut document, 1, |log, stamp| on_patrol(log, stamp, 5));
    let observed = by(&mut document, 2, |log, stamp| on_patrol(log, stamp, 13));
    let handed = by(&mut document, 2, |log, stamp| {
        log.hand_over(stamp, person(3), "").map(|_| ())
    });
    let all = [&started, &observed, &handed];
    let says = |name: u8| OpType::Put(person(name).to_string().as_str().into());
    let (_, _, observation) = record(&document, "observations");
    let (_, _, handover) = record(&document, "handovers");
    let value = |record: &OpId, field: &str| {
        let record = ObjId::Id(record.0, record.1.clone(), 0);
        let values = document.get_all(&record, field).expect("a field");
        let ids = values.into_iter().filter_map(|(_, id)| match id {
            ObjId::Id(number, actor, _) => Some(OpId(number, actor)),
            ObjId::Root => None,
        });
        ids.collect::<Vec<_>>()
    };
    let put = |record: &OpId, field: &str, action: OpType| {
        let pred = value(record, field);
        let put = operation(action, ObjectId::Id(record.clone()), field, pred);
        told(Kind::PatrolLog, &all, &forged(&document, vec![put]))
    };
    let at_root = |field: &str, name: u8| {
        let put = operation(says(name), ObjectId::Root, field, at_root(&document, field));
        told(Kind::PatrolLog, &all, &forged(&document, vec![put]))
    };
    // An writes.
    assert_eq!(at_root("ended_by", 1), Ok(()));
    assert_eq!(at_root("ended_by", 2), Err(ANOTHER));
    assert_eq!(at_root("started_by", 9), Err(ANOTHER));
    assert_eq!(put(&observation, "edited_by", says(1)), Ok(()));
    assert_eq!(put(&observation, "edited_by", says(2)), Err(ANOTHER));
    for name in [1, 2] {
        let told = put(&observation, "recorded_by", says(name));
        assert_eq!(told, Err(ANOTHER), "whose it is stays");
    }
    assert_eq!(put(&handover, "to", says(1)), Err(ANOTHER));
    let now = || OpType::Put(1_795_000_000_000_i64.into());
    assert_eq!(put(&handover, "confirmed_at_ms", now()), Err(ANOTHER));
    let confirmed = by(&mut document.clone(), 3, |log, stamp| {
        let id = *log.handovers.keys().next().expect("one");
        log.confirm_handover(stamp, id)
    });
    let confirmed = decoded(&confirmed.bytes).decode();
    assert_eq!(told(Kind::PatrolLog, &all, &confirmed), Ok(()), "the taker");
}

#[test]
fn values_of_one_phone_have_an_end() {
    let (document, changes) = shared();
    let pointing = held(&patrol(), &[&changes[0], &changes[1]]);
    let room = VALUES_LIMIT - pointing.wrote[&actor(1).phone];
    let many = |count: usize| {
        let fields = (0..count).map(|number| format!("x{number}"));
        let put = OpType::Put(1.into());
        let operations =
            fields.map(|name| operation(put.clone(), ObjectId::Root, &name, Vec::new()));
        let change = ExpandedChange {
            operations: operations.collect(),
            ..forged(&document, Vec::new())
        };
        let mut pointing = held(&patrol(), &[&changes[0], &changes[1]]);
        pointing.look(ChangeHash([0; 32]), &change).map(|_| ())
    };
    assert_eq!(many(room), Ok(()));
    assert_eq!(many(room + 1), Err(BREAKS));
    // What An's phone used up is An's.
    assert!(pointing.wrote[&actor(2).phone] < pointing.values.len());
}

#[test]
fn maps_in_maps_have_an_end() {
    let (document, changes) = shared();
    let all = [&changes[0], &changes[1]];
    let (map, _, _) = record(&document, "observations");
    let nested = |depth: u64| {
        let first = forged(&document, Vec::new());
        let start = first.start_op.get();
        let make = |at: u64| {
            let (obj, name) = match at.checked_sub(1) {
                None => (map.clone(), "new"),
                Some(above) => (OpId(start + above, first.actor_id.clone()), "x"),
            };
            let make = OpType::Make(ObjType::Map);
            operation(make, ObjectId::Id(obj), name, Vec::new())
        };
        let operations = (0..depth).map(make).collect();
        let nested = ExpandedChange {
            operations,
            ..first.clone()
        };
        told(Kind::PatrolLog, &all, &nested)
    };
    let deepest = u64::try_from(DEPTH_LIMIT).expect("it fits") - 1;
    assert_eq!(nested(deepest), Ok(()));
    assert_eq!(nested(deepest + 1), Err(BREAKS));
}

#[test]
fn lists_and_texts_are_nothing_of_ours() {
    let (document, changes) = shared();
    let all = [&changes[0], &changes[1]];
    for action in [
        OpType::Make(ObjType::List),
        OpType::Make(ObjType::Text),
        OpType::Increment(1),
        OpType::Delete,
    ] {
        let change = operation(action, ObjectId::Root, "x", Vec::new());
        let change = forged(&document, vec![change]);
        assert_eq!(told(Kind::PatrolLog, &all, &change), Err(ELSEWHERE));
    }
}

#[test]
fn what_a_change_wrote_itself_is_seen() {
    let (document, changes) = shared();
    let all = [&changes[0], &changes[1]];
    let put =
        |pred: Vec<OpId>| operation(OpType::Put("khác".into()), ObjectId::Root, "comment", pred);
    let first = forged(&document, vec![put(Vec::new())]);
    let own = OpId(first.start_op.get(), first.actor_id.clone());
    let twice = |pred: Vec<OpId>| forged(&document, vec![put(Vec::new()), put(pred)]);
    let told = |change: &ExpandedChange| told(Kind::PatrolLog, &all, change);
    assert_eq!(told(&twice(vec![own.clone()])), Ok(()));
    // A second value replaces the first one only if it says so: one replaced twice, or one that comes later, is not there.
    let later = OpId(own.0 + 1, own.1.clone());
    assert_eq!(told(&twice(vec![later])), Err(ELSEWHERE));
}
