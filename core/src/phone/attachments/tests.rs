//! Sealed files and the rows that name them, whatever ends between the two.

use super::*;
use crate::{patrol::NewPatrol, phone::tests::phone};

const PHOTO: &[u8] = b"\xff\xd8\xff\xe0 a photo";

fn photo(folder: &Path) -> PathBuf {
    let path = folder.join("photo.jpg");
    std::fs::write(&path, PHOTO).expect("written");
    path
}

async fn patrol(phone: &Phone) -> DocumentId {
    let new = NewPatrol {
        title: "Ca".into(),
        ..NewPatrol::default()
    };
    phone.start_patrol(new).await.expect("starts")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder.join("files")).expect("a folder");
    entries
        .map(|entry| {
            entry
                .expect("reads")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect()
}

/// A phone with an attached photo, whose process then died between the file and the row of another. The photo, and the orphan.
async fn died_between(folder: &Path) -> (Sha256, String) {
    let phone = phone(folder).await;
    let patrol = patrol(&phone).await;
    let sha256 = phone
        .attach(patrol, None, &photo(folder))
        .await
        .expect("attached");
    let orphan = seal_into(&phone.files(), &photo(folder)).expect("sealed");
    (sha256, orphan.name)
}

#[tokio::test]
async fn a_file_whose_phone_died_before_its_row_is_swept_at_the_next_opening_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let (sha256, orphan) = died_between(folder.path()).await;
    let strange = folder.path().join("files/not-ours.txt");
    std::fs::write(&strange, "somebody's").expect("written");
    assert!(names(folder.path()).contains(&orphan));
    let phone = phone(folder.path()).await;
    assert!(!names(folder.path()).contains(&orphan));
    assert!(strange.exists());
    let shown = phone.viewable(sha256).await.expect("is here");
    assert_eq!(std::fs::read(shown).expect("reads"), PHOTO);
}

/// The twin: a sweep that does not ask which files rows name takes the evidence.
#[tokio::test]
async fn a_sweep_that_asks_no_row_loses_the_photo() {
    let folder = tempfile::tempdir().expect("a folder");
    let (sha256, _) = died_between(folder.path()).await;
    let here = names(folder.path()).into_iter().collect();
    for name in orphans(here, &BTreeSet::new()) {
        std::fs::remove_file(folder.path().join("files").join(name)).expect("removed");
    }
    let phone = phone(folder.path()).await;
    assert!(matches!(
        phone.viewable(sha256).await,
        Err(PhoneError::NotFound)
    ));
}

#[tokio::test]
async fn a_photo_has_a_small_picture_that_outlives_an_opening_and_a_broken_one_has_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = phone(folder.path()).await;
    let patrol = patrol(&phone).await;
    let whole = folder.path().join("whole.png");
    image::RgbImage::new(64, 32).save(&whole).expect("written");
    let whole = phone.attach(patrol, None, &whole).await.expect("attached");
    let broken = photo(folder.path());
    let broken = phone.attach(patrol, None, &broken).await.expect("attached");
    drop(phone);
    let phone = crate::phone::tests::phone(folder.path()).await;
    let shown = phone.preview(whole).await.expect("is here");
    assert!(
        std::fs::read(shown)
            .expect("reads")
            .starts_with(b"\xff\xd8\xff\xfe")
    );
    assert!(matches!(
        phone.preview(broken).await,
        Err(PhoneError::NotFound)
    ));
    let said = phone.attachment(broken).await.expect("is known");
    assert!(said.on_phone && !said.preview);
}

/// Attaches the photo again after `harm` was done to its copy.
async fn attached_again(folder: &Path, harm: impl FnOnce(&Path)) -> (Phone, Sha256, DocumentId) {
    let phone = phone(folder).await;
    let patrol = patrol(&phone).await;
    let photo = photo(folder);
    let sha256 = phone.attach(patrol, None, &photo).await.expect("attached");
    let [name] = &Vec::from_iter(names(folder))[..] else {
        panic!("one photo is one file");
    };
    harm(&folder.join("files").join(name));
    let again = phone.attach(patrol, None, &photo).await.expect("attached");
    assert_eq!(again, sha256);
    (phone, sha256, patrol)
}

#[tokio::test]
async fn attaching_again_mends_a_copy_that_is_damaged_or_gone() {
    let harms: [fn(&Path); 2] = [
        |copy| std::fs::write(copy, b"no longer").expect("written"),
        |copy| std::fs::remove_file(copy).expect("removed"),
    ];
    for harm in harms {
        let folder = tempfile::tempdir().expect("a folder");
        let (phone, sha256, patrol) = attached_again(folder.path(), harm).await;
        let shown = phone.viewable(sha256).await.expect("is whole again");
        assert_eq!(std::fs::read(shown).expect("reads"), PHOTO);
        let [file] = &phone.unsent_files().await.expect("reads")[..] else {
            panic!("one file waits");
        };
        assert_eq!(file.read(0, usize::MAX).await.expect("reads"), PHOTO);
        let log = phone.store().await.read::<PatrolLog>(patrol).await;
        assert_eq!(log.expect("is here").1.attachments.len(), 1);
    }
}

#[tokio::test]
async fn attaching_again_brings_back_a_copy_that_was_let_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = phone(folder.path()).await;
    let patrol = patrol(&phone).await;
    let photo = photo(folder.path());
    let sha256 = phone.attach(patrol, None, &photo).await.expect("attached");
    let mut store = phone.store().await;
    sqlx::query("update attachment set received_at_ms = 1, let_go_at_ms = 2")
        .execute(&mut store.connection)
        .await
        .expect("written");
    drop(store);
    phone.attach(patrol, None, &photo).await.expect("attached");
    let said = phone.attachment(sha256).await.expect("is known");
    assert!(said.on_phone && said.received, "{said:?}");
    phone.viewable(sha256).await.expect("is here");
}

/// The twin of both: a copy that is whole keeps its key and its name, so it is the harm that the new one heals.
#[tokio::test]
async fn attaching_again_leaves_a_whole_copy_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut kept = None;
    let keep = |copy: &Path| kept = Some(copy.to_owned());
    let (phone, _, _) = attached_again(folder.path(), keep).await;
    drop(phone);
    let _phone = crate::phone::tests::phone(folder.path()).await;
    assert!(kept.expect("there was one").exists());
    assert_eq!(names(folder.path()).len(), 1, "the second copy is swept");
}
