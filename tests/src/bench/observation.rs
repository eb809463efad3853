//! P7: what one more observation costs on the wire, sealed and receipted, by the real phone: bytes both ways with HTTP's heads,
//! and round trips. The phone has its token and its patrol is on the server; counted is one `add_observation` and one `sync`.

use super::{
    relay::{Relay, Turn},
    table::{Measure, Target},
};
use crate::world;
use kieumau_core::{
    observation::NewObservation,
    patrol::NewPatrol,
    phone::{Phone, SyncOptions},
};
use std::{path::Path, sync::Arc};

const ROUNDS: usize = 5;

/// Measures P7 against `server` with a phone in `folder`.
///
/// # Panics
/// When the phone cannot enrol or sync.
pub async fn measure(server: &crate::server::Server, folder: &Path) -> Vec<Measure> {
    let relay = Relay::new(&server.ward.url).await;
    let phone = world::open(&folder.join("phone-p7"), &Arc::default()).await;
    let code = server.code("an").await.code;
    phone.enrol(&relay.url(), &code).await.expect("enrols");
    let new = NewPatrol {
        title: "Ca đo dung lượng".to_owned(),
        ..NewPatrol::default()
    };
    let patrol = phone.start_patrol(new).await.expect("starts");
    let mut syncs = Vec::new();
    for round in 0..=ROUNDS {
        observe(&phone, patrol).await;
        let (turns, opened) = relay.take();
        // The first sync gets the token and what the unit has; it is not this measure.
        if round > 0 {
            syncs.push((turns, opened));
        }
    }
    lines(&syncs)
}

async fn observe(phone: &Phone, patrol: kieumau_core::id::DocumentId) {
    let new = NewObservation {
        note: Some("Lấn chiếm vỉa hè, đã nhắc nhở".to_owned()),
        ..NewObservation::of("urban-order", 3, "case")
    };
    phone.add_observation(patrol, new).await.expect("recorded");
    let report = phone.sync(SyncOptions::default()).await.expect("syncs");
    assert_eq!(report.refused_changes, [] as [String; 0]);
    assert!(report.receipts > 0, "the receipt came");
}

fn lines(syncs: &[(Vec<Turn>, u32)]) -> Vec<Measure> {
    let of = |figure: &dyn Fn(&[Turn]) -> usize| -> Vec<f64> {
        syncs
            .iter()
            .map(|(turns, _)| figure(turns) as f64)
            .collect()
    };
    let all = |what: &str, unit, figure: &dyn Fn(&[Turn]) -> usize| {
        Measure::alone("P7", what, unit, &of(figure))
    };
    let opened: Vec<f64> = syncs.iter().map(|(_, opened)| f64::from(*opened)).collect();
    let mut lines = vec![
        all("one more observation, both ways", "B", &|turns| {
            turns.iter().map(Turn::bytes).sum()
        })
        .to_reach(Target::AtMost(1_700.0)),
        all("  round trips", "requests", &<[Turn]>::len).to_reach(Target::AtMost(1.0)),
        Measure::alone("P7", "  connections opened", "", &opened),
        all("  up", "B", &|turns| turns.iter().map(|t| t.up.len()).sum()),
        all("  down", "B", &|turns| {
            turns.iter().map(|t| t.down.len()).sum()
        }),
    ];
    let first = &syncs[0].0;
    for (place, turn) in first.iter().enumerate() {
        let names = ["request head", "request body", "answer head", "answer body"];
        lines.push(all(
            &format!("  {}, both ways", turn.line()),
            "B",
            &|turns| turns.get(place).map_or(0, Turn::bytes),
        ));
        for (part, name) in names.into_iter().enumerate() {
            lines.push(all(&format!("    {name}"), "B", &|turns| {
                turns.get(place).map_or(0, |turn| turn.parts()[part])
            }));
        }
    }
    lines
}
