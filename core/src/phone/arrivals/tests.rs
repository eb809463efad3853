//! What came whole is there after a crash, is read as if it had come change by change, and what does not unfold costs nothing.

use super::*;
use crate::{
    document::Key,
    inbox::Page,
    log::{
        head::Epoch,
        paging::{Cursor, Position},
    },
    phone::{
        Phone,
        tests::{NOW_MS, colleagues, config, phone},
    },
    wire::{Pulled, Snapshot, WireKey},
};

/// A page that ends in a cursor of the feed of `key`.
fn page(key: &Key, items: &[Pulled]) -> Vec<u8> {
    let cursor = Cursor {
        epoch: Epoch([1; 16]),
        feeds: vec![Position {
            unit: key.unit,
            number: 7,
            listed: None,
        }],
    };
    let mut page = Vec::new();
    for item in items
        .iter()
        .chain([&Pulled::Cursor(cursor.to_text(), false)])
    {
        minicbor::encode(item, &mut page).expect("encodes");
    }
    page
}

/// The colleague's patrol as a snapshot of its first changes, and the rest singly.
fn whole(snapshot_of: usize) -> (Key, Vec<Change>, Vec<Pulled>) {
    let (key, changes) = colleagues();
    let held = changes[..snapshot_of]
        .iter()
        .map(|change| change.bytes.as_slice());
    let document = document::load(&key, held).expect("loads");
    let mut items = vec![
        Pulled::Document(WireKey::from(&key)),
        Pulled::Snapshot(Snapshot {
            heads: document::heads(&document),
            changes: snapshot_of as u32,
            bytes: document::save(&document),
        }),
    ];
    let singly = changes[snapshot_of..].iter();
    items.extend(singly.map(|change| Pulled::Change(change.bytes.clone())));
    (key, changes, items)
}

async fn put_down(phone: &Phone, page: &[u8]) {
    let page = Page::read(page).expect("a page");
    let documents: Vec<&Arrived<'_>> = page.documents.iter().collect();
    let mut store = phone.store().await;
    let put = store.put_down(&documents, Some(&page.cursor), NOW_MS).await;
    put.expect("put down");
}

async fn count(phone: &Phone, sql: &'static str) -> i64 {
    let mut store = phone.store().await;
    let row = sqlx::query(sql).fetch_one(&mut store.connection).await;
    row.expect("a count").get(0)
}

#[tokio::test]
async fn what_came_whole_is_there_after_a_crash_and_says_what_its_changes_say() {
    for snapshot_of in 1..=3 {
        let (key, changes, items) = whole(snapshot_of);
        let folder = tempfile::tempdir().expect("a folder");
        let here = phone(folder.path()).await;
        put_down(&here, &page(&key, &items)).await;
        assert_eq!(count(&here, "select count(*) from change").await, 0);
        // It ends here, without a word.
        drop(here);
        let here = phone(folder.path()).await;
        let observations = here.observations(key.document()).await.expect("reads");
        assert_eq!(observations.len(), 2);
        assert_eq!(here.patrols().await.expect("lists").len(), 1);
        let mut store = here.store().await;
        let rows = sqlx::query("select hash, bytes, own, server from change order by position")
            .fetch_all(&mut store.connection)
            .await
            .expect("rows");
        let kept: Vec<(String, Vec<u8>)> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let came = changes
            .iter()
            .map(|change| (change.hash.to_string(), change.bytes.clone()));
        assert_eq!(kept, came.collect::<Vec<_>>());
        assert!(rows.iter().all(|row| !row.get::<bool, _>(2)));
        drop(store);
        assert_eq!(count(&here, "select count(*) from arrival").await, 0);
        assert_eq!(
            count(&here, "select count(*) from sync where cursor <> ''").await,
            1
        );
    }
}

#[tokio::test]
async fn a_list_shows_what_came_whole_although_nobody_opened_it() {
    let (key, _, items) = whole(3);
    let folder = tempfile::tempdir().expect("a folder");
    let phone = phone(folder.path()).await;
    put_down(&phone, &page(&key, &items)).await;
    // The twin: without unfolding nothing is known of it.
    assert_eq!(count(&phone, "select count(*) from document").await, 0);
    let [summary] = phone
        .patrols()
        .await
        .expect("lists")
        .try_into()
        .expect("one");
    assert_eq!(summary.patrol, key.document());
}

#[tokio::test]
async fn a_snapshot_that_does_not_unfold_is_set_aside_and_its_document_is_wanted_singly() {
    let (key, changes, mut items) = whole(3);
    let Pulled::Snapshot(snapshot) = &mut items[1] else {
        panic!("a snapshot")
    };
    snapshot.heads = vec![changes[0].hash];
    let folder = tempfile::tempdir().expect("a folder");
    let phone = phone(folder.path()).await;
    put_down(&phone, &page(&key, &items)).await;
    assert_eq!(phone.patrols().await.expect("lists"), []);
    assert_eq!(
        count(&phone, "select count(*) from arrival where set_aside").await,
        1
    );
    assert_eq!(
        count(&phone, "select count(*) from wanted where singly").await,
        1
    );
    // Change by change it is whole.
    let mut store = phone.store().await;
    let merged = store.merge(&key, &changes, &[]).await.expect("merges");
    assert_eq!((merged.new, merged.lacking), (3, 0));
    drop(store);
    assert_eq!(phone.patrols().await.expect("lists").len(), 1);
}

#[tokio::test]
async fn a_document_of_an_unknown_kind_stays_as_it_came_until_a_version_knows_it() {
    let (key, _, items) = whole(3);
    let mut strange = items.clone();
    strange[0] = Pulled::Document(WireKey {
        kind: "duty-roster".to_owned(),
        ..WireKey::from(&key)
    });
    let folder = tempfile::tempdir().expect("a folder");
    let here = phone(folder.path()).await;
    put_down(&here, &page(&key, &strange)).await;
    assert_eq!(here.patrols().await.expect("lists"), []);
    drop(here);
    let here = Phone::open(config(folder.path(), 7)).await.expect("opens");
    assert_eq!(count(&here, "select count(*) from arrival").await, 1);
    // The version that knows the kind: to it the same bytes are a document.
    let mut known = Vec::new();
    for item in &items {
        minicbor::encode(item, &mut known).expect("encodes");
    }
    let mut store = here.store().await;
    sqlx::query("update arrival set items = $1")
        .bind(known)
        .execute(&mut store.connection)
        .await
        .expect("written");
    drop(store);
    drop(here);
    let here = phone(folder.path()).await;
    assert_eq!(here.patrols().await.expect("lists").len(), 1);
    assert_eq!(count(&here, "select count(*) from arrival").await, 0);
}

#[tokio::test]
async fn a_document_of_an_unknown_kind_is_fetched_once_by_each_version() {
    let (key, changes, mut items) = whole(3);
    items[0] = Pulled::Document(WireKey {
        kind: "duty-roster".to_owned(),
        ..WireKey::from(&key)
    });
    let unsealed = items.clone();
    let colleague = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let signer = crate::seal::Signer::Phone(crate::id::PhoneId::from_bytes([9; 16]));
    items.push(Pulled::Seal(key.seal(&colleague, signer, changes[2].hash)));
    let folder = tempfile::tempdir().expect("a folder");
    let here = phone(folder.path()).await;
    let strange = async |version: &str| {
        let mut store = here.store().await;
        let strange = is_strange(&mut store.connection, key.document(), version).await;
        strange.expect("reads")
    };
    // The twin: what is not known to be here is fetched again, and lies here once more.
    for rows in 1..=2 {
        put_down(&here, &page(&key, &unsealed)).await;
        assert!(!strange("test").await);
        assert_eq!(count(&here, "select count(*) from arrival").await, rows);
    }
    for _ in 0..2 {
        put_down(&here, &page(&key, &items)).await;
        assert!(strange("test").await && !strange("a later one").await);
        assert_eq!(count(&here, "select count(*) from arrival").await, 3);
    }
}

#[test]
fn a_page_cut_anywhere_is_no_page() {
    let (key, _, items) = whole(1);
    let page = page(&key, &items);
    assert!(Page::read(&page).is_ok());
    for cut in 0..page.len() {
        assert!(Page::read(&page[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn what_is_no_change_is_not_put_down() {
    let (key, _, mut items) = whole(1);
    items.push(Pulled::Change(b"no change".to_vec()));
    assert!(Page::read(&page(&key, &items)).is_err());
}

/// A backup was put back, and the server says so: what it signed for before does not count until it signs anew.
#[tokio::test]
async fn receipts_of_another_history_do_not_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = phone(folder.path()).await;
    let mut store = phone.store().await;
    let mut tx = store.connection.begin().await.expect("begins");
    let epoch = |number: u8| Epoch([number; 16]);
    let cursor = |number| Cursor {
        epoch: epoch(number),
        feeds: vec![Position {
            unit: colleagues().0.unit,
            number: 1,
            listed: None,
        }],
    };
    let put = put_cursor(&mut tx, &cursor(1).to_text(), NOW_MS).await;
    put.expect("put");
    sqlx::query("insert into receipt (document_id, heads, attachments, epoch, jws) values ('x', '', '', $1, '')")
        .bind(epoch(1).to_string())
        .execute(&mut *tx)
        .await
        .expect("written");
    let counting = "select count(*), (select compared_at_ms from sync) from receipt where epoch = (select epoch from sync)";
    let seen = sqlx::query(counting)
        .fetch_one(&mut *tx)
        .await
        .expect("a row");
    assert_eq!((seen.get::<i64, _>(0), seen.get(1)), (1, Some(NOW_MS)));
    // Of the same epoch, but shorter: also another history.
    for anew in [Cursor::anew(epoch(1)), Cursor::anew(epoch(2))] {
        put_cursor(&mut tx, &anew.to_text(), NOW_MS)
            .await
            .expect("put");
        let seen = sqlx::query(counting)
            .fetch_one(&mut *tx)
            .await
            .expect("a row");
        assert_eq!(
            (seen.get::<i64, _>(0), seen.get::<Option<i64>, _>(1)),
            (0, None)
        );
    }
}
