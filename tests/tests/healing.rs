//! A backup is put back: what the server lost comes back from the phones, and nothing is called sent before it signed anew.
//!
//! On SQLite only: the copy is one of a folder.

use kieumau_core::phone::ItemState;
use kieumau_tests::world::{World, eventually};
use reqwest::StatusCode;
use std::path::Path;

const PHOTO: &[u8] = b"\xff\xd8\xff\xe0 a photo";

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("reads") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("copied");
        }
    }
}

/// The server's folder as it is now, beside it.
async fn back_up(world: &mut World) {
    world.server.stop().await;
    copy(world.server.data(), &world.folder().join("backup"));
    world.server.start_again().await;
}

/// Puts the copy back, and begins a new epoch if told.
async fn put_back(world: &mut World, new_epoch: bool) {
    world.server.stop().await;
    std::fs::remove_dir_all(world.server.data()).expect("lost");
    copy(&world.folder().join("backup"), world.server.data());
    if new_epoch {
        let said = world
            .server
            .command(&["epoch", "new", "--reason", "restored-backup"])
            .await;
        assert!(said.contains("bắt đầu; kỷ nguyên trước"), "{said}");
    }
    world.server.start_again().await;
}

#[tokio::test]
async fn what_a_restored_server_lost_comes_back_from_the_phone_that_wrote_it() {
    // With a new epoch as the manual says, and when somebody forgot it: a feed shorter than a cursor says as much.
    for new_epoch in [true, false] {
        let mut world = World::on(None).await;
        let an = world.phone("an").await;
        let before = an.patrol_called("Trước sao lưu").await;
        an.sync_until(before, ItemState::Received).await;
        back_up(&mut world).await;
        an.observe(before, "Sau sao lưu").await;
        let after = an.patrol_called("Sau sao lưu").await;
        let observation = an.observe(after, "Có ảnh").await;
        let photo = world.file("photo.jpg", PHOTO);
        an.photograph(after, &observation.to_string(), &photo).await;
        an.sync_until(before, ItemState::Received).await;
        an.sync_until(after, ItemState::Received).await;
        // Its cursor is beyond the backup's end once it was checked: where no new epoch says so, that alone tells what happened.
        let chi = world.desk("chi").await;
        let page = format!("/patrols/{after}");
        eventually("it is checked", async || {
            chi.read(&page).await.1.contains("Có ảnh")
        })
        .await;
        an.sync_well().await;
        put_back(&mut world, new_epoch).await;
        // The twin: without the phone it is lost.
        let chi = world.desk("chi").await;
        assert_eq!(chi.read(&page).await.0, StatusCode::NOT_FOUND);
        let old = an.receipt(after).await.expect("reads").expect("one");
        let report = an.sync_well().await;
        assert!(
            report.sent_changes >= 3,
            "new epoch {new_epoch}: {report:?}"
        );
        assert_eq!(report.sent_files, 1, "the photo too");
        for patrol in [before, after] {
            an.sync_until(patrol, ItemState::Received).await;
        }
        eventually("the page shows it again", async || {
            chi.read(&page).await.1.contains("Có ảnh")
        })
        .await;
        let (_, text) = chi.read(&format!("/patrols/{before}")).await;
        assert!(text.contains("Sau sao lưu"));
        let new = an.receipt(after).await.expect("reads").expect("one");
        assert_eq!(old.epoch != new.epoch, new_epoch, "signed anew");
        // And then there is quiet.
        let report = an.sync_well().await;
        assert_eq!((report.sent_changes, report.received_changes), (0, 0));
    }
}

#[tokio::test]
async fn a_colleagues_phone_brings_back_what_the_writers_phone_no_longer_can() {
    let mut world = World::on(None).await;
    let (an, chi_phone) = (world.phone("an").await, world.phone("chi").await);
    let patrol = an.patrol_called("Ca đêm").await;
    an.sync_until(patrol, ItemState::Received).await;
    back_up(&mut world).await;
    an.observe(patrol, "Chỉ còn trên máy của Chi").await;
    an.end(patrol).await.expect("ends");
    an.sync_until(patrol, ItemState::Received).await;
    eventually("it is on Chi's phone", async || {
        chi_phone.sync_well().await;
        let seen = chi_phone.observations(patrol).await;
        seen.is_ok_and(|seen| seen.len() == 1)
    })
    .await;
    let chi = world.desk("chi").await;
    let page = format!("/patrols/{patrol}");
    eventually("Chi can read it", async || {
        chi.read(&page).await.1.contains("Chỉ còn trên máy của Chi")
    })
    .await;
    let decided = chi
        .decide(&page, &patrol.to_string(), "returned", "Thiếu chữ ký")
        .await;
    assert!(decided.status().is_redirection(), "{}", decided.status());
    chi_phone.sync_until(patrol, ItemState::Returned).await;
    // An's phone is at the bottom of the river.
    drop(an);
    put_back(&mut world, true).await;
    let chi = world.desk("chi").await;
    let (_, text) = chi.read(&page).await;
    assert!(!text.contains("Chỉ còn trên máy của Chi"), "the twin: lost");
    chi_phone.sync_well().await;
    eventually("Chi's phone brought it, and the decision too", async || {
        let (_, text) = chi.read(&page).await;
        text.contains("Chỉ còn trên máy của Chi") && text.contains("Thiếu chữ ký")
    })
    .await;
}
