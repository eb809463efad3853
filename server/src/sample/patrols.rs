//! The sample's patrols: rounds through Trường Vinh at walking pace, with a receiver's noise and a stretch without signal.

use super::author::{Draft, SamplePhone};
use crate::{app::OpenError, clock, intake::PreparedPush};
use kieumau_core::{
    document::Key,
    hash::Sha256,
    id::{CheckpointId, ObservationId, PersonId, UnitId},
    observation::NewObservation,
    patrol::{NewPatrol, PatrolLog},
    position::{Fix, Position},
    reference::Checkpoint,
    track::FIXES_PER_CHUNK,
};
use std::collections::BTreeMap;

const MINUTE_MS: i64 = 60_000;
/// Steps of a patrol, one every 45 seconds.
const STEPS: i64 = 150;
/// The steps that the receiver does not hear: a gap of about 300 metres.
const SILENT: std::ops::Range<i64> = 78..90;

/// Corners of a round through Trường Vinh, degrees; our own reading of where streets cross.
const ROUND: [(f64, f64); 8] = [
    (18.6713, 105.6866),
    (18.6742, 105.6893),
    (18.6771, 105.6921),
    (18.6795, 105.6886),
    (18.6812, 105.6851),
    (18.6784, 105.6818),
    (18.6753, 105.6789),
    (18.6726, 105.6827),
];

/// What the patrols see: category, count, unit, measure, note.
const SEEN: [(&str, i64, &str, &str, &str); 6] = [
    (
        "urban-order",
        3,
        "household",
        "reminded",
        "Lấn chiếm vỉa hè, đã thu dọn",
    ),
    ("traffic-order", 2, "case", "fined", "Đỗ xe trên vỉa hè"),
    (
        "public-order",
        1,
        "group",
        "dispersed",
        "Tụ tập gây ồn sau 23 giờ",
    ),
    (
        "assistance",
        1,
        "turn",
        "assisted",
        "Giúp người dân đẩy xe ngập nước",
    ),
    (
        "urban-order",
        5,
        "case",
        "reminded",
        "Biển quảng cáo sai quy định",
    ),
    (
        "fire-rescue",
        1,
        "incident",
        "reminded",
        "Nhắc nhở lối thoát nạn bị chắn",
    ),
];

/// The checkpoints of the sample's wards.
pub fn checkpoints() -> BTreeMap<CheckpointId, Checkpoint> {
    let names = [
        "Cầu Kênh Bắc",
        "Ngã tư Lê Lợi",
        "Công viên Trung tâm",
        "Chợ Vinh",
    ];
    (0_u8..)
        .zip(names)
        .zip(ROUND.iter().step_by(2))
        .filter_map(|((at, name), (lat, lon))| {
            let place = Position::from_degrees(*lat, *lon).ok()?;
            let checkpoint = Checkpoint {
                name: name.to_owned(),
                lat_e7: place.lat_e7,
                lon_e7: place.lon_e7,
                removed_at_ms: None,
            };
            Some((checkpoint_id(at), checkpoint))
        })
        .collect()
}

fn checkpoint_id(at: u8) -> CheckpointId {
    CheckpointId::from_bytes([at + 1; 16])
}

/// One night's patrol, as that phone would have pushed it.
pub(super) fn write(
    unit: UnitId,
    phone: &SamplePhone,
    colleague: PersonId,
    night: i64,
    midnight_ms: i64,
) -> Result<PreparedPush, OpenError> {
    let started_ms = midnight_ms + 14 * 60 * MINUTE_MS + (night % 5) * 10 * MINUTE_MS;
    let mut random = [0; 10];
    random.copy_from_slice(&Sha256::of(&night.to_be_bytes()).as_bytes()[..10]);
    let fresh = ObservationId::fresh(started_ms, random);
    let key = Key::patrol(unit, uuid::Uuid::from_bytes(*fresh.as_bytes()));
    let mut draft = Draft::new(phone, key, night.unsigned_abs());
    let title = format!("Ca đêm {}", &clock::vietnamese(started_ms)[..5]);
    draft.write(started_ms, |log: &mut PatrolLog, stamp| {
        let new = NewPatrol {
            title,
            team: vec![colleague],
            forces: BTreeMap::from([
                ("ward-police".to_owned(), 2),
                ("grassroots-security".to_owned(), 3),
            ]),
            vehicles: BTreeMap::from([("motorbike".to_owned(), 2)]),
            ..NewPatrol::default()
        };
        log.start(stamp, new)
    })?;
    let fixes = walk(night, started_ms);
    for fixes in fixes.chunks(FIXES_PER_CHUNK) {
        let at_ms = fixes.last().map_or(started_ms, |fix| fix.at_ms);
        draft.write(at_ms, |log: &mut PatrolLog, stamp| {
            log.add_track(stamp, None, fixes).map(|_| ())
        })?;
    }
    for step in 0..=night % 3 {
        let (category, count, count_unit, measure, note) =
            SEEN[usize::try_from((night + step) % 6)?];
        let fix = &fixes[usize::try_from(20 + step * 40)?];
        draft.write(fix.at_ms, |log: &mut PatrolLog, stamp| {
            let new = NewObservation {
                position: Some(fix.position),
                measures_taken: vec![measure.to_owned()],
                fine_vnd: (measure == "fined").then_some(500_000),
                note: Some(note.to_owned()),
                ..NewObservation::of(category, count, count_unit)
            };
            log.observe(stamp, new)
        })?;
    }
    for at in 0..2 + u8::try_from(night % 3)? {
        let at_ms = started_ms + i64::from(at + 1) * 20 * MINUTE_MS;
        draft.write(at_ms, |log: &mut PatrolLog, stamp| {
            log.visit(stamp, checkpoint_id(at), "gps")
        })?;
    }
    let ended_ms = fixes.last().map_or(started_ms, |fix| fix.at_ms) + MINUTE_MS;
    draft.write(ended_ms, |log: &mut PatrolLog, stamp| log.end(stamp))?;
    draft.push()
}

/// Two rounds with noise, and steps that the receiver does not hear.
fn walk(night: i64, started_ms: i64) -> Vec<Fix> {
    (0..STEPS)
        .filter(|step| !SILENT.contains(step))
        .filter_map(|step| step_of(night, started_ms, step))
        .collect()
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "steps are small and not negative"
)]
fn step_of(night: i64, started_ms: i64, step: i64) -> Option<Fix> {
    let along = (step + night * 3) as f64 / 12.0;
    let (corner, part) = (along as usize, along.fract());
    let (from, to) = (ROUND[corner % 8], ROUND[(corner + 1) % 8]);
    let noise =
        |salt: i64| ((((step + 1) * (night + 7) * salt) % 97) as f64 / 97.0 - 0.5) * 0.00012;
    let lat = from.0 + (to.0 - from.0) * part + noise(31);
    let lon = from.1 + (to.1 - from.1) * part + noise(57);
    Some(Fix {
        at_ms: started_ms + step * 45_000,
        position: Position::from_degrees(lat, lon).ok()?,
        accuracy_dm: u32::try_from(40 + (step * 13 + night) % 60).ok(),
    })
}
