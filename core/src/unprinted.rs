//! What people wrote, and where they were, is never printed by accident: `Debug` ends up in logs and in panics. A type that holds
//! any of it says its name and nothing else; what a test compares it tells apart by its fields.

/// Gives each of these types a `Debug` that says its name and nothing of what it holds.
#[macro_export]
macro_rules! unprinted {
    ($($name:ident),+ $(,)?) => {$(
        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )+};
}

#[cfg(test)]
mod tests {
    use crate::{
        evidence::{EvidenceFile, NewEvidence},
        id::PersonId,
        observation::NewObservation,
        patrol::{NewPatrol, PatrolLog},
        reference::ReferencePerson,
        review::{NewDecision, Verdict},
        stamp::Stamp,
    };

    const SECRET: &str = "Bà Lan, số 7";

    #[test]
    fn nothing_that_was_written_is_printed() {
        let stamp = Stamp {
            by: PersonId::from_bytes([1; 16]),
            at_ms: 5,
            random: [0; 10],
        };
        let patrol = NewPatrol {
            title: SECRET.to_owned(),
            ..NewPatrol::default()
        };
        let observation = NewObservation {
            note: Some(SECRET.to_owned()),
            ..NewObservation::of("urban-order", 1, "case")
        };
        let evidence = NewEvidence {
            evidence_kind: "photo".to_owned(),
            summary: SECRET.to_owned(),
            ..NewEvidence::default()
        };
        let decision = NewDecision {
            verdict: Verdict::Returned,
            heads: Vec::new(),
            field: None,
            remark: Some(SECRET.to_owned()),
            withdraws: None,
        };
        let person = ReferencePerson {
            name: SECRET.to_owned(),
            role: "officer".to_owned(),
            left_at_ms: None,
        };
        let asked = format!("{patrol:?}{observation:?}{evidence:?}{decision:?}{person:?}");
        let (mut log, mut file) = (PatrolLog::default(), EvidenceFile::default());
        log.start(stamp, patrol).expect("starts");
        log.observe(stamp, observation).expect("observes");
        let to = PersonId::from_bytes([2; 16]);
        log.hand_over(stamp, to, SECRET).expect("hands over");
        file.file(stamp, evidence).expect("filed");
        let written = format!(
            "{log:?}{file:?}{:?}{:?}",
            log.observations.values(),
            log.handovers.values()
        );
        for printed in [asked, written] {
            assert!(
                !printed.contains("Lan") && printed.contains("(…)"),
                "{printed}"
            );
        }
        // The twin: what derives it prints everything.
        assert!(format!("{:?}", Some(SECRET)).contains("Lan"));
    }
}
