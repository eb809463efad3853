//! What is refused leaves its document, what was written upon it does not, and the original is shown with its reason and can be written
//! again.

use super::*;
use crate::{
    observation::NewObservation,
    patrol::NewPatrol,
    phone::{
        ItemState, Part, Why,
        tests::{NOW_MS, phone},
    },
};
use std::path::Path;

/// A patrol with three observations, of which the server answered each change so.
async fn answered(folder: &Path, words: [Option<&str>; 4]) -> (Phone, DocumentId) {
    let phone = phone(folder).await;
    let new = NewPatrol {
        title: "Ca".to_owned(),
        ..NewPatrol::default()
    };
    let patrol = phone.start_patrol(new).await.expect("starts");
    for number in 1..4 {
        let new = NewObservation {
            note: Some(format!("Vụ {number}")),
            ..NewObservation::of("urban-order", 1, "case")
        };
        phone.add_observation(patrol, new).await.expect("recorded");
    }
    answer(&phone, words).await;
    (phone, patrol)
}

async fn answer(phone: &Phone, words: [Option<&str>; 4]) {
    let mut store = phone.store().await;
    let rows = sqlx::query("select position from change where server is null order by position");
    let rows = rows.fetch_all(&mut store.connection).await.expect("reads");
    for (row, word) in rows.iter().zip(words) {
        sqlx::query("update change set server = $1 where position = $2")
            .bind(word)
            .bind(row.get::<i64, _>(0))
            .execute(&mut store.connection)
            .await
            .expect("written");
    }
}

async fn reissue(phone: &Phone) -> Vec<DocumentId> {
    let mut store = phone.store().await;
    store.reissue(NOW_MS).await.expect("reissues")
}

async fn notes(phone: &Phone, patrol: DocumentId) -> Vec<String> {
    let observations = phone.observations(patrol).await.expect("reads");
    let notes = observations.into_iter().filter_map(|o| o.content.note);
    // The clock stands still here, so the order of recording is nobody's.
    let mut notes: Vec<String> = notes.collect();
    notes.sort();
    notes
}

/// How many changes the server has no word about.
async fn unsent(phone: &Phone) -> i64 {
    let mut store = phone.store().await;
    sqlx::query("select count(*) from change where server is null")
        .fetch_one(&mut store.connection)
        .await
        .expect("reads")
        .get(0)
}

const HELD: Option<&str> = Some("held");
const WAITING: Option<&str> = Some("waiting");

#[tokio::test]
async fn what_is_refused_for_its_envelope_is_written_anew_with_all_that_came_after_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let answers = [HELD, Some("unsealed"), WAITING, WAITING];
    let (phone, patrol) = answered(folder.path(), answers).await;
    let before = notes(&phone, patrol).await;
    assert_eq!(reissue(&phone).await, [patrol]);
    assert_eq!(notes(&phone, patrol).await, before);
    assert_eq!(unsent(&phone).await, 3);
    assert!(phone.refused(patrol).await.expect("reads").is_empty());
    assert!(reissue(&phone).await.is_empty(), "once is enough");
    drop(phone);
    let phone = self::phone(folder.path()).await;
    assert_eq!(notes(&phone, patrol).await, before, "as it is on the disk");
}

/// The twin: nothing is sent of what waits.
#[tokio::test]
async fn without_it_what_came_after_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let answers = [HELD, Some("unsealed"), WAITING, WAITING];
    let (phone, _) = answered(folder.path(), answers).await;
    assert_eq!(unsent(&phone).await, 0);
}

#[tokio::test]
async fn what_is_refused_twice_is_left_out_shown_and_written_again_when_the_officer_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let answers = [HELD, Some("unsealed"), WAITING, WAITING];
    let (phone, patrol) = answered(folder.path(), answers).await;
    reissue(&phone).await;
    answer(&phone, [Some("unsealed"), WAITING, WAITING, None]).await;
    assert_eq!(reissue(&phone).await, [patrol]);
    assert_eq!(notes(&phone, patrol).await, ["Vụ 2", "Vụ 3"]);
    let [refused] = phone
        .refused(patrol)
        .await
        .expect("reads")
        .try_into()
        .expect("one");
    assert_eq!(refused.word, "unsealed");
    assert_eq!(refused.way_out, WayOut::WriteAgain);
    let note = refused
        .says
        .iter()
        .find(|said| said.path.ends_with("/note"));
    assert_eq!(note.map(|said| said.text.as_str()), Some("Vụ 1"));
    let [item] = phone
        .items(None)
        .await
        .expect("lists")
        .try_into()
        .expect("one");
    let why = Why::Refused {
        word: "unsealed".to_owned(),
    };
    assert_ne!(item.state, ItemState::Received);
    let waits = item.waiting.iter().find(|waits| waits.why == why);
    assert_eq!(waits.map(|w| (w.part, w.count)), Some((Part::Text, 1)));

    let again = phone.write_again(patrol, refused.change).await;
    assert!(again.expect("writes"));
    assert_eq!(notes(&phone, patrol).await, ["Vụ 1", "Vụ 2", "Vụ 3"]);
    assert!(phone.refused(patrol).await.expect("reads").is_empty());
    let twice = phone.write_again(patrol, refused.change).await;
    assert!(matches!(twice, Err(PhoneError::NotFound)), "{twice:?}");
}

/// It says *Đã gửi* only without what was left out: the twin is the same document with that row taken away.
#[tokio::test]
async fn a_document_of_which_something_was_left_out_is_not_called_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let answers = [HELD, HELD, HELD, Some("document-full")];
    let (phone, patrol) = answered(folder.path(), answers).await;
    reissue(&phone).await;
    let mut store = phone.store().await;
    sqlx::query("insert into receipt (document_id, heads, attachments, jws) select document_id, heads, '', '' from document")
        .execute(&mut store.connection)
        .await
        .expect("written");
    drop(store);
    let state = async || {
        let patrol = phone.patrol(patrol).await.expect("opens");
        patrol.summary.state
    };
    assert_ne!(state().await, ItemState::Received);
    let mut store = phone.store().await;
    sqlx::query("delete from set_aside")
        .execute(&mut store.connection)
        .await
        .expect("written");
    drop(store);
    assert_eq!(state().await, ItemState::Received);
}

#[tokio::test]
async fn where_only_a_person_helps_nothing_is_taken_out_and_want_of_room_is_tried_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let answers = [HELD, HELD, Some("not-allowed"), Some("too-many-waiting")];
    let (phone, patrol) = answered(folder.path(), answers).await;
    assert!(reissue(&phone).await.is_empty());
    assert_eq!(notes(&phone, patrol).await.len(), 3);
    let refused = phone.refused(patrol).await.expect("reads");
    let ways: Vec<WayOut> = refused.iter().map(|refused| refused.way_out).collect();
    assert!(ways.contains(&WayOut::Chief) && ways.contains(&WayOut::Wait));
    let mut store = phone.store().await;
    store.send_again().await.expect("written");
    drop(store);
    assert_eq!(unsent(&phone).await, 1);
}

#[tokio::test]
async fn what_the_server_lets_in_after_all_is_in_the_document_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let answers = [HELD, HELD, HELD, Some("document-full")];
    let (phone, patrol) = answered(folder.path(), answers).await;
    reissue(&phone).await;
    assert_eq!(notes(&phone, patrol).await, ["Vụ 1", "Vụ 2"]);
    let mut store = phone.store().await;
    let key = store.key(patrol).await.expect("is here");
    let left_out = store.left_out().await.expect("reads");
    let (hash, bytes) = {
        let header = crate::header::read(&left_out[0].2).expect("a change");
        (header.hash, left_out[0].2.clone())
    };
    let merged = store.merge(&key, &[Change { hash, bytes }], &[]).await;
    assert_eq!(merged.expect("merges").new, 1);
    drop(store);
    assert_eq!(notes(&phone, patrol).await.len(), 3);
    assert!(phone.refused(patrol).await.expect("reads").is_empty());
}

/// The twin is the second patrol alone: it is written anew too.
#[tokio::test]
async fn a_document_that_does_not_load_holds_up_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let answers = [HELD, Some("unsealed"), WAITING, WAITING];
    let (phone, bad) = answered(folder.path(), answers).await;
    let new = NewPatrol {
        title: "Ca hai".to_owned(),
        ..NewPatrol::default()
    };
    let good = phone.start_patrol(new).await.expect("starts");
    answer(&phone, [Some("unsealed"), None, None, None]).await;
    let mut store = phone.store().await;
    sqlx::query("update change set bytes = x'00' where document_id = $1 and server = 'unsealed'")
        .bind(bad.to_string())
        .execute(&mut store.connection)
        .await
        .expect("written");
    store.opened.take(bad);
    drop(store);
    assert_eq!(reissue(&phone).await, [good]);
}

#[tokio::test]
async fn what_waits_on_the_server_is_asked_about_with_each_sync_so_that_a_late_refusal_is_heard() {
    let folder = tempfile::tempdir().expect("a folder");
    let (phone, patrol) = answered(folder.path(), [HELD, HELD, WAITING, WAITING]).await;
    assert_eq!(unsent(&phone).await, 0);
    // The twin: without being asked about it stays as it is, whatever became of it.
    assert_eq!(reissue(&phone).await, []);
    phone.store().await.send_again().await.expect("done");
    assert_eq!(unsent(&phone).await, 2);
    answer(&phone, [Some("sequence"), WAITING, None, None]).await;
    assert_eq!(reissue(&phone).await, [patrol]);
    assert_eq!(notes(&phone, patrol).await, ["Vụ 1", "Vụ 2", "Vụ 3"]);
    assert_eq!(unsent(&phone).await, 2, "both go again, anew");
}
