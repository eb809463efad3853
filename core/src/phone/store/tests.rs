//! What is kept beside the changes says what the changes say, and the view compares receipts as receipts do.

use super::*;
use crate::{
    id::PhoneId,
    log::head::Epoch,
    observation::NewObservation,
    outbox::Signed,
    patrol::NewPatrol,
    phone::{
        Phone,
        tests::{NOW_MS, phone},
    },
    receipt::Receipt,
    review::heads_text,
    track::tests::fix,
};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};

/// A patrol that was edited in every way that keeps the record at hand: started, observed, folded, paused, resumed.
async fn walked(phone: &Phone) -> DocumentId {
    let new = NewPatrol {
        title: "Ca đêm".to_owned(),
        ..NewPatrol::default()
    };
    let patrol = phone.start_patrol(new).await.expect("starts");
    for step in 0..130 {
        let dropped = phone.add_fix(patrol, fix(step * 10, step as f64 * 10.0));
        assert_eq!(dropped.await.expect("recorded"), None);
        if step % 40 == 0 {
            let new = NewObservation::of("urban-order", 1, "case");
            phone.add_observation(patrol, new).await.expect("recorded");
        }
    }
    phone.pause(patrol).await.expect("pauses");
    phone.resume(patrol).await.expect("resumes");
    patrol
}

/// What the document says, of its changes alone.
async fn of_changes(store: &mut Store, patrol: DocumentId) -> PatrolLog {
    let key = store.key(patrol).await.expect("is here");
    store.opened.take(patrol);
    let open = store.take(&key).await.expect("loads");
    document::read(&open.document).expect("a patrol")
}

#[tokio::test]
async fn what_is_kept_in_memory_and_beside_the_document_is_what_its_changes_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = phone(folder.path()).await;
    let patrol = walked(&phone).await;
    let mut store = phone.store().await;
    let kept = store.opened.record::<PatrolLog>(patrol).cloned();
    let beside = rows::record::<PatrolLog>(&mut store.connection, patrol, "test").await;
    let said = of_changes(&mut store, patrol).await;
    assert_eq!(said.tracks()[0].fixes.len(), 130);
    assert_eq!(kept.as_ref(), Some(&said));
    assert_eq!(beside.expect("reads"), Some(said));
}

#[tokio::test]
async fn a_record_of_other_heads_or_of_another_version_of_the_app_is_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = phone(folder.path()).await;
    let patrol = walked(&phone).await;
    let mut store = phone.store().await;
    let connection = &mut store.connection;
    let newer = rows::record::<PatrolLog>(connection, patrol, "test 2").await;
    assert_eq!(newer.expect("looks"), None);
    sqlx::query("update document set heads = $1")
        .bind(heads_text(&[Sha256([1; 32])]))
        .execute(&mut *connection)
        .await
        .expect("written");
    let older = rows::record::<PatrolLog>(connection, patrol, "test").await;
    assert_eq!(older.expect("looks"), None);
}

#[tokio::test]
async fn a_right_that_ended_is_said_and_what_is_here_stays_until_it_comes_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let phone = phone(folder.path()).await;
    let patrol = walked(&phone).await;
    let ungrant = "update document set ungranted_at_ms = $1";
    let mut store = phone.store().await;
    let ended = sqlx::query(ungrant).bind(NOW_MS);
    ended.execute(&mut store.connection).await.expect("written");
    drop(store);
    let [summary] = phone
        .patrols()
        .await
        .expect("lists")
        .try_into()
        .expect("one");
    assert_eq!(summary.ungranted_at_ms, Some(NOW_MS));
    let [item] = phone
        .items(None)
        .await
        .expect("lists")
        .try_into()
        .expect("one");
    assert_eq!(item.ungranted_at_ms, Some(NOW_MS));
    assert_eq!(phone.observations(patrol).await.expect("reads").len(), 4);
    phone.end(patrol).await.expect("ends");
    let view = phone.patrol(patrol).await.expect("opens");
    assert_eq!(
        view.summary.ungranted_at_ms,
        Some(NOW_MS),
        "an edit gives no right"
    );
    let mut store = phone.store().await;
    let key = store.key(patrol).await.expect("is here");
    store.merge(&key, &[], &[]).await.expect("merges");
    drop(store);
    let view = phone.patrol(patrol).await.expect("opens");
    assert_eq!(view.summary.ungranted_at_ms, None);
}

/// What a document names and what a receipt names, of few hashes so that they often agree.
fn sides() -> impl Strategy<Value = [Vec<Sha256>; 4]> {
    let hashes = || prop::collection::btree_set(0_u8..4, 0..3);
    [hashes(), hashes(), hashes(), hashes()].prop_map(|sides| {
        sides.map(|side| side.into_iter().map(|byte| Sha256([byte; 32])).collect())
    })
}

/// Whether the view says that the receipt covers the document.
async fn covered(
    store: &mut Store,
    patrol: DocumentId,
    heads: &[Sha256],
    files: &[Sha256],
    receipt: &Receipt,
    epoch: Epoch,
) -> Result<bool, sqlx::Error> {
    let mut tx = store.connection.begin().await?;
    sqlx::query("update sync set epoch = $1")
        .bind(epoch.to_string())
        .execute(&mut *tx)
        .await?;
    sqlx::query("update document set heads = $1")
        .bind(heads_text(heads))
        .execute(&mut *tx)
        .await?;
    for file in files {
        sqlx::query("insert into attachment_use (document_id, sha256) values ($1, $2)")
            .bind(patrol.to_string())
            .bind(file.to_string())
            .execute(&mut *tx)
            .await?;
    }
    sqlx::query(
        "insert into receipt (document_id, heads, attachments, epoch, jws) values ($1, $2, $3, $4, '')",
    )
    .bind(patrol.to_string())
    .bind(heads_text(&receipt.heads))
    .bind(heads_text(&receipt.attachments))
    .bind(receipt.epoch.to_string())
    .execute(&mut *tx)
    .await?;
    let row = sqlx::query("select covered from standing where document_id = $1")
        .bind(patrol.to_string())
        .fetch_one(&mut *tx)
        .await?;
    tx.rollback().await?;
    Ok(row.get(0))
}

#[test]
fn the_view_says_covered_when_the_receipt_does() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let phone = runtime.block_on(phone(folder.path()));
    let new = NewPatrol {
        title: "Ca".to_owned(),
        ..NewPatrol::default()
    };
    let patrol = runtime.block_on(phone.start_patrol(new)).expect("starts");
    let store = RefCell::new(runtime.block_on(phone.store()));
    let seen = [Cell::new(0), Cell::new(0)];
    proptest!(ProptestConfig::with_cases(400), |(sides in sides(), of_this_log in prop::bool::weighted(0.8))| {
        let [heads, files, signed_heads, signed_files] = sides;
        let receipt = Receipt {
            document: patrol,
            heads: signed_heads,
            attachments: signed_files,
            epoch: Epoch([5; 16]),
            leaf_index: 0,
            tree_size: 1,
            root: Sha256([9; 32]),
            received_at_ms: NOW_MS,
            phone: PhoneId::from_bytes([3; 16]),
        };
        // One of another epoch says nothing about the server of today.
        let epoch = Epoch([if of_this_log { 5 } else { 6 }; 16]);
        let says = receipt.covers(patrol, &heads, &files) && of_this_log;
        let mut store = store.borrow_mut();
        let shows = covered(&mut store, patrol, &heads, &files, &receipt, epoch);
        prop_assert_eq!(runtime.block_on(shows).expect("asks"), says);
        let signed = Signed {
            heads: heads_text(&receipt.heads),
            epoch: receipt.epoch,
            attachments: receipt.attachments.into_iter().collect(),
            tokens: Vec::new(),
        };
        let files = files.into_iter().collect();
        prop_assert_eq!(signed.covers(&heads_text(&heads), &files, Some(epoch)), says);
        seen[usize::from(says)].update(|count| count + 1);
    });
    assert!(seen.iter().all(|count| count.get() > 0), "{seen:?}");
}
