//! A year of sample patrols, written as phones would write them: real documents, real seals, the same intake, the same worker.
//! Invented, without randomness of its own: the same year each time.

use crate::{
    app::{App, OpenError},
    checker, clock,
    enrolment::{self, Enrolment},
    intake::{self, PreparedChange, PreparedDocument, PreparedPush},
};
use ed25519_dalek::SigningKey;
use kieumau_core::{
    document::{self, Actor, Change, Key},
    hash::Sha256,
    header,
    id::{CheckpointId, ObservationId, PersonId, PhoneId, UnitId},
    log::admission::Candidate,
    observation::NewObservation,
    patrol::{NewPatrol, PatrolLog},
    position::{Fix, Position},
    reference::Checkpoint,
    seal::Signer,
    stamp::Stamp,
    track::FIXES_PER_CHUNK,
};
use std::collections::{BTreeMap, BTreeSet};

const DAY_MS: i64 = 24 * 3_600_000;
/// Patrols in one transaction.
const GROUP: usize = 64;

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

/// What the sample's patrols see: category, count, unit, measure, note.
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

/// The checkpoints of the sample's ward.
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
            };
            Some((CheckpointId::from_bytes([at + 1; 16]), checkpoint))
        })
        .collect()
}

/// A sample phone: enrolled in the log like any other, its key thrown away when the sample is written.
struct SamplePhone {
    id: PhoneId,
    person: PersonId,
    key: SigningKey,
}

/// Fills `unit` with `nights` nights of patrols by these two officers, up to last night.
///
/// # Errors
/// What the database or a worker says.
pub async fn fill(
    app: &App,
    unit: UnitId,
    officers: [PersonId; 2],
    nights: i64,
) -> Result<(), OpenError> {
    if nights == 0 {
        return Ok(());
    }
    let mut phones = Vec::new();
    for person in officers {
        phones.push(enrol(app, unit, person).await?);
    }
    let last_night = clock::now_ms().div_euclid(DAY_MS) * DAY_MS - DAY_MS;
    let mut pushes = Vec::with_capacity(GROUP);
    for night in 0..nights {
        // Sunday nights belong to the other shift: a year has holes.
        if night % 7 == 6 {
            continue;
        }
        let phone = &phones[usize::try_from(night % 2)?];
        let colleague = phones[usize::try_from((night + 1) % 2)?].person;
        pushes.push(patrol(
            unit,
            phone,
            colleague,
            night,
            last_night - (nights - 1 - night) * DAY_MS,
        )?);
        if pushes.len() == GROUP {
            intake::write(app, &pushes.iter().collect::<Vec<_>>()).await?;
            pushes.clear();
        }
    }
    intake::write(app, &pushes.iter().collect::<Vec<_>>()).await?;
    while checker::round(app).await? > 0 {}
    Ok(())
}

async fn enrol(app: &App, unit: UnitId, person: PersonId) -> Result<SamplePhone, OpenError> {
    let key = SigningKey::from_bytes(&rand::random());
    let now_ms = clock::now_ms();
    let id = PhoneId::fresh(now_ms, rand::random());
    let public_key = key.verifying_key().to_bytes();
    let mut tx = app.database.begin().await?;
    let made = Enrolment::Made {
        phone: id,
        person,
        unit,
        public_key,
        at_ms: now_ms,
    };
    let leaf = enrolment::record_leaf(&mut tx, &made).await?;
    sqlx::query(
        "insert into phone (phone_id, person_id, unit_id, algorithm, public_key, model, app_version, enrolled_at_ms, \
         enrolled_leaf) values ($1, $2, $3, 'Ed25519', $4, 'Thiết bị mẫu', 'sample', $5, $6)",
    )
    .bind(id.to_string())
    .bind(person.to_string())
    .bind(unit.to_string())
    .bind(public_key.to_vec())
    .bind(now_ms)
    .bind(leaf)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(SamplePhone { id, person, key })
}

/// One night's patrol, as that phone would have pushed it.
fn patrol(
    unit: UnitId,
    phone: &SamplePhone,
    colleague: PersonId,
    night: i64,
    midnight_ms: i64,
) -> Result<PreparedPush, OpenError> {
    let started_ms = midnight_ms + 14 * 3_600_000 + (night % 5) * 600_000;
    let fresh = ObservationId::fresh(started_ms, random(night, 0));
    let key = Key::patrol(unit, uuid::Uuid::from_bytes(*fresh.as_bytes()));
    let mut document = document::new(&key);
    let actor = Actor {
        phone: phone.id,
        opening: [u8::try_from(night % 256)?; 8],
    };
    let stamp = |step: i64| Stamp {
        by: phone.person,
        at_ms: started_ms + step * 600_000,
        random: random(night, step + 1),
    };
    let fixes = walk(night, started_ms);
    let mut changes: Vec<Change> = Vec::new();
    let mut write = |step: i64,
                     edit: &mut dyn FnMut(
        &mut PatrolLog,
        Stamp,
    ) -> Result<(), kieumau_core::invalid::Invalid>| {
        let stamp = stamp(step);
        document::edit(&mut document, actor, stamp.at_ms, |log: &mut PatrolLog| {
            edit(log, stamp)
        })
        .map(|((), change)| changes.extend(change))
    };
    let day = clock::vietnamese(started_ms);
    write(0, &mut |log, stamp| {
        let new = NewPatrol {
            title: format!("Ca đêm {}", &day[..5]),
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
    for (step, fixes) in (1..).zip(fixes.chunks(FIXES_PER_CHUNK)) {
        write(step, &mut |log, stamp| log.add_track(stamp, fixes))?;
    }
    for step in 0..=night % 3 {
        let (category, count, unit, measure, note) = SEEN[usize::try_from((night + step) % 6)?];
        let place = fixes
            .get(usize::try_from(20 + step * 30)?)
            .map(|fix| fix.position);
        write(4 + step, &mut |log, stamp| {
            let new = NewObservation {
                position: place,
                measures_taken: vec![measure.to_owned()],
                fine_vnd: (measure == "fined").then_some(500_000),
                note: Some(note.to_owned()),
                ..NewObservation::of(category, count, unit)
            };
            log.observe(stamp, new).map(|_| ())
        })?;
    }
    write(9, &mut |log, stamp| log.end(stamp))?;
    prepared(key, phone, changes)
}

/// The change list as intake takes it, with one seal over all: one actor wrote it in a row.
fn prepared(
    key: Key,
    phone: &SamplePhone,
    changes: Vec<Change>,
) -> Result<PreparedPush, OpenError> {
    let last = changes.last().ok_or("a patrol without a change")?.hash;
    let seals = vec![key.seal(&phone.key, Signer::Phone(phone.id), last)];
    let sealed: BTreeSet<Sha256> = changes.iter().map(|change| change.hash).collect();
    let changes = changes
        .into_iter()
        .map(|change| {
            let header = header::read(&change.bytes)?;
            let actor = hex::encode(header.actor).into_bytes();
            let candidate = Candidate {
                hash: header.hash,
                actor,
                seq: header.seq,
                deps: header.deps,
            };
            Ok(PreparedChange {
                candidate,
                written_at_s: header.time_s,
                bytes: change.bytes,
            })
        })
        .collect::<Result<Vec<_>, header::HeaderError>>()?;
    let unit = key.unit;
    let documents = vec![PreparedDocument {
        key,
        changes,
        seals,
        sealed,
    }];
    Ok(PreparedPush {
        carrier: Some(phone.id),
        unit,
        documents,
        receipts: Vec::new(),
        refused: Vec::new(),
    })
}

/// Two rounds at walking pace with a receiver's noise, and one gap where the signal was lost.
fn walk(night: i64, started_ms: i64) -> Vec<Fix> {
    let mut fixes = Vec::new();
    let mut at_ms = started_ms;
    for step in 0..150_i64 {
        at_ms += if step == 80 { 600_000 } else { 45_000 };
        let along = (step + night * 3) as f64 / 12.0;
        let corner = along as usize;
        let part = along - along.floor();
        let (from, to) = (ROUND[corner % 8], ROUND[(corner + 1) % 8]);
        let noise =
            |salt: i64| ((((step + 1) * (night + 7) * salt) % 97) as f64 / 97.0 - 0.5) * 0.00012;
        let lat = from.0 + (to.0 - from.0) * part + noise(31);
        let lon = from.1 + (to.1 - from.1) * part + noise(57);
        if let Ok(position) = Position::from_degrees(lat, lon) {
            let accuracy_dm = u32::try_from(40 + (step * 13 + night) % 60).ok();
            fixes.push(Fix {
                at_ms,
                position,
                accuracy_dm,
            });
        }
    }
    fixes
}

/// Ten bytes that differ for each night and step.
fn random(night: i64, step: i64) -> [u8; 10] {
    let hash = Sha256::of(format!("sample {night} {step}").as_bytes());
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&hash.as_bytes()[..10]);
    bytes
}
