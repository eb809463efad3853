//! What a server refuses: it holds back nothing that was recorded after it, it is not called sent, the officer sees what it is and has a
//! way out.

use kieumau_core::{
    id::DocumentId,
    phone::{ItemState, Phone, SyncOptions, WayOut, Why},
    wire::Push,
};
use kieumau_tests::{
    meddler::Meddler,
    world::{Handset, World, eventually},
};
use std::collections::BTreeSet;

/// A seal that is not the phone's.
fn bend(push: &mut Push) {
    for document in &mut push.documents {
        for seal in &mut document.seals {
            seal.signature[5] ^= 1;
        }
    }
}

/// An's phone on a way that can be meddled with.
async fn meddled(world: &World) -> (Handset, Meddler) {
    let an = world.new_phone("phone-an").await;
    let meddler = Meddler::new(&world.server.ward.url).await;
    let code = world.server.code("an").await;
    an.enrol(&meddler.url(), &code.code).await.expect("enrols");
    (an, meddler)
}

async fn sync(phone: &Phone) -> Vec<String> {
    let report = phone.sync(SyncOptions::default()).await.expect("syncs");
    report.refused_changes
}

async fn notes(phone: &Phone, patrol: DocumentId) -> BTreeSet<String> {
    let observations = phone.observations(patrol).await.expect("reads");
    let notes = observations.into_iter().filter_map(|o| o.content.note);
    notes.collect()
}

/// What the chief reads of these notes.
async fn read_by_chi(world: &World, patrol: DocumentId, count: usize) {
    let chi = world.desk("chi").await;
    let page = format!("/patrols/{patrol}");
    eventually("Chi reads them", async || {
        chi.read(&page).await.1.matches("Vụ dài số").count() >= count
    })
    .await;
}

#[tokio::test]
async fn what_is_refused_for_its_seal_goes_again_by_itself_and_is_called_sent_only_then() {
    let world = World::new().await;
    let (an, meddler) = meddled(&world).await;
    let patrol = an.patrol_called("Ca bị từ chối").await;
    an.observe(patrol, "Vụ dài số một").await;
    let mut bent = false;
    meddler.with(move |push| {
        if !bent && !push.documents.is_empty() {
            bent = true;
            bend(push);
        }
    });
    assert_eq!(sync(&an).await, ["unsealed"; 2]);
    assert_eq!(an.state(patrol).await, ItemState::Received);
    assert!(an.refused(patrol).await.expect("reads").is_empty());
    read_by_chi(&world, patrol, 1).await;
}

#[tokio::test]
async fn what_was_recorded_after_a_refused_change_reaches_the_chief_and_the_colleague() {
    let world = World::new().await;
    let (an, meddler) = meddled(&world).await;
    let ha = world.phone("ha").await;
    let patrol = an.patrol_called("Ca bị từ chối").await;
    let qr = an.patrol(patrol).await.expect("opens").join_qr;
    sync(&an).await;
    ha.join_patrol(&qr).await.expect("joins");
    ha.sync_well().await;
    // More than one push: the first of them is refused, and what says the same anew is refused as well.
    let filler = "chi tiết ".repeat(180);
    for number in 0..40 {
        an.observe(patrol, &format!("Vụ dài số {number} {filler}"))
            .await;
    }
    let mut pushes = 0;
    meddler.with(move |push| {
        pushes += usize::from(!push.documents.is_empty());
        if pushes <= 2 && !push.documents.is_empty() {
            bend(push);
        }
    });
    let refused = sync(&an).await;
    let left_out = an.refused(patrol).await.expect("reads");
    assert!(
        !left_out.is_empty() && left_out.len() < 40,
        "{}",
        left_out.len()
    );
    assert!(refused.len() >= 2 * left_out.len(), "{}", refused.len());
    let kept = notes(&an, patrol).await;
    assert_eq!(kept.len() + left_out.len(), 40);
    // What came after it is at the chief's and at the colleague's.
    read_by_chi(&world, patrol, kept.len()).await;
    ha.sync_well().await;
    assert_eq!(notes(&ha, patrol).await, kept);
    // It is not called sent, and says what is in the way.
    assert_ne!(an.state(patrol).await, ItemState::Received);
    let items = an.items(None).await.expect("lists");
    let item = items
        .iter()
        .find(|item| item.document == patrol)
        .expect("is here");
    let word = "unsealed".to_owned();
    assert_eq!(item.waiting[0].why, Why::Refused { word });
    // The way out, and then it is.
    for refused in left_out {
        assert_eq!(refused.way_out, WayOut::WriteAgain);
        assert!(
            refused
                .says
                .iter()
                .any(|said| said.text.starts_with("Vụ dài số"))
        );
        assert!(
            an.write_again(patrol, refused.change)
                .await
                .expect("writes")
        );
    }
    assert_eq!(sync(&an).await, [""; 0]);
    assert_eq!(an.state(patrol).await, ItemState::Received);
    read_by_chi(&world, patrol, 40).await;
    ha.sync_well().await;
    assert_eq!(notes(&ha, patrol).await.len(), 40);
}

#[tokio::test]
async fn an_answer_about_what_was_never_sent_is_no_answer() {
    let world = World::new().await;
    let (an, meddler) = meddled(&world).await;
    let patrol = an.patrol_called("Ca bị sửa dọc đường").await;
    an.observe(patrol, "Vụ dài số một").await;
    let mut spoilt = 0;
    meddler.with(move |push| {
        if let Some(document) = push.documents.first_mut()
            && spoilt < 2
        {
            spoilt += 1;
            document.changes[0][20] ^= 1;
        }
    });
    // It comes again until it arrives as it was written: nothing is taken for held that became another on the way.
    assert_eq!(sync(&an).await, [""; 0]);
    assert_eq!(an.state(patrol).await, ItemState::Received);
    read_by_chi(&world, patrol, 1).await;
}
