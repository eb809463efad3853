//! What the store promises whatever comes: changes without their ancestors, a document opened anew, a wrong key.

use super::*;
use crate::{
    document::{self, Actor, Change, Key},
    id::{PhoneId, UnitId},
    invalid::{Invalid, Rule},
    observation::NewObservation,
    patrol::{NewPatrol, PatrolLog},
    person::Role,
};
use std::path::Path;

/// The clock of every phone here, Unix milliseconds.
pub(super) const NOW_MS: i64 = 1_700_000_000_000;
const UNIT: UnitId = UnitId::from_bytes([3; 16]);

pub(super) fn config(folder: &Path, key: u8) -> PhoneConfig {
    PhoneConfig {
        folder: folder.to_owned(),
        key: [key; 32].into(),
        app_version: "test".to_owned(),
        clock: Arc::new(|| NOW_MS),
    }
}

/// A phone of An's that was never at a server.
pub(super) async fn phone(folder: &Path) -> Phone {
    let phone = Phone::open(config(folder, 7)).await.expect("opens");
    phone.store().await.profile = Some(profile());
    phone
}

/// Closes the phone as an app does that ends in peace: its log is in the database then.
pub(super) async fn close(phone: Phone) {
    use sqlx::Connection as _;
    let store = phone.store.into_inner();
    store.connection.close().await.expect("closes");
}

/// Who that phone records for.
pub(super) fn profile() -> Profile {
    Profile {
        phone: PhoneId::from_bytes([1; 16]),
        person: PersonId::from_bytes([2; 16]),
        unit: UNIT,
        role: Role::Officer,
        person_name: "An".to_owned(),
        unit_name: "P. Bến Thủy".to_owned(),
        server_url: String::new(),
        pins: Vec::new(),
        log_key: [0; 32],
        receipt_key: [0; 32],
        seal_key: [0; 32],
        rescue_key: [9; 32],
        revoked: false,
    }
}

/// Three changes of a colleague's patrol, each on the one before.
pub(super) fn colleagues() -> (Key, Vec<Change>) {
    let key = Key::patrol(
        UNIT,
        uuid::Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0009),
    );
    let actor = Actor {
        phone: PhoneId::from_bytes([9; 16]),
        opening: [9; 8],
    };
    let by = PersonId::from_bytes([9; 16]);
    let mut document = document::new(&key);
    let changes = (0..3_u8).map(|step| {
        let stamp = Stamp {
            by,
            at_ms: 1_700_000_000_000 + i64::from(step),
            random: [step; 10],
        };
        let (_, change) =
            document::edit(&mut document, actor, stamp.at_ms, |log: &mut PatrolLog| {
                if step == 0 {
                    return log.start(
                        stamp,
                        NewPatrol {
                            title: "Ca".into(),
                            ..NewPatrol::default()
                        },
                    );
                }
                log.observe(stamp, NewObservation::of("urban-order", 1, "case"))
                    .map(|_| ())
            })
            .expect("the rules hold");
        change.expect("something was written")
    });
    let changes = changes.collect();
    (key, changes)
}

#[tokio::test]
async fn a_folder_that_is_open_is_not_opened_twice_and_the_first_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = phone(folder.path()).await;
    let shown = folder.path().join("viewable/photo.jpg");
    std::fs::create_dir_all(shown.parent().expect("a folder")).expect("made");
    std::fs::write(&shown, b"a photo").expect("shown");
    // A short database beside the log as it was found: what a mending is at work on, which an opening takes up.
    let short = folder.path().join("kieumau.db.short");
    std::fs::write(&short, b"at work").expect("written");
    let refused = Phone::open(config(folder.path(), 7)).await;
    let is_open = Invalid::new("folder", Rule::Already);
    assert!(matches!(refused, Err(PhoneError::Invalid(said)) if said == is_open));
    assert!(shown.exists(), "what the first shows is there");
    assert!(short.exists(), "and what it is at work on");
    let new = NewPatrol {
        title: "Ca".into(),
        ..NewPatrol::default()
    };
    first.start_patrol(new).await.expect("it goes on");
    close(first).await;
    // The twin: closed, it opens with all that was recorded, and nothing is shown any more.
    let second = phone(folder.path()).await;
    assert_eq!(second.patrols().await.expect("lists").len(), 1);
    assert!(!shown.exists());
    assert!(!short.exists());
}

#[tokio::test]
async fn a_change_without_its_ancestor_is_not_kept_and_comes_in_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = phone(folder.path()).await;
    let (key, changes) = colleagues();
    let merged = phone
        .store()
        .await
        .merge(&key, &changes[2..], &[])
        .await
        .expect("merges");
    assert_eq!((merged.new, merged.lacking), (0, 1));
    let merged = phone
        .store()
        .await
        .merge(&key, &changes, &[])
        .await
        .expect("merges");
    assert_eq!((merged.new, merged.lacking), (3, 0));
    drop(phone);
    let phone = self::phone(folder.path()).await;
    assert_eq!(
        phone
            .observations(key.document())
            .await
            .expect("loads from the disk")
            .len(),
        2
    );
}

/// The twin: were it stored, the document would never load again.
#[tokio::test]
async fn a_stored_change_without_its_ancestor_makes_a_document_that_does_not_load() {
    let (key, changes) = colleagues();
    let pile = changes[2..].iter().map(|change| change.bytes.as_slice());
    assert!(matches!(
        document::load(&key, pile),
        Err(document::DocumentError::Incomplete { .. })
    ));
}

#[tokio::test]
async fn what_was_shown_in_the_clear_is_gone_at_the_next_opening_and_the_record_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let photo = folder.path().join("photo.jpg");
    std::fs::write(&photo, b"\xff\xd8\xff\xe0 a photo").expect("written");
    let phone = phone(folder.path()).await;
    let new = NewPatrol {
        title: "Ca".into(),
        ..NewPatrol::default()
    };
    let patrol = phone.start_patrol(new).await.expect("starts");
    let sha256 = phone.attach(patrol, None, &photo).await.expect("attached");
    let shown = phone.viewable(sha256).await.expect("shown");
    assert_eq!(
        std::fs::read(&shown).expect("reads"),
        b"\xff\xd8\xff\xe0 a photo"
    );
    drop(phone);
    let phone = self::phone(folder.path()).await;
    assert!(!shown.exists());
    let shown = phone.viewable(sha256).await.expect("shown again");
    assert_eq!(
        std::fs::read(&shown).expect("reads"),
        b"\xff\xd8\xff\xe0 a photo"
    );
}

#[tokio::test]
async fn a_refused_attachment_leaves_no_copy_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let photo = folder.path().join("photo.jpg");
    std::fs::write(&photo, b"\xff\xd8\xff\xe0 a photo").expect("written");
    let phone = phone(folder.path()).await;
    let new = NewPatrol {
        title: "Ca".into(),
        ..NewPatrol::default()
    };
    let patrol = phone.start_patrol(new).await.expect("starts");
    let nowhere = Some(uuid::Uuid::nil().to_string());
    let refused = phone.attach(patrol, nowhere, &photo).await;
    assert!(
        matches!(
            refused,
            Err(PhoneError::Invalid(Invalid {
                rule: Rule::Unknown,
                ..
            }))
        ),
        "{refused:?}"
    );
    let files = std::fs::read_dir(folder.path().join("files"))
        .expect("a folder")
        .count();
    assert_eq!(files, 0);
}

#[tokio::test]
async fn another_key_does_not_open_and_deletes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(phone(folder.path()).await);
    let refused = Phone::open(config(folder.path(), 8)).await;
    assert!(
        matches!(
            refused,
            Err(PhoneError::Invalid(Invalid {
                rule: Rule::Unreadable,
                ..
            }))
        ),
        "{refused:?}"
    );
    drop(
        Phone::open(config(folder.path(), 7))
            .await
            .expect("its own key still opens it"),
    );
}
