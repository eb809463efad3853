//! Rescue files over real processes: the work of a phone that cannot send it comes home by a colleague's phone, by the chief's page,
//! or by the command line, once.

use kieumau_core::{
    phone::{ItemState, PhoneError},
    rescue::Taken,
};
use kieumau_tests::{
    desk::Desk,
    world::{Handset, World, eventually},
};
use std::path::PathBuf;

/// A small JPEG of our own.
const PICTURE: &[u8] = include_bytes!("picture.jpg");

/// An's phone with a patrol, an observation and a photo that no server has.
async fn unsent(world: &World) -> (Handset, kieumau_core::id::DocumentId) {
    let an = world.phone("an").await;
    an.signal.set(false);
    let patrol = an.patrol_called("Ca chưa gửi của An").await;
    let observation = an.observe(patrol, "Lấn chiếm vỉa hè").await;
    let picture = world.file("anh.jpg", PICTURE);
    an.photograph(patrol, &observation.to_string(), &picture)
        .await;
    (an, patrol)
}

async fn exported(world: &World, phone: &Handset) -> PathBuf {
    let path = world.folder().join("an.rescue");
    phone.export_rescue(&path).await.expect("written");
    path
}

#[tokio::test]
async fn a_broken_phones_work_comes_home_on_a_colleagues_phone_and_the_chief_reads_it() {
    let world = World::new().await;
    let (an, patrol) = unsent(&world).await;
    let file = exported(&world, &an).await;
    let ha = world.phone("ha").await;
    let taken = ha.deliver_rescue(&file).await.expect("taken");
    assert_eq!((taken.changes_taken, taken.files_taken), (3, 1));
    assert!(taken.quarantined.is_empty(), "{taken:?}");
    let chi = world.desk("chi").await;
    eventually("the patrol is on Chi's page", async || {
        let (_, page) = chi.read(&format!("/patrols/{patrol}")).await;
        page.contains("Lấn chiếm vỉa hè")
    })
    .await;

    // Again by the command line: nothing is doubled.
    let path = file.to_str().expect("a path");
    let out = world.server.command(&["rescue", "take", path]).await;
    let again: Taken = serde_json::from_str(&out).expect("JSON");
    assert_eq!((again.changes_held, again.files_held), (3, 1));
    assert_eq!((again.changes_taken, again.files_taken), (0, 0));

    // The phone works again: what it sends is there already, and its receipt comes.
    an.signal.set(true);
    an.sync_until(patrol, ItemState::Received).await;
    let (_, page) = chi.read(&format!("/patrols/{patrol}")).await;
    assert!(page.contains("Lấn chiếm vỉa hè"));
}

/// The path of the newest thing in quarantine.
async fn first_in_quarantine(desk: &Desk) -> String {
    let (_, page) = desk.read("/quarantine").await;
    let (_, id) = page.split_once("href=\"/quarantine/").expect("one");
    format!("/quarantine/{}", id.split('"').next().unwrap_or_default())
}

#[tokio::test]
async fn a_revoked_phones_work_is_kept_in_quarantine_says_why_and_is_let_in_by_the_chief() {
    let world = World::new().await;
    let (an, patrol) = unsent(&world).await;
    let phone = an.profile().await.expect("enrolled").phone.to_string();
    world
        .server
        .command(&["phone", "revoke", "--phone", &phone])
        .await;
    an.signal.set(true);
    let refused = an.try_sync().await;
    assert!(
        matches!(&refused, Err(PhoneError::SignedOut { .. })),
        "{refused:?}"
    );
    let file = exported(&world, &an).await;
    let own = an.deliver_rescue(&file).await;
    assert!(matches!(&own, Err(PhoneError::SignedOut { .. })), "{own:?}");
    let taken = world
        .phone("ha")
        .await
        .deliver_rescue(&file)
        .await
        .expect("taken");
    assert_eq!(taken.quarantined["phone-revoked"], 3);
    assert_eq!((taken.changes_taken, taken.files_taken), (0, 1));
    let chi = world.desk("chi").await;
    let (status, _) = chi.read(&format!("/patrols/{patrol}")).await;
    assert_eq!(status, reqwest::StatusCode::NOT_FOUND);
    let (_, audit) = chi.read("/audit").await;
    assert!(audit.contains("mới nhận 0, đã có 0, đang chờ 0, cách ly 3, ảnh, tệp 1"));
    let path = first_in_quarantine(&chi).await;
    let (_, page) = chi.read(&path).await;
    assert!(page.contains("Nhận vào hồ sơ"), "{page}");
    let admitted = chi.send(&format!("{path}/admission"), &[]).await;
    assert!(admitted.status().is_redirection(), "{}", admitted.status());
    eventually("the patrol is on Chi's page", async || {
        let (_, page) = chi.read(&format!("/patrols/{patrol}")).await;
        page.contains("Lấn chiếm vỉa hè")
    })
    .await;
    let (_, page) = chi.read(&path).await;
    assert!(!page.contains("Nhận vào hồ sơ"), "once");
}

#[tokio::test]
async fn a_flipped_byte_or_another_servers_key_is_refused() {
    let world = World::new().await;
    let (an, _) = unsent(&world).await;
    let file = exported(&world, &an).await;
    let ha = world.phone("ha").await;
    let word = async |phone: &Handset, path: &PathBuf| match phone.deliver_rescue(path).await {
        Err(PhoneError::Invalid(invalid)) => invalid.to_string(),
        other => format!("{other:?}"),
    };
    let mut bytes = std::fs::read(&file).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let flipped = world.file("flipped.rescue", &bytes);
    assert_eq!(word(&ha, &flipped).await, "rescue: unreadable");
    let other = World::new().await;
    let stranger = other.phone("ha").await;
    assert_eq!(word(&stranger, &file).await, "rescue.server: unknown");
    // The twin: as it was written, and where it belongs, it is taken.
    let taken = ha.deliver_rescue(&file).await.expect("taken");
    assert_eq!(taken.changes_taken, 3);
}
