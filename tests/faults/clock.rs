//! F6: a phone's clock is wrong by a week or ten years either way, or jumps in the middle of a patrol. Nothing is lost, the phone is
//! let in, and what came later stays later: order is what was known when, not what a clock said. The twin orders by clocks,
//! and gets it wrong.

use kieumau_core::{
    header,
    observation::NewObservation,
    phone::ItemState,
    wire::{Pulled, WireKey},
};
use kieumau_tests::{
    driver::Driver,
    world::{Handset, World},
};
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

const DAY_MS: i64 = 86_400_000;
const YEARS_MS: i64 = 10 * 365 * DAY_MS;

fn noted(note: &str) -> NewObservation {
    NewObservation {
        note: Some(note.to_owned()),
        ..NewObservation::of("urban-order", 3, "case")
    }
}

/// Syncs both until they have the same, with so many observations.
async fn converge(an: &Handset, ha: &Handset, patrol: kieumau_core::id::DocumentId, kept: usize) {
    let begun = Instant::now();
    loop {
        an.sync_well().await;
        ha.sync_well().await;
        let (one, other) = (
            an.observations(patrol).await.expect("reads"),
            ha.observations(patrol).await.expect("reads"),
        );
        if one.len() == kept && one == other {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{one:?} {other:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_wrong_or_jumping_clock_loses_nothing_and_what_came_later_stays_later() {
    let world = World::on(None).await;
    let (an, ha) = (world.phone("an").await, world.phone("ha").await);
    let chi = Driver::enrol(&world.server, "chi").await;
    let clocks = [-7 * DAY_MS, 7 * DAY_MS, -YEARS_MS, YEARS_MS];
    let (mut kept, mut wrong_by_clocks) = (0, 0);
    for skew_ms in clocks {
        an.skew_ms.store(skew_ms, Ordering::Relaxed);
        let patrol = an.patrol_called("Ca sai giờ").await;
        let first = an.observe(patrol, "Bản đầu").await;
        // It jumps: to the other side, and then to where it should be.
        an.skew_ms.store(-skew_ms, Ordering::Relaxed);
        an.observe(patrol, "Sau khi nhảy giờ").await;
        an.skew_ms.store(0, Ordering::Relaxed);
        an.observe(patrol, "Đúng giờ").await;
        an.skew_ms.store(skew_ms, Ordering::Relaxed);
        let qr = an.patrol(patrol).await.expect("reads").join_qr;
        ha.join_patrol(&qr).await.expect("joins");
        converge(&an, &ha, patrol, 3).await;
        // Hà has seen An's words and mends them; then An mends hers. One of their clocks is far behind the other.
        ha.edit_observation(patrol, first, noted("Bản của Hà"))
            .await
            .expect("edited");
        converge(&an, &ha, patrol, 3).await;
        an.edit_observation(patrol, first, noted("Bản cuối"))
            .await
            .expect("edited");
        converge(&an, &ha, patrol, 3).await;
        for phone in [&an, &ha] {
            let read = phone.observations(patrol).await.expect("reads");
            let note = &read
                .iter()
                .find(|o| o.observation == first)
                .expect("kept")
                .content
                .note;
            assert_eq!(
                note.as_deref(),
                Some("Bản cuối"),
                "clock off by {skew_ms} ms"
            );
            assert_eq!(phone.state(patrol).await, ItemState::Received);
            assert_eq!(phone.clash(patrol).await.expect("reads"), []);
        }
        kept += 3;
        wrong_by_clocks += usize::from(!last_by_clocks(&chi, patrol).await);
    }
    println!(
        "F6 clocks={} kept={kept} wrong_order=0 twin_wrong_order={wrong_by_clocks}",
        clocks.len()
    );
    assert!(wrong_by_clocks > 0, "clocks would have told the order too");
}

/// How often a phone signed in since the weather changed last.
fn sign_ins(phone: &Handset) -> usize {
    let asked = phone.signal.passed().requests;
    asked
        .iter()
        .filter(|line| line.contains("/v1/token"))
        .count()
}

#[tokio::test]
async fn a_wrong_clock_costs_one_retry_is_shown_and_ends_no_token() {
    let world = World::on(None).await;
    let clocks = [-7 * DAY_MS, 7 * DAY_MS, -YEARS_MS, YEARS_MS, 5 * YEARS_MS];
    let (mut retries, mut shown, mut renewed) = (0, 0, 0);
    for skew_ms in clocks {
        let an = world.phone("an").await;
        // The clock goes wrong after enrolment told the time: what the phone knows of it is wrong too.
        an.skew_ms.store(skew_ms, Ordering::Relaxed);
        an.signal.suffer([]);
        let patrol = an.patrol_called("Ca sai giờ").await;
        an.sync_well().await;
        assert_eq!(an.state(patrol).await, ItemState::Received);
        retries += sign_ins(&an) - 1;
        let known_ms = an.clock_skew_ms().expect("told");
        shown += usize::from((known_ms + skew_ms).abs() < 10_000);
        // It jumps by as much again: the token's minutes are counted, and go on.
        an.skew_ms.store(2 * skew_ms, Ordering::Relaxed);
        an.signal.suffer([]);
        an.observe(patrol, "Sau khi nhảy giờ").await;
        an.sync_well().await;
        renewed += sign_ins(&an);
    }
    println!(
        "F6 clocks={} retries={retries} shown={shown} renewed={renewed}",
        clocks.len()
    );
    assert_eq!((retries, shown, renewed), (clocks.len(), clocks.len(), 0));
    // The twin: a phone with its right clock needs no retry, so it was the clock that cost it.
    let ha = world.phone("ha").await;
    ha.signal.suffer([]);
    ha.sync_well().await;
    assert_eq!(sign_ins(&ha), 1);
}

/// Whether the change that nothing depends on is also the one that says it is the newest.
async fn last_by_clocks(chi: &Driver, patrol: kieumau_core::id::DocumentId) -> bool {
    let items = chi.try_pull("").await.expect("an answer");
    let is_it = |key: &WireKey| key.key().is_ok_and(|key| key.document() == patrol);
    let mut changes = Vec::new();
    let mut of_it = false;
    for item in &items {
        match item {
            Pulled::Document(key) => of_it = is_it(key),
            Pulled::Change(bytes) if of_it => changes.push(header::read(bytes).expect("a change")),
            _ => {}
        }
    }
    let depended: Vec<_> = changes.iter().flat_map(|change| &change.deps).collect();
    let newest = changes
        .iter()
        .max_by_key(|change| change.time_s)
        .expect("some");
    !depended.contains(&&newest.hash)
}
