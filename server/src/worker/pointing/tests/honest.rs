//! What honest phones write always passes, in any order that has each change after what it depends on, and means the same one by one as
//! together.

use super::*;
use automerge::ValueRef;
use kieumau_core::{
    criterion::CriterionNumber,
    document::DocumentError,
    evidence::{EvidenceFile, NewEvidence},
    invalid::Rule,
};
use proptest::prelude::*;

fn evidence() -> DocumentKey {
    let period = "2025-11-16..2026-11-15".parse().expect("a period");
    let criterion = CriterionNumber::new(20).expect("a number");
    DocumentKey::evidence(UnitId::from_bytes([1; 16]), criterion, &period)
}

/// What one phone has, and wrote.
struct Replica {
    document: Automerge,
    written: Vec<Change>,
}

/// One thing that a phone does with an evidence file.
fn on_evidence(file: &mut EvidenceFile, stamp: Stamp, action: u8) -> Result<(), Invalid> {
    let new = |summary: &str| NewEvidence {
        evidence_kind: "photo".to_owned(),
        summary: summary.to_owned(),
        issued_by: action.is_multiple_of(2).then(|| "CAP".to_owned()),
        withdrawn: action.is_multiple_of(5),
        ..NewEvidence::default()
    };
    let first = file.items.keys().next().copied();
    match (action % 4, first) {
        (0, Some(id)) => file.edit(stamp, id, new(&format!("{action}"))),
        (1, Some(id)) => {
            let photo = photo(stamp, Some(id.to_string()));
            file.attach(stamp, photo).map(|_| ())
        }
        (2, _) if !file.attachments.is_empty() => {
            let id = *file.attachments.keys().next().expect("one");
            file.withdraw_attachment(stamp, id)
        }
        _ => file.file(stamp, new("Vỉa hè")).map(|_| ()),
    }
}

/// Steps of several phones: who, from whom it hears first, and what it does.
type Script = Vec<(u8, Option<u8>, u8)>;

fn script() -> impl Strategy<Value = Script> {
    prop::collection::vec((0u8..4, prop::option::of(0u8..4), any::<u8>()), 1..40)
}

/// Plays it; all changes, each phone's own in their order.
fn played(key: &DocumentKey, script: &Script) -> Vec<Vec<Change>> {
    let mut replicas: Vec<Replica> = (0..4)
        .map(|_| Replica {
            document: document::new(key),
            written: Vec::new(),
        })
        .collect();
    for (step, &(phone, heard, action)) in script.iter().enumerate() {
        if let Some(other) = heard.filter(|other| *other != phone) {
            let mut theirs = replicas[usize::from(other)].document.clone();
            let own = &mut replicas[usize::from(phone)].document;
            own.merge(&mut theirs).expect("merges");
        }
        let replica = &mut replicas[usize::from(phone)];
        // A phone is opened again now and then, and is another actor from then on.
        let actor = Actor {
            opening: [u8::try_from(step / 7).expect("few steps"); 8],
            ..actor(phone + 1)
        };
        let stamp = stamp(phone + 1, step);
        let document = &mut replica.document;
        let clash = clashes(&Whole::of(document)).pop().filter(|_| action > 200);
        let change = match (clash, key.kind) {
            (Some(clash), _) => {
                let chosen = document::choose(document, actor, stamp.at_ms, &clash.path, 0);
                chosen.expect("chosen")
            }
            (None, Kind::PatrolLog) => {
                let edit = |log: &mut PatrolLog| on_patrol(log, stamp, action);
                allowed(document::edit(document, actor, stamp.at_ms, edit))
            }
            (None, _) => {
                let edit = |file: &mut EvidenceFile| on_evidence(file, stamp, action);
                allowed(document::edit(document, actor, stamp.at_ms, edit))
            }
        };
        replica.written.extend(change);
    }
    replicas
        .into_iter()
        .map(|replica| replica.written)
        .collect()
}

/// The change, unless a rule forbade it then. None forbids what there is to name.
fn allowed(edited: Result<((), Option<Change>), DocumentError>) -> Option<Change> {
    match edited {
        Ok(((), change)) => change,
        Err(DocumentError::Invalid(invalid)) if invalid.rule != Rule::Unknown => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// Takes each change once all that it depends on is there: of each phone as many as can be, in this order of phones.
fn all_pass(key: &DocumentKey, written: &[Vec<Change>], order: [usize; 4]) -> Automerge {
    let mut document = document::new(key);
    let mut pointing = held(key, &[]);
    let mut waiting: Vec<_> = order.map(|phone| written[phone].iter().peekable()).into();
    let mut taken = 0;
    while taken < written.iter().map(Vec::len).sum::<usize>() {
        let before = taken;
        for changes in &mut waiting {
            while let Some(change) = changes.next_if(|change| {
                let deps = decoded(&change.bytes).deps().to_vec();
                let mut known = deps.iter().map(|dep| document.get_change_meta_by_hash(dep));
                known.all(|known| known.is_some())
            }) {
                let change = decoded(&change.bytes);
                let pointed = pointing.look(change.hash(), &change.decode());
                pointing.keep(pointed.expect("it is honest"));
                document.apply_changes([change]).expect("applies");
                taken += 1;
            }
        }
        assert!(taken > before, "each waits for another");
    }
    document
}

/// All values of all fields.
fn says(document: &Automerge) -> BTreeMap<String, Vec<String>> {
    let whole = Whole::of(document);
    let mut waiting = vec![(ObjId::Root, String::new())];
    let mut says = BTreeMap::new();
    while let Some((map, path)) = waiting.pop() {
        for (name, shown) in whole.fields(&map) {
            let path = format!("{path}/{name}");
            if matches!(shown.value, ValueRef::Object(_)) {
                waiting.push((shown.id.clone(), path.clone()));
            }
            let values = whole.values(&map, name).expect("a field");
            let values = values.iter().map(|value| format!("{value:?}"));
            says.insert(path, values.collect());
        }
    }
    says
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_honest_phones_write_points_well_in_any_order(script in script()) {
        for key in [patrol(), evidence()] {
            let written = played(&key, &script);
            let changes = written.iter().flatten().map(|change| change.bytes.as_slice());
            let together = document::load(&key, changes).expect("loads");
            for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
                let one_by_one = all_pass(&key, &written, order);
                prop_assert_eq!(says(&one_by_one), says(&together));
                prop_assert_eq!(document::heads(&one_by_one), document::heads(&together));
            }
        }
    }
}
