//! A phone that has nothing yet: whole documents, compressed, the same as change by change.

use kieumau_core::{
    phone::{ItemState, SyncOptions},
    wire::{self, Pulled},
};
use kieumau_tests::{
    driver::Driver,
    world::{World, eventually},
};
use reqwest::Method;

/// One page of everything, as this phone gets it with these headers; what it says of its coding, and its bytes as they came.
async fn page(phone: &Driver, query: &str, coding: &str) -> (Option<String>, Vec<u8>) {
    let path = format!("{}?cursor={query}", wire::PULL);
    let answer = phone
        .ask(Method::GET, &path, &[("accept-encoding", coding)], &[])
        .await;
    let said = answer.headers().get("content-encoding").cloned();
    let said = said.map(|value| value.to_str().expect("text").to_owned());
    (said, answer.bytes().await.expect("whole").to_vec())
}

fn snapshots(page: &[u8]) -> usize {
    let mut decoder = minicbor::Decoder::new(page);
    let mut snapshots = 0;
    while decoder.position() < page.len() {
        let item: Pulled = decoder.decode().expect("an item");
        snapshots += usize::from(matches!(item, Pulled::Snapshot(_)));
    }
    snapshots
}

#[tokio::test]
async fn a_new_phone_gets_whole_documents_and_reads_what_the_others_wrote() {
    let world = World::new().await;
    let an = world.phone("an").await;
    let mut patrols = Vec::new();
    for night in 0..3 {
        let patrol = an.patrol_called(&format!("Ca đêm {night}")).await;
        an.walk(patrol, 130).await;
        for number in 0..6 {
            an.observe(patrol, &format!("Đêm {night}, vụ {number}"))
                .await;
        }
        an.end(patrol).await.expect("ends");
        patrols.push(patrol);
    }
    for patrol in &patrols {
        an.sync_until(*patrol, ItemState::Received).await;
    }
    let chi = Driver::enrol(&world.server, "chi").await;
    eventually("the worker has saved them whole", async || {
        snapshots(&page(&chi, "&snapshots=1", "identity").await.1) >= patrols.len()
    })
    .await;
    // Who does not ask gets changes; who accepts it gets them compressed.
    assert_eq!(snapshots(&page(&chi, "", "identity").await.1), 0);
    let (coding, plain) = page(&chi, "", "gzip, identity").await;
    assert_eq!(coding, None);
    let (coding, packed) = page(&chi, "", "gzip, zstd;q=0.5").await;
    assert_eq!(coding.as_deref(), Some("zstd"));
    assert!(
        packed.len() < plain.len(),
        "{} {}",
        packed.len(),
        plain.len()
    );
    // Something comes after the snapshot: it follows singly.
    let late = an.observe(patrols[0], "Muộn").await;
    an.sync_until(patrols[0], ItemState::Received).await;
    let new = world.phone("chi").await;
    eventually("all of it is on the new phone", async || {
        let options = SyncOptions::default();
        new.sync(options).await.expect("syncs");
        let seen = new.observations(patrols[0]).await;
        seen.is_ok_and(|seen| {
            seen.iter()
                .any(|observation| observation.observation == late)
        })
    })
    .await;
    assert_eq!(new.patrols().await.expect("lists").len(), 3);
    for patrol in patrols {
        let (theirs, ours) = (
            an.patrol(patrol).await.expect("reads"),
            new.patrol(patrol).await.expect("reads"),
        );
        assert_eq!(theirs.summary.length_m, ours.summary.length_m);
        assert_eq!(
            an.observations(patrol).await.expect("reads"),
            new.observations(patrol).await.expect("reads")
        );
    }
}
