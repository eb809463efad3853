//! Nothing is lost on the way across, and nothing personal gets out by an error.

use super::*;
use kieumau_core::{
    evidence::{Evidence, NewEvidence},
    stamp::Stamp,
};
use uniffi::{Lift, Lower};

const AT_MS: i64 = 1_795_410_000_000;

fn person(byte: u8) -> PersonId {
    PersonId::from_bytes([byte; 16])
}

/// What arrives on the other side of the border and comes back.
fn crossed<T: Lower<crate::UniFfiTag> + Lift<crate::UniFfiTag>>(value: T) -> uniffi::Result<T> {
    let mut bytes = Vec::new();
    T::write(value, &mut bytes);
    let mut rest = bytes.as_slice();
    let value = T::try_read(&mut rest)?;
    assert!(rest.is_empty(), "bytes that nobody read");
    Ok(value)
}

fn new_observation() -> NewObservation {
    NewObservation {
        category: "urban-order".into(),
        count: 3,
        count_unit: "case".into(),
        happened_at_ms: Some(AT_MS - 60_000),
        position: Some(Position {
            lat: 18.673_4,
            lon: 105.681_3,
        }),
        measures_taken: vec!["fined".into(), "reminded".into()],
        fine_vnd: Some(2_500_000),
        exhibits_held: Some(1),
        vehicles_held: Some(2),
        record_number: Some("15/BB-VPHC".into()),
        handed_over_to: Some("Công an phường Trường Vinh".into()),
        note: Some("Lấn chiếm vỉa hè".into()),
        withdrawn: true,
    }
}

#[test]
fn an_observation_keeps_every_field_in_and_out() {
    let new = crossed(new_observation()).expect("readable");
    assert_eq!(new, new_observation());
    let stamp = Stamp {
        by: person(1),
        at_ms: AT_MS,
        random: [7; 10],
    };
    let new = new.try_into().expect("on Earth");
    let mut core = observation::Observation::record(stamp, new).expect("within the rules");
    core.edited_by = Some(person(2));
    let out = crossed(Observation::from(core)).expect("readable");
    let said = new_observation();
    assert_eq!(
        out,
        Observation {
            category: said.category,
            count: said.count,
            count_unit: said.count_unit,
            happened_at_ms: AT_MS - 60_000,
            recorded_at_ms: AT_MS,
            recorded_by: person(1),
            edited_by: Some(person(2)),
            position: said.position,
            measures_taken: said.measures_taken,
            fine_vnd: said.fine_vnd,
            exhibits_held: said.exhibits_held,
            vehicles_held: said.vehicles_held,
            record_number: said.record_number,
            handed_over_to: said.handed_over_to,
            note: said.note,
            withdrawn_at_ms: Some(AT_MS),
        }
    );
}

#[test]
fn evidence_keeps_every_field_in_and_out() {
    let new = NewEvidence {
        evidence_kind: "decision".into(),
        summary: "Kiện toàn tổ tuần tra".into(),
        document_number: Some("12/QĐ-CAP".into()),
        issued_on: Some("2026-03-31".into()),
        issued_by: Some("Công an phường".into()),
        signed_by: Some("Trưởng Công an phường".into()),
        note: Some("Bản sao".into()),
        withdrawn: true,
    };
    assert_eq!(crossed(new.clone()).expect("readable"), new);
    let filed = Evidence {
        evidence_kind: new.evidence_kind,
        summary: new.summary,
        document_number: new.document_number,
        issued_on: new.issued_on,
        issued_by: new.issued_by,
        signed_by: new.signed_by,
        note: new.note,
        recorded_at_ms: AT_MS,
        recorded_by: person(1),
        edited_by: Some(person(2)),
        withdrawn_at_ms: Some(AT_MS + 1),
    };
    assert_eq!(crossed(filed.clone()).expect("readable"), filed);
}

#[test]
fn a_fix_is_never_more_exact_than_its_source_said() {
    let fix = |accuracy_m| Fix {
        at_ms: AT_MS,
        position: Position {
            lat: 18.673_4,
            lon: 105.681_3,
        },
        accuracy_m,
    };
    let decimetres = |accuracy_m| {
        position::Fix::try_from(fix(accuracy_m))
            .expect("on Earth")
            .accuracy_dm
    };
    assert_eq!(decimetres(Some(8.01)), Some(81));
    assert_eq!(decimetres(None), None);
    for senseless in [f64::NAN, -3.0] {
        assert_eq!(decimetres(Some(senseless)), Some(0));
    }
    let kept = position::Fix::try_from(fix(Some(8.5))).expect("on Earth");
    assert_eq!(Fix::from(kept), fix(Some(8.5)));
}

#[test]
fn a_place_off_the_map_is_invalid_at_position() {
    let mut new = new_observation();
    new.position = Some(Position { lat: 0.0, lon: 0.0 });
    let refused = observation::NewObservation::try_from(new).map_err(PhoneError::from);
    assert_eq!(
        refused,
        Err(PhoneError::Invalid {
            field: "position".into(),
            rule: Rule::OffTheMap
        })
    );
}

#[test]
fn a_string_that_is_no_id_is_invalid_at_what_it_should_name() {
    let mut bytes = Vec::new();
    <String as Lower<crate::UniFfiTag>>::write("not-an-id".into(), &mut bytes);
    let lifted = <DocumentId as Lift<crate::UniFfiTag>>::try_read(&mut bytes.as_slice());
    let error = lifted.expect_err("no UUID").downcast::<PhoneError>();
    assert_eq!(
        error.expect("one of the six"),
        PhoneError::Invalid {
            field: "document".into(),
            rule: Rule::Malformed
        }
    );
}

#[test]
fn a_key_of_31_bytes_opens_nothing() {
    let config = |length| PhoneConfig {
        folder: "anywhere".into(),
        key: vec![1; length],
        app_version: "0.1.0".into(),
    };
    let refused = config(31).with(std::sync::Arc::new(|| AT_MS));
    assert_eq!(
        refused.map(|_| ()),
        Err(PhoneError::Invalid {
            field: "key".into(),
            rule: Rule::Malformed
        })
    );
    assert!(config(32).with(std::sync::Arc::new(|| AT_MS)).is_ok());
}

#[test]
fn no_error_prints_what_somebody_wrote() {
    const CONTENT: &str = "Lấn chiếm vỉa hè";
    let internal = phone::PhoneError::internal(CONTENT);
    assert!(internal.to_string().contains(CONTENT), "the twin prints it");
    assert!(!PhoneError::from(internal).to_string().contains(CONTENT));

    let thrown = uniffi::UnexpectedUniFFICallbackError::new(CONTENT);
    let heard = PhoneError::from(thrown);
    assert!(!format!("{heard} {heard:?}").contains(CONTENT));

    let mut new = new_observation();
    new.category = CONTENT.into();
    let core = observation::NewObservation::try_from(new).expect("on Earth");
    let stamp = Stamp {
        by: person(1),
        at_ms: AT_MS,
        random: [7; 10],
    };
    let broken = observation::Observation::record(stamp, core).expect_err("no such category");
    assert_eq!(PhoneError::from(broken).to_string(), "category: unknown");
}

#[test]
fn the_catalogue_crosses_with_22_criteria_and_no_empty_list() {
    let catalogue = Catalogue::from(catalogue::Catalogue::placeholder());
    assert!(catalogue.placeholder);
    assert_eq!(catalogue.criteria.len(), 22);
    for list in [
        &catalogue.categories,
        &catalogue.measures_taken,
        &catalogue.count_units,
        &catalogue.evidence_kinds,
        &catalogue.forces,
        &catalogue.vehicles,
    ] {
        assert!(!list.is_empty());
    }
}
