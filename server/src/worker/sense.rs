//! What a change may say: the document is still of its kind, its texts keep their rules, and the names in it are those of the
//! people whose phones wrote them.
//!
//! A phone can seal anything; here is where "An did this" is tied to An's phone. Rules that two honest edits could break together
//! are not asked (see `EvidenceFile::check`): what is refused here is refused for good.

use crate::projection::ReadDocument;
use automerge::{ObjId, ObjType, ROOT, Value, ValueRef};
use kieumau_core::{
    document::{self, Actor, Key, Kind, Whole},
    id::{PersonId, PhoneId},
    patrol::PatrolLog,
    track,
};
use std::collections::BTreeMap;

/// Whether the document is still of its kind, in form and in names; then what it holds.
pub(super) fn makes_sense(
    key: &Key,
    document: &Whole<'_>,
    people: &BTreeMap<PhoneId, PersonId>,
) -> Result<ReadDocument, &'static str> {
    let read = ReadDocument::read(key, document).map_err(|_| "not-its-kind")?;
    let signed: &[(&str, &[&str])] = match key.kind {
        Kind::PatrolLog => &[
            ("observations", &["recorded_by", "edited_by"]),
            ("pauses", &["by"]),
            ("visits", &["by"]),
            ("track", &["by"]),
            ("handovers", &["from"]),
            ("attachments", &["attached_by"]),
        ],
        Kind::EvidenceFile => &[
            ("items", &["recorded_by", "edited_by"]),
            ("attachments", &["attached_by"]),
        ],
        Kind::Review | Kind::Reference => &[],
    };
    for (map, fields) in signed {
        names_hold(document, map, fields, people)?;
    }
    document::check(document).map_err(|_| "breaks-a-rule")?;
    match &read {
        ReadDocument::Patrol(log) => {
            for field in ["started_by", "ended_by"] {
                name_holds(document, &ROOT, field, people)?;
            }
            confirmed_by_takers(document, log, people)?;
            log.check().map_err(|_| "breaks-a-rule")?;
            let mut chunks = log.track.values();
            if chunks.any(|chunk| track::unpack(&chunk.fixes).is_err()) {
                return Err("track-malformed");
            }
        }
        ReadDocument::Evidence(file) => file.check().map_err(|_| "breaks-a-rule")?,
        ReadDocument::Review(..) | ReadDocument::Reference(_) | ReadDocument::Nothing => {}
    }
    Ok(read)
}

/// Whether each name in these fields is that of the person whose phone wrote it.
fn names_hold(
    document: &Whole<'_>,
    map: &str,
    fields: &[&str],
    people: &BTreeMap<PhoneId, PersonId>,
) -> Result<(), &'static str> {
    let records = record(document, &ROOT, map).ok_or("not-its-kind")?;
    for (name, _) in document.fields(records) {
        let record = record(document, records, name).ok_or("not-its-kind")?;
        for field in fields {
            name_holds(document, record, field, people)?;
        }
    }
    Ok(())
}

/// The map that a field shows.
fn record<'w>(document: &'w Whole<'_>, map: &ObjId, name: &str) -> Option<&'w ObjId> {
    let shown = document.shown(map, name)?;
    matches!(shown.value, ValueRef::Object(ObjType::Map)).then_some(&shown.id)
}

/// Whether each name at `field` of `record` is that of the person whose phone wrote it.
fn name_holds(
    document: &Whole<'_>,
    record: &ObjId,
    field: &str,
    people: &BTreeMap<PhoneId, PersonId>,
) -> Result<(), &'static str> {
    let values = document.values(record, field);
    for (value, written) in values.map_err(|_| "not-its-kind")? {
        let Some(name) = value.as_str() else { continue };
        let another = |person: PersonId| person.to_string() != name;
        if !is_birth(&written) && writer(&written, people).is_none_or(another) {
            return Err("another-name");
        }
    }
    Ok(())
}

/// Whether each handover was confirmed by the phone of who takes over.
fn confirmed_by_takers(
    document: &Whole<'_>,
    log: &PatrolLog,
    people: &BTreeMap<PhoneId, PersonId>,
) -> Result<(), &'static str> {
    let handovers = record(document, &ROOT, "handovers").ok_or("not-its-kind")?;
    for (id, handover) in &log.handovers {
        let record = record(document, handovers, &id.to_string()).ok_or("not-its-kind")?;
        let confirmations = document
            .values(record, "confirmed_at_ms")
            .map_err(|_| "not-its-kind")?;
        let another = |(value, written): &(Value<'_>, ObjId)| {
            !value.is_null() && writer(written, people) != Some(handover.to)
        };
        if confirmations.iter().any(another) {
            return Err("another-name");
        }
    }
    Ok(())
}

/// Whose phone wrote a value; none for a phone that is not known here.
fn writer(written: &ObjId, people: &BTreeMap<PhoneId, PersonId>) -> Option<PersonId> {
    let ObjId::Id(_, actor, _) = written else {
        return None;
    };
    let actor = Actor::from_slice(actor.to_bytes())?;
    people.get(&actor.phone).copied()
}

/// Whether a value came with the document's birth, which is nobody's.
fn is_birth(written: &ObjId) -> bool {
    !matches!(written, ObjId::Id(_, actor, _) if actor.to_bytes().len() == Actor::LEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use automerge::Automerge;
    use kieumau_core::{id::UnitId, patrol::NewPatrol, stamp::Stamp};

    const AN: u8 = 1;
    const HA: u8 = 2;
    const BINH: u8 = 3;

    fn person(number: u8) -> PersonId {
        PersonId::from_bytes([number; 16])
    }

    fn key() -> Key {
        Key::patrol(UnitId::from_bytes([9; 16]), uuid::Uuid::from_bytes([8; 16]))
    }

    /// A patrol that An started.
    fn started() -> Automerge {
        let mut document = document::new(&key());
        let new = NewPatrol {
            title: "Ca đêm".to_owned(),
            ..NewPatrol::default()
        };
        by(AN, &mut document, |log, stamp| log.start(stamp, new));
        document
    }

    /// One edit from the phone of `number`, in the name of its person.
    fn by<T>(
        number: u8,
        document: &mut Automerge,
        change: impl FnOnce(&mut PatrolLog, Stamp) -> Result<T, kieumau_core::invalid::Invalid>,
    ) -> T {
        let stamp = Stamp {
            by: person(number),
            at_ms: 1_000,
            random: [number; 10],
        };
        let actor = Actor {
            phone: PhoneId::from_bytes([number; 16]),
            opening: [number; 8],
        };
        let edited = document::edit(document, actor, 1_000, |log| change(log, stamp));
        edited.expect("edits").0
    }

    fn judged(document: &Automerge) -> Result<(), &'static str> {
        let people = [AN, HA, BINH]
            .map(|number| (PhoneId::from_bytes([number; 16]), person(number)))
            .into();
        makes_sense(&key(), &Whole::of(document), &people).map(|_| ())
    }

    #[test]
    fn nobody_starts_or_ends_a_patrol_in_anothers_name() {
        let mut document = started();
        assert_eq!(judged(&document), Ok(()));
        by(HA, &mut document, |log, _| {
            log.ended_at_ms = Some(2_000);
            log.ended_by = Some(person(AN));
            Ok(())
        });
        assert_eq!(judged(&document), Err("another-name"));
        let mut document = started();
        by(HA, &mut document, |log, _| {
            log.started_by = Some(person(BINH));
            Ok(())
        });
        assert_eq!(judged(&document), Err("another-name"));
    }

    #[test]
    fn only_who_takes_over_confirms_a_handover() {
        let mut document = started();
        let id = by(AN, &mut document, |log, stamp| {
            log.hand_over(stamp, person(BINH), "")
        });
        assert_eq!(judged(&document), Ok(()));
        let mut confirmed = document.clone();
        by(BINH, &mut confirmed, |log, stamp| {
            log.confirm_handover(stamp, id)
        });
        assert_eq!(judged(&confirmed), Ok(()));
        by(AN, &mut document, |log, _| {
            let handover = log.handovers.get_mut(&id).expect("is there");
            handover.confirmed_at_ms = Some(2_000);
            Ok(())
        });
        assert_eq!(judged(&document), Err("another-name"));
    }
}
