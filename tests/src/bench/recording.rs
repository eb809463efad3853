//! P10: what an officer waits for on the phone: one fix until it is on the disk, a patrol opened, a list of 5,000.
//!
//! *Cold* is a database just opened, so that the document is loaded from its changes; *warm* is the same patrol again.

use super::{
    disk::RawFile,
    table::{Measure, Target, ms, percentile},
};
use crate::{server::Server, world};
use kieumau_core::{
    catalogue::Catalogue,
    id::DocumentId,
    observation::NewObservation,
    patrol::NewPatrol,
    phone::{ItemState, Phone, SyncOptions},
    position::{Fix, Position},
};
use std::{path::Path, sync::Arc, time::Instant};

const ROUNDS: usize = 3;
const FIXES: u32 = 600;
const OBSERVATIONS: usize = 15;
const ATTACHMENTS: u8 = 5;
const LISTED: usize = 5_000;
const LISTINGS: usize = 9;
/// A fix as a row: five numbers and their row id.
const FIX_BYTES: usize = 48;
const START_MS: i64 = 1_795_410_000_000;

/// Measures P10 with phones in `folder`, enrolled at `server`.
///
/// # Panics
/// When a phone refuses what it should take.
pub async fn measure(server: &Server, folder: &Path) -> Vec<Measure> {
    let walked = folder.join("phone-p10");
    let phone = enrolled(server, "an", &walked).await;
    let mut lines = fixes(&phone, folder).await;
    let patrol = patrol_document(&phone, folder).await;
    drop(phone);
    lines.extend(opening(&walked, patrol).await);
    lines.extend(lists(server, &folder.join("phone-p10-list")).await);
    lines
}

async fn enrolled(server: &Server, sign_in: &str, folder: &Path) -> Phone {
    let phone = world::open(folder, &Arc::default()).await;
    let code = server.code(sign_in).await.code;
    let url = &server.ward.url;
    phone.enrol(url, &code).await.expect("enrols");
    phone
}

fn fix(step: u32) -> Fix {
    let lat = 18.6734 + f64::from(step) * 0.0001;
    Fix {
        at_ms: START_MS + i64::from(step) * 10_000,
        position: Position::from_degrees(lat, 105.6813).expect("in Vinh"),
        accuracy_dm: Some(50),
    }
}

async fn fixes(phone: &Phone, folder: &Path) -> Vec<Measure> {
    let mut raw = RawFile::new(folder);
    let shares = [("median", 0.5), ("p99", 0.99), ("max", 1.0)];
    let mut ours = [const { Vec::new() }; 3];
    let mut raws = ours.clone();
    let mut folds = Vec::new();
    for _ in 0..ROUNDS {
        let patrol = whole_patrol(phone).await;
        let (mut recorded, mut appended) = (Vec::new(), Vec::new());
        for step in 0..FIXES {
            let begun = Instant::now();
            let dropped = phone.add_fix(patrol, fix(step)).await.expect("recorded");
            recorded.push(ms(begun.elapsed()));
            assert_eq!(dropped, None);
            appended.push(ms(raw.append(FIX_BYTES)));
        }
        let folding: Vec<f64> = recorded.iter().skip(59).step_by(60).copied().collect();
        folds.push(percentile(&folding, 0.5));
        for (place, (_, share)) in shares.into_iter().enumerate() {
            ours[place].push(percentile(&recorded, share));
            raws[place].push(percentile(&appended, share));
        }
    }
    let mut lines: Vec<Measure> = shares
        .iter()
        .zip(ours.iter().zip(&raws))
        .map(|((name, _), (ours, raw))| {
            let what = format!("one fix durable, {name}");
            Measure::beside("P10", &what, "ms", ours, raw)
        })
        .collect();
    lines[1].target = Target::AtMost(3.0);
    lines.push(Measure::alone(
        "P10",
        "  every 60th, which folds, median",
        "ms",
        &folds,
    ));
    lines
}

/// Starts a patrol with every count of its head filled in and its observations recorded.
async fn whole_patrol(phone: &Phone) -> DocumentId {
    let catalogue = Catalogue::placeholder();
    let new = NewPatrol {
        title: "Ca đo tốc độ".to_owned(),
        forces: catalogue
            .forces
            .iter()
            .map(|i| (i.code.clone(), 2))
            .collect(),
        vehicles: catalogue
            .vehicles
            .iter()
            .map(|i| (i.code.clone(), 1))
            .collect(),
        ..NewPatrol::default()
    };
    let patrol = phone.start_patrol(new).await.expect("starts");
    for _ in 0..OBSERVATIONS {
        let new = NewObservation {
            note: Some("Lấn chiếm vỉa hè, đã nhắc nhở".to_owned()),
            ..NewObservation::of("urban-order", 3, "case")
        };
        phone.add_observation(patrol, new).await.expect("recorded");
    }
    patrol
}

/// The project's *patrol document*: observations, attachments, a track, ended.
async fn patrol_document(phone: &Phone, folder: &Path) -> DocumentId {
    let patrol = whole_patrol(phone).await;
    for number in 0..ATTACHMENTS {
        let path = folder.join(format!("photo-{number}.png"));
        std::fs::write(&path, [&b"\x89PNG\r\n\x1a\n"[..], &[number; 64]].concat())
            .expect("written");
        phone.attach(patrol, None, &path).await.expect("attached");
    }
    for step in 0..FIXES {
        phone.add_fix(patrol, fix(step)).await.expect("recorded");
    }
    phone.end(patrol).await.expect("ends");
    patrol
}

async fn opening(folder: &Path, patrol: DocumentId) -> Vec<Measure> {
    let (mut cold, mut warm, mut database) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..LISTINGS {
        let begun = Instant::now();
        let phone = world::open(folder, &Arc::default()).await;
        database.push(ms(begun.elapsed()));
        for times in [&mut cold, &mut warm] {
            let begun = Instant::now();
            let view = phone.patrol(patrol).await.expect("opens");
            times.push(ms(begun.elapsed()));
            assert_eq!(view.tracks[0].fixes.len(), FIXES as usize);
        }
    }
    vec![
        Measure::alone("P10", "open a patrol, cold", "ms", &cold).to_reach(Target::AtMost(1.0)),
        Measure::alone("P10", "open a patrol, warm", "ms", &warm).to_reach(Target::AtMost(1.0)),
        Measure::alone("P10", "  open the database", "ms", &database),
    ]
}

async fn lists(server: &Server, folder: &Path) -> Vec<Measure> {
    // Not the one whose patrols the other measures sent: a sync would bring them here.
    let phone = enrolled(server, "ha", folder).await;
    for number in 0..LISTED {
        let new = NewPatrol {
            title: format!("Ca tối, tổ {number}"),
            ..NewPatrol::default()
        };
        phone.start_patrol(new).await.expect("starts");
    }
    let unsent = listed(&phone).await;
    let mut lines = vec![
        Measure::alone("P10", "list 5,000, nothing sent", "ms", &unsent)
            .to_reach(Target::AtMost(20.0)),
    ];
    phone.sync(SyncOptions::default()).await.expect("syncs");
    let patrols = phone.patrols().await.expect("lists");
    assert!(patrols.iter().all(|p| p.state == ItemState::Received));
    let received = listed(&phone).await;
    lines.push(
        Measure::alone("P10", "list 5,000, all received", "ms", &received)
            .to_reach(Target::AtMost(20.0)),
    );
    lines
}

async fn listed(phone: &Phone) -> Vec<f64> {
    let mut times = Vec::with_capacity(LISTINGS);
    for _ in 0..LISTINGS {
        let begun = Instant::now();
        let patrols = phone.patrols().await.expect("lists");
        times.push(ms(begun.elapsed()));
        assert_eq!(patrols.len(), LISTED);
    }
    times
}
