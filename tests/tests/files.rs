//! Files that are bad here or lost there: they hold nothing up, and the phone sends again what the server no longer has.

use kieumau_core::phone::{ItemState, SyncOptions};
use kieumau_tests::{
    fault::{Fault, Way},
    world::{Handset, World, eventually},
};
use reqwest::StatusCode;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const PICTURE: &[u8] = include_bytes!("picture.jpg");

/// The phone's sealed files.
fn sealed(phone: &Handset) -> Vec<PathBuf> {
    let files = fs::read_dir(phone.folder.join("files")).expect("a folder");
    files.map(|file| file.expect("a file").path()).collect()
}

/// Changes one byte in the middle of a file.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("written");
}

#[tokio::test]
async fn one_bad_file_holds_up_neither_the_text_nor_the_other_files() {
    let world = World::new().await;
    let an = world.phone("an").await;
    let patrol = an.patrol_called("Ca có ảnh hỏng").await;
    // Larger than any small picture, which lies beside it.
    let photo = world.file("a.jpg", &[PICTURE, &[b'a'; 100_000]].concat());
    an.attach(patrol, None, &photo).await.expect("attached");
    let size = |path: &PathBuf| fs::metadata(path).expect("is there").len();
    let bad = sealed(&an).into_iter().max_by_key(size).expect("one file");
    let other = world.file("b.jpg", &[PICTURE, b"b"].concat());
    an.attach(patrol, None, &other).await.expect("attached");
    flip(&bad);
    for _ in 0..2 {
        let report = an.sync_well().await;
        assert_eq!(report.failed_files, 1);
    }
    let items = an.items(None).await.expect("reads");
    let item = items
        .iter()
        .find(|item| item.document == patrol)
        .expect("here");
    assert_eq!((item.unsent_changes, item.unsent_attachments), (0, 1));
    assert_ne!(item.state, ItemState::Received, "not while one is missing");
    // The twin: the same photo, attached once more.
    an.attach(patrol, None, &photo).await.expect("attached");
    let report = an.sync_well().await;
    assert_eq!((report.sent_files, report.failed_files), (1, 0));
    assert_eq!(an.state(patrol).await, ItemState::Received);
}

#[tokio::test]
async fn an_observation_in_between_does_not_begin_a_half_sent_photo_anew() {
    let world = World::new().await;
    let an = world.phone("an").await;
    let patrol = an.patrol_called("Ca ảnh dở dang").await;
    let mut bytes = PICTURE.to_vec();
    bytes.resize(400_000, 7);
    let photo = world.file("a.jpg", &bytes);
    an.attach(patrol, None, &photo).await.expect("attached");
    an.signal.suffer([Fault::Cut(Way::Up, 300_000)]);
    assert!(an.try_sync().await.is_err(), "cut in the middle");
    let before = an.signal.passed().up_bytes;
    assert!(before > 250_000, "{before}");
    an.observe(patrol, "Giữa chừng").await;
    an.signal.suffer([]);
    an.sync_well().await;
    assert_eq!(an.state(patrol).await, ItemState::Received);
    let after = an.signal.passed().up_bytes;
    assert!(after < 250_000, "{after} bytes: from the beginning");
}

#[tokio::test]
async fn a_file_that_the_server_lost_is_sent_again() {
    let mut world = World::on(None).await;
    let an = world.phone("an").await;
    let patrol = an.patrol_called("Ca máy chủ mất ảnh").await;
    let photo = world.file("a.jpg", PICTURE);
    an.attach(patrol, None, &photo).await.expect("attached");
    // A backup between the text and the photo.
    let text = SyncOptions {
        attachments: false,
        ..SyncOptions::default()
    };
    an.sync(text).await.expect("syncs");
    world.server.stop().await;
    let backup = world.folder().join("backup");
    copy(world.server.data(), &backup);
    world.server.start_again().await;
    assert_eq!(an.sync_well().await.sent_files, 1);
    assert_eq!(an.state(patrol).await, ItemState::Received);

    world.server.stop().await;
    fs::remove_dir_all(world.server.data()).expect("removed");
    copy(&backup, world.server.data());
    world.server.start_again().await;
    an.observe(patrol, "Sau khi khôi phục").await;
    // The twin: text alone gets no receipt now, for the server names the photo that it lacks.
    an.sync(text).await.expect("syncs");
    assert_ne!(an.state(patrol).await, ItemState::Received);
    assert_eq!(an.sync_well().await.sent_files, 1);
    assert_eq!(an.state(patrol).await, ItemState::Received);
}

/// A photo of 1,200 × 900 pixels of noise: some hundred kilobytes, with a small picture.
fn noisy_photo() -> Vec<u8> {
    let mut noise = 7_u32;
    let photo = image::RgbImage::from_fn(1_200, 900, |_, _| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [a, b, c, _] = noise.to_le_bytes();
        image::Rgb([a, b, c])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    photo
        .write_to(&mut bytes, image::ImageFormat::Jpeg)
        .expect("encodes");
    bytes.into_inner()
}

#[tokio::test]
async fn on_a_slow_line_the_text_goes_first_then_a_marked_preview_and_no_receipt_counts_it() {
    let world = World::new().await;
    let an = world.phone("an").await;
    let patrol = an.patrol_called("Ca đường truyền chậm").await;
    let bytes = noisy_photo();
    let photo = world.file("a.jpg", &bytes);
    let sha256 = an.attach(patrol, None, &photo).await.expect("attached");
    // Broken off in the middle of the photo: text and preview are through.
    an.signal.suffer([Fault::Cut(Way::Up, 150_000)]);
    assert!(an.try_sync().await.is_err(), "cut in the middle");
    let requests = an.signal.passed().requests;
    let at = |what: &str| {
        requests
            .iter()
            .position(|request| request.starts_with(what))
    };
    assert!(at("POST /v1/sync/push") < at("POST /v1/attachments"));
    assert_ne!(an.state(patrol).await, ItemState::Received);

    let chi = world.desk("chi").await;
    let (page, words) = (format!("/patrols/{patrol}"), "Bản xem trước");
    eventually("the preview is shown, marked", async || {
        chi.read(&page).await.1.contains(words)
    })
    .await;
    let unit = &world.server.person("chi").unit;
    let address = format!("/attachments/{unit}/{sha256}");
    let (status, _) = chi.read(&format!("{address}/preview")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(chi.read(&address).await.0, StatusCode::NOT_FOUND);
    let binh = world.desk("binh").await;
    let (status, _) = binh.read(&format!("{address}/preview")).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "another unit's");
    // Asked for a receipt now, the server names the photo that it lacks.
    let text = SyncOptions {
        attachments: false,
        ..SyncOptions::default()
    };
    an.signal.suffer([]);
    an.sync(text).await.expect("syncs");
    assert_ne!(an.state(patrol).await, ItemState::Received);

    // The twin: the photo itself, and the preview is gone.
    an.sync_well().await;
    assert_eq!(an.state(patrol).await, ItemState::Received);
    eventually("the photo is shown", async || {
        let read = chi.read(&page).await.1;
        read.contains(&address) && !read.contains(words)
    })
    .await;
    let (status, _) = chi.read(&format!("{address}/preview")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

/// Copies a folder that nobody writes to.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp starts").success());
}
