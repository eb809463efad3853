//! What a rescue file holds and what it does not, read with the server's key.

use super::super::tests::{config, phone};
use super::*;
use crate::{
    observation::NewObservation,
    patrol::NewPatrol,
    position::{Fix, Position},
    rescue::{
        Bounds,
        sealed::{Records, RescueKey},
    },
    seal,
};
use tempfile::TempDir;

const PHOTO: &[u8] = b"\xff\xd8\xff\xe0 hoa sua mua thu";
const NOTE: &str = "Lấn chiếm vỉa hè Lê Lợi";

/// An's phone, which knows the rescue key of a server.
async fn rescuer(folder: &TempDir) -> Phone {
    let phone = phone(folder.path()).await;
    let public = RescueKey::from_bytes(&[9; 32]).public();
    if let Some(profile) = &mut phone.store().await.profile {
        profile.rescue_key = public;
    }
    phone
}

/// A patrol with a title, `notes` observations and nothing else.
async fn patrol(phone: &Phone, notes: usize) -> DocumentId {
    let new = NewPatrol {
        title: "Ca đêm của An".to_owned(),
        ..NewPatrol::default()
    };
    let patrol = phone.start_patrol(new).await.expect("starts");
    for _ in 0..notes {
        let new = NewObservation {
            note: Some(NOTE.to_owned()),
            ..NewObservation::of("urban-order", 1, "case")
        };
        phone.add_observation(patrol, new).await.expect("recorded");
    }
    patrol
}

async fn exported(phone: &Phone, folder: &TempDir) -> (RescueReport, Vec<Record>) {
    let path = folder.path().join("an.rescue");
    let report = phone.export_rescue(&path).await.expect("written");
    let bytes = std::fs::read(&path).expect("reads");
    assert_eq!(report.size_bytes, bytes.len() as u64);
    (report, records(&bytes))
}

/// The records after the origin, which is this phone's.
fn records(bytes: &[u8]) -> Vec<Record> {
    let mut records = Records::open(bytes, &RescueKey::from_bytes(&[9; 32])).expect("opens");
    let mut bounds = Bounds::default();
    let mut all = Vec::new();
    while let Some(record) = records.next_record().expect("reads") {
        bounds.look(&record).expect("within the bounds");
        all.push(record);
    }
    all.remove(0);
    all
}

/// The documents' changes, each with whether a seal of its record covers it.
fn changes(records: &[Record]) -> Vec<(Sha256, bool)> {
    let mut changes = Vec::new();
    for record in records {
        let Record::Changes(document) = record else {
            continue;
        };
        let headers: BTreeMap<Sha256, Header<'_>> = document
            .changes
            .iter()
            .map(|bytes| header::read(bytes).expect("a change"))
            .map(|header| (header.hash, header))
            .collect();
        let sealed: Vec<Sha256> = document.seals.iter().map(|seal| seal.change).collect();
        let covered = seal::covered(&sealed, |hash| {
            let header = headers.get(hash)?;
            Some((header.actor, header.seq, header.deps.as_slice()))
        });
        changes.extend(
            headers
                .into_keys()
                .map(|hash| (hash, covered.contains(&hash))),
        );
    }
    changes
}

async fn set(phone: &Phone, sql: &'static str) {
    let mut store = phone.store().await;
    sqlx::query(sql)
        .execute(&mut store.connection)
        .await
        .expect("written");
}

#[tokio::test]
async fn everything_unsent_is_in_the_file_and_no_word_of_it_can_be_found_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = rescuer(&folder).await;
    let patrol = patrol(&phone, 3).await;
    let photo = folder.path().join("photo.jpg");
    std::fs::write(&photo, PHOTO).expect("written");
    phone.attach(patrol, None, &photo).await.expect("attached");
    let (report, records) = exported(&phone, &folder).await;
    assert_eq!((report.changes, report.files, report.refused), (5, 1, 0));
    let found = changes(&records);
    assert_eq!(found.len(), 5);
    assert!(found.iter().all(|(_, sealed)| *sealed));
    let sent: Vec<u8> = records
        .iter()
        .filter_map(|record| match record {
            Record::Bytes(bytes) => Some(bytes.as_slice()),
            _ => None,
        })
        .collect::<Vec<_>>()
        .concat();
    assert_eq!(sent, PHOTO);

    let bytes = std::fs::read(folder.path().join("an.rescue")).expect("reads");
    for needle in [
        NOTE,
        "Ca đêm",
        "urban-order",
        "patrol-log",
        "hoa sua mua thu",
    ] {
        let wide: Vec<u16> = needle.encode_utf16().collect();
        let little: Vec<u8> = wide.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = wide.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for spelling in [needle.as_bytes(), &little, &big] {
            let there = bytes
                .windows(spelling.len())
                .any(|window| window == spelling);
            assert!(!there, "{needle}");
        }
    }
    // The twin: a search like this does find what lies in the clear.
    let clear = minicbor::to_vec(&records).expect("CBOR");
    assert!(clear.windows(7).any(|window| window == b"mua thu"));
}

#[tokio::test]
async fn fixes_that_are_in_no_document_yet_are_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = rescuer(&folder).await;
    let patrol = patrol(&phone, 0).await;
    let fix = Fix {
        at_ms: 1_700_000_000_000,
        position: Position::from_degrees(18.6734, 105.6813).expect("in Vinh"),
        accuracy_dm: Some(50),
    };
    phone.add_fix(patrol, fix).await.expect("recorded");
    let (report, _) = exported(&phone, &folder).await;
    assert_eq!((report.changes, report.fixes_left), (2, 0));
}

#[tokio::test]
async fn what_a_receipt_reaches_and_what_colleagues_wrote_stays_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = rescuer(&folder).await;
    patrol(&phone, 2).await;
    set(&phone, "update change set server = 'held'").await;
    // The server took them, and the answer with the receipt was lost on the way.
    assert_eq!(exported(&phone, &folder).await.0.changes, 3);
    set(
        &phone,
        "insert into receipt (document_id, heads, attachments, jws) select document_id, heads, '', '' from document",
    )
    .await;
    assert_eq!(exported(&phone, &folder).await.0.changes, 0);
    let documents = phone.items(None).await.expect("reads");
    let new = NewObservation::of("urban-order", 1, "case");
    phone
        .add_observation(documents[0].document, new)
        .await
        .expect("recorded");
    assert_eq!(exported(&phone, &folder).await.0.changes, 1);
    set(&phone, "update change set own = 0, server = 'held'").await;
    assert_eq!(exported(&phone, &folder).await.0.changes, 0);
}

#[tokio::test]
async fn a_refused_original_goes_with_its_reason_and_seals_cover_both_sides_of_the_gap() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = rescuer(&folder).await;
    patrol(&phone, 4).await;
    set(
        &phone,
        "update change set server = 'sequence' where position = 3",
    )
    .await;
    let (report, records) = exported(&phone, &folder).await;
    assert_eq!((report.changes, report.refused), (4, 1));
    assert!(changes(&records).iter().all(|(_, sealed)| *sealed));
    let reasons: Vec<&str> = records
        .iter()
        .filter_map(|record| match record {
            Record::Refused { reason, .. } => Some(reason.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["sequence"]);
}

/// Whether each refused original has a document's name, and its reason.
fn refused(records: &[Record]) -> Vec<(bool, &str)> {
    let refused = records.iter().filter_map(|record| match record {
        Record::Refused { key, reason, .. } => Some((key.is_some(), reason.as_str())),
        _ => None,
    });
    refused.collect()
}

#[tokio::test]
async fn what_a_salvage_kept_apart_goes_with_its_own_word() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = rescuer(&folder).await;
    patrol(&phone, 2).await;
    for apart in [
        "insert into set_aside (document_id, hash, refusal, set_aside_at_ms, bytes) \
         select document_id, hash, 'lacks-an-ancestor', 0, bytes from change where position = 3",
        "delete from change where position = 3",
    ] {
        set(&phone, apart).await;
    }
    let (_, records) = exported(&phone, &folder).await;
    assert_eq!(refused(&records), [(true, "lacks-an-ancestor")]);
    // The twin: a word that this version does not know.
    set(&phone, "update set_aside set refusal = 'a-later-word'").await;
    let (_, records) = exported(&phone, &folder).await;
    assert_eq!(refused(&records), [(true, "malformed")]);
}

#[tokio::test]
async fn what_a_salvage_kept_of_a_document_that_it_could_not_name_goes_too_and_a_colleagues_does_not()
 {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = rescuer(&folder).await;
    patrol(&phone, 2).await;
    set(
        &phone,
        "insert into set_aside (document_id, hash, refusal, set_aside_at_ms, bytes) \
         values ('0193fa1c-0000-5000-8000-000000000001', 'a hash', 'lacks-an-ancestor', 0, x'01')",
    )
    .await;
    let (report, records) = exported(&phone, &folder).await;
    assert_eq!(refused(&records), [(false, "lacks-an-ancestor")]);
    assert_eq!(report.refused, 1);
    // The twin: the server has a colleague's.
    set(&phone, "update set_aside set own = 0").await;
    let (_, records) = exported(&phone, &folder).await;
    assert!(refused(&records).is_empty());
}

#[tokio::test]
async fn a_revoked_phone_writes_its_file_and_one_that_was_never_enrolled_has_nothing_to_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = rescuer(&folder).await;
    patrol(&phone, 1).await;
    if let Some(profile) = &mut phone.store().await.profile {
        profile.revoked = true;
    }
    assert_eq!(exported(&phone, &folder).await.0.changes, 2);
    drop(phone);
    let other = tempfile::tempdir().expect("a folder");
    let phone = Phone::open(config(other.path(), 7)).await.expect("opens");
    let refused = phone.export_rescue(&other.path().join("x.rescue")).await;
    assert!(
        matches!(&refused, Err(PhoneError::SignedOut { word }) if word == "not-enrolled"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn one_damaged_attachment_holds_up_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = rescuer(&folder).await;
    let patrol = patrol(&phone, 0).await;
    for name in ["one.jpg", "two.jpg"] {
        let photo = folder.path().join(name);
        std::fs::write(&photo, [PHOTO, name.as_bytes()].concat()).expect("written");
        phone.attach(patrol, None, &photo).await.expect("attached");
    }
    let sealed = std::fs::read_dir(folder.path().join("files"))
        .expect("a folder")
        .next()
        .expect("a file")
        .expect("reads");
    std::fs::write(sealed.path(), b"damaged").expect("written");
    let (report, _) = exported(&phone, &folder).await;
    assert_eq!((report.changes, report.files, report.files_left), (3, 1, 1));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = rescuer(&folder).await;
    patrol(&phone, 1).await;
    let nowhere = folder.path().join("no folder").join("an.rescue");
    assert!(matches!(
        phone.export_rescue(&nowhere).await,
        Err(PhoneError::NotFound)
    ));
    // A folder stands where the file should come to lie.
    let taken = folder.path().join("taken.rescue");
    std::fs::create_dir(&taken).expect("a folder");
    assert!(phone.export_rescue(&taken).await.is_err());
    assert!(!folder.path().join("taken.rescue.part").exists());
}

#[tokio::test]
async fn a_patrol_whose_fixes_do_not_fold_is_counted_and_holds_up_no_rescue() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = rescuer(&folder).await;
    super::super::tracks::tests::torn(&phone, 3).await;
    patrol(&phone, 1).await;
    let (report, records) = exported(&phone, &folder).await;
    assert_eq!((report.changes, report.fixes_left), (2, 3));
    assert_eq!(changes(&records).len(), 2);
}
