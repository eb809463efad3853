//! What a change may say: a phone that keeps no rules is found out here.

use super::*;
use kieumau_core::{
    id::UnitId,
    patrol::{NewPatrol, PatrolLog, TITLE_LIMIT},
};

/// A phone that writes whatever it likes into a document of its own.
struct Writer {
    key: Key,
    actor: Actor,
    person: PersonId,
}

impl Writer {
    fn new(key: Key) -> Self {
        let actor = Actor {
            phone: PhoneId::from_bytes([2; 16]),
            opening: [3; 8],
        };
        let person = PersonId::from_bytes([4; 16]);
        Self { key, actor, person }
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            by: self.person,
            at_ms: 1_795_000_000_000,
            random: [5; 10],
        }
    }

    fn write<R: Record>(&self, change: impl FnOnce(&mut R)) -> (Automerge, Bytes) {
        let mut document = document::new(&self.key);
        let (_, written) = document::edit(
            &mut document,
            self.actor,
            self.stamp().at_ms,
            |record: &mut R| {
                change(record);
                Ok(())
            },
        )
        .expect("edited");
        let bytes = Bytes(written.expect("a change").bytes);
        (document, bytes)
    }

    fn verdict(&self, fresh: Bytes) -> Option<String> {
        let job = CheckJob {
            key: serde_json::to_string(&self.key).expect("JSON"),
            held: Vec::new(),
            fresh: vec![fresh],
            people: vec![(self.actor.phone, self.person)],
        };
        let mut checked = check(&job).expect("checked");
        checked.verdicts.pop().expect("one")
    }

    /// Whether everything else that is looked at holds: only the rules are left to catch it.
    fn else_holds(&self, document: &Automerge) -> bool {
        projection::project(&self.key, document).is_ok()
    }
}

#[test]
fn a_patrol_that_breaks_a_rule_is_withheld() {
    let key = Key::patrol(UnitId::from_bytes([1; 16]), uuid::Uuid::from_u128(6));
    let an = Writer::new(key);
    for (length, verdict) in [
        (TITLE_LIMIT + 1, Some("breaks-a-rule")),
        // The twin: one letter less.
        (TITLE_LIMIT, None),
    ] {
        let (document, change) = an.write(|log: &mut PatrolLog| {
            let new = NewPatrol {
                title: "Ca tối".to_owned(),
                ..NewPatrol::default()
            };
            log.start(an.stamp(), new).expect("starts");
            log.title = Some("x".repeat(length));
        });
        assert!(an.else_holds(&document));
        assert_eq!(an.verdict(change).as_deref(), verdict, "{length}");
    }
}

/// The same change upon `to` instead of `from`, with its checksum right.
fn moved(bytes: &[u8], from: Sha256, to: Sha256) -> Vec<u8> {
    let at = bytes
        .windows(32)
        .position(|window| window == from.as_bytes());
    let at = at.expect("it depends on that");
    let mut moved = bytes.to_vec();
    moved[at..at + 32].copy_from_slice(to.as_bytes());
    let sum = Sha256::of(&moved[8..]);
    moved[4..8].copy_from_slice(&sum.as_bytes()[..4]);
    moved
}

/// Phones take changes one by one: what points at something that a later change makes would end each of them, again and again.
#[test]
fn what_points_at_what_comes_later_is_not_let_through_although_it_would_apply_together() {
    let (an, binh) = (1, 2);
    let person = |number: u8| PersonId::from_bytes([number; 16]);
    let key = Key::patrol(UnitId::from_bytes([9; 16]), uuid::Uuid::from_u128(8));
    let mut document = document::new(&key);
    let mut by = |number: u8, change: &dyn Fn(&mut PatrolLog, Stamp) -> Result<(), Invalid>| {
        let stamp = Stamp {
            by: person(number),
            at_ms: 1_795_000_000_000,
            random: [number; 10],
        };
        let actor = Actor {
            phone: PhoneId::from_bytes([number; 16]),
            opening: [number; 8],
        };
        let edited = document::edit(&mut document, actor, stamp.at_ms, |log| change(log, stamp));
        edited.expect("edited").1.expect("a change")
    };
    let started = by(an, &|log, stamp| {
        let new = NewPatrol {
            title: "Ca tối".to_owned(),
            ..NewPatrol::default()
        };
        log.start(stamp, new)
    });
    let handed = by(an, &|log, stamp| {
        log.hand_over(stamp, person(2), "").map(|_| ())
    });
    let confirmed = by(binh, &|log, stamp| {
        let id = *log.handovers.keys().next().expect("one");
        log.confirm_handover(stamp, id)
    });
    let ahead = moved(&confirmed.bytes, handed.hash, started.hash);
    let verdicts = |fresh: [&[u8]; 3]| {
        let job = CheckJob {
            key: serde_json::to_string(&key).expect("JSON"),
            held: Vec::new(),
            fresh: fresh.map(|bytes| Bytes(bytes.to_vec())).into(),
            people: [an, binh]
                .map(|n| (PhoneId::from_bytes([n; 16]), person(n)))
                .into(),
        };
        check(&job).expect("checked").verdicts
    };
    let honest = verdicts([&started.bytes, &handed.bytes, &confirmed.bytes]);
    assert_eq!(honest, [None, None, None], "the twin");
    let bent = verdicts([&started.bytes, &ahead, &handed.bytes]);
    assert_eq!(bent, [None, Some("points-elsewhere".to_owned()), None]);
    // And what applying them together would do.
    let all = [&started.bytes, &ahead, &handed.bytes];
    let all = all.map(|bytes| canonical(bytes).expect("canonical").0);
    let hashes = all.each_ref().map(AutomergeChange::hash);
    let mut together = document::new(&key);
    together.apply_changes(all).expect("applies");
    let is_in = |hash| together.get_change_meta_by_hash(hash).is_some();
    assert!(hashes.iter().all(is_in));
}

/// One by one, what a change says is gone under another key than its own stays; together it goes, and hides what was forged.
#[test]
fn a_forged_name_is_not_hidden_by_a_change_that_takes_it_away_under_another_key() {
    use automerge::legacy::{Key as OpKey, ObjectId, Op, OpId, OpType};
    let an = Writer::new(Key::patrol(
        UnitId::from_bytes([1; 16]),
        uuid::Uuid::from_u128(7),
    ));
    let (_, forged) = an.write(|log: &mut PatrolLog| {
        let new = NewPatrol {
            title: "Ca tối".to_owned(),
            ..NewPatrol::default()
        };
        log.start(an.stamp(), new).expect("starts");
        log.ended_by = Some(PersonId::from_bytes([9; 16]));
    });
    let (forged, says) = canonical(&forged.0).expect("canonical");
    let ended_by = OpKey::Map("ended_by".into());
    let place = says.operations.iter().position(|op| op.key == ended_by);
    let number = says.start_op.get() + place.expect("it writes that") as u64;
    let mut takes_away = says.clone();
    takes_away.seq += 1;
    takes_away.start_op = (forged.max_op() + 1).try_into().expect("not 0");
    takes_away.deps = vec![forged.hash()];
    takes_away.operations = vec![Op {
        action: OpType::Delete,
        obj: ObjectId::Root,
        key: OpKey::Map("a".into()),
        pred: vec![OpId(number, says.actor_id.clone())].into(),
        insert: false,
    }];
    let takes_away = AutomergeChange::from(takes_away);
    let people = vec![(an.actor.phone, an.person)];
    let job = CheckJob {
        key: serde_json::to_string(&an.key).expect("JSON"),
        held: Vec::new(),
        fresh: [&forged, &takes_away]
            .map(|change| Bytes(change.raw_bytes().to_vec()))
            .into(),
        people: people.clone(),
    };
    let told = check(&job).expect("checked").verdicts;
    assert_eq!(told[0].as_deref(), Some("another-name"));
    // What applying them together would do.
    let mut together = document::new(&an.key);
    together
        .apply_changes([forged, takes_away])
        .expect("applies");
    assert!(makes_sense(&an.key, &Whole::of(&together)).is_ok());
}

#[test]
fn a_change_of_too_many_operations_is_not_looked_into() {
    let an = Writer::new(Key::patrol(
        UnitId::from_bytes([1; 16]),
        uuid::Uuid::from_u128(9),
    ));
    let (_, honest) = an.write(|log: &mut PatrolLog| {
        let new = NewPatrol {
            title: "Ca tối".to_owned(),
            ..NewPatrol::default()
        };
        log.start(an.stamp(), new).expect("starts");
    });
    let (_, says) = canonical(&honest.0).expect("canonical");
    for (count, verdict) in [
        (OPERATIONS_LIMIT + 1, Err("breaks-a-rule")),
        (OPERATIONS_LIMIT, Ok(())),
    ] {
        let mut many = says.clone();
        let last = many.operations.pop().expect("some");
        many.operations.resize(count, last);
        let many = AutomergeChange::from(many);
        assert_eq!(canonical(many.raw_bytes()).map(|_| ()), verdict, "{count}");
    }
}
