//! Officers: what people record, through the same typed edits as the product's store.

use crate::{
    draw::Draw,
    phone::{Phone, Stop},
};
use kieumau_core::{
    attachment::Attachment,
    criterion::CriterionNumber,
    document::Key,
    evidence::{EvidenceFile, NewEvidence},
    hash::Sha256,
    id::{PersonId, fresh},
    invalid::Invalid,
    observation::NewObservation,
    patrol::{NewPatrol, PatrolLog},
    stamp::Stamp,
};

/// What was recorded: in which document, by which change.
pub type Recorded = Option<(Key, Sha256)>;

/// The period of every evidence file here.
const PERIOD: &str = "2025-11-16..2026-11-15";

/// Records something: an observation, evidence, or a new patrol where there is none yet.
pub fn record(phone: &mut Phone, at_ms: i64, draw: &mut Draw) -> Result<Recorded, Stop> {
    let stamp = stamp(phone, at_ms, draw);
    phone.unfold_all()?;
    let patrols = patrols(phone);
    if draw.chance(350) {
        let key = evidence(phone, draw);
        let edit = |file: &mut EvidenceFile| file.file(stamp, photo(draw)).map(drop);
        return done(&key, phone.edit(&key, stamp.at_ms, None, edit));
    }
    let Some(key) = draw.one_of(&patrols).filter(|_| draw.chance(850)).cloned() else {
        let key = Key::patrol(phone.unit, fresh(stamp.at_ms, draw.bytes()));
        let team = colleague(phone, draw);
        let new = NewPatrol {
            title: "Ca tối".to_owned(),
            team: team.into_iter().filter(|_| draw.chance(500)).collect(),
            ..NewPatrol::default()
        };
        let edit = |log: &mut PatrolLog| log.start(stamp, new);
        return done(&key, phone.edit(&key, stamp.at_ms, None, edit));
    };
    let count = i64::try_from(draw.within(1, 9)).unwrap_or(1);
    let new = NewObservation::of("urban-order", count, "case");
    let edit = |log: &mut PatrolLog| log.observe(stamp, new).map(drop);
    done(&key, phone.edit(&key, stamp.at_ms, None, edit))
}

/// Attaches a photo to a patrol or to the evidence.
pub fn attach(phone: &mut Phone, at_ms: i64, draw: &mut Draw) -> Result<Recorded, Stop> {
    let stamp = stamp(phone, at_ms, draw);
    let size = draw.within(1, 2_000);
    let bytes = draw.many(size);
    let sha256 = Sha256::of(&bytes);
    let attachment = Attachment {
        item: None,
        sha256,
        size_bytes: i64::try_from(size).unwrap_or(1),
        media_type: "image/jpeg".to_owned(),
        attached_at_ms: stamp.at_ms,
        attached_by: stamp.by,
        withdrawn_at_ms: None,
    };
    phone.unfold_all()?;
    let patrols = patrols(phone);
    let file = Some((sha256, bytes));
    match draw.one_of(&patrols) {
        Some(key) => {
            let edit = |log: &mut PatrolLog| log.attach(stamp, attachment).map(drop);
            done(key, phone.edit(key, stamp.at_ms, file, edit))
        }
        None => {
            // A photo hangs on a piece of evidence: both in one change.
            let key = evidence(phone, draw);
            let new = photo(draw);
            let edit = |evidence: &mut EvidenceFile| {
                let item = evidence.file(stamp, new)?;
                let hung = Attachment {
                    item: Some(item.to_string()),
                    ..attachment
                };
                evidence.attach(stamp, hung).map(drop)
            };
            done(&key, phone.edit(&key, stamp.at_ms, file, edit))
        }
    }
}

/// Somebody scans the QR of a colleague's patrol, or is handed the shift.
pub fn join(
    phone: &mut Phone,
    offered: &[Key],
    at_ms: i64,
    draw: &mut Draw,
) -> Result<Recorded, Stop> {
    let stamp = stamp(phone, at_ms, draw);
    let Some(key) = draw.one_of(offered) else {
        return Ok(None);
    };
    let to = colleague(phone, draw);
    let edit = |log: &mut PatrolLog| -> Result<(), Invalid> {
        match to.filter(|_| log.has(stamp.by)) {
            Some(to) => log.hand_over(stamp, to, "Giao ca").map(drop),
            None => {
                log.join(stamp);
                Ok(())
            }
        }
    };
    done(key, phone.edit(key, stamp.at_ms, None, edit))
}

fn done(key: &Key, edited: Result<Option<Sha256>, Stop>) -> Result<Recorded, Stop> {
    Ok(edited?.map(|hash| (key.clone(), hash)))
}

fn stamp(phone: &Phone, at_ms: i64, draw: &mut Draw) -> Stamp {
    Stamp {
        by: phone.person,
        at_ms: at_ms + phone.skew_ms,
        random: draw.bytes(),
    }
}

/// The patrols on this phone whose team its person is on.
fn patrols(phone: &Phone) -> Vec<Key> {
    let documents = phone.disk.documents.values();
    let mine = documents.filter(|kept| kept.team.contains(&phone.person));
    mine.map(|kept| kept.key.clone()).collect()
}

/// One of the two evidence files that people of this unit write together.
fn evidence(phone: &Phone, draw: &mut Draw) -> Key {
    let criterion = if draw.chance(500) { 20 } else { 5 };
    let criterion = CriterionNumber::new(criterion).expect("a number");
    Key::evidence(phone.unit, criterion, &PERIOD.parse().expect("a period"))
}

fn photo(draw: &mut Draw) -> NewEvidence {
    NewEvidence {
        evidence_kind: "photo".to_owned(),
        summary: format!("Vỉa hè số {}", draw.below(100)),
        ..NewEvidence::default()
    }
}

/// Another person of the unit.
fn colleague(phone: &Phone, draw: &mut Draw) -> Option<PersonId> {
    let people = [50, 51, 52].map(|number| PersonId::from_bytes([number; 16]));
    let others: Vec<PersonId> = people
        .into_iter()
        .filter(|one| *one != phone.person)
        .collect();
    draw.one_of(&others).copied()
}
