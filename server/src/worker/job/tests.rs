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
