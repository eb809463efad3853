//! Whose fault it is when a worker fails.

use super::*;
use crate::run::tests::Scene;
use crate::{
    fixture::{People, TestApp, apps, enrolled, one_change},
    intake,
    worker::{Answer, Checked, Workers},
};
use kieumau_core::document::Key;
use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

/// A document with one change that no worker has seen; its id.
async fn unchecked(app: &TestApp) -> DocumentId {
    let people = People::new(app).await;
    let (phone, _) = enrolled(app, &people.an).await;
    let key = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
    let id = key.document();
    let push = one_change(phone, key, vec![7; 1_000]);
    intake::write(app, &[&push]).await.expect("written");
    id
}

/// A file with a line for each worker that died.
const DEATHS: &str = "deaths";

/// The same server with workers that die over any job of at least so many bytes, and find nothing in the others.
fn with_workers_that_die(app: &TestApp, folder: &tempfile::TempDir, from_bytes: usize) -> App {
    let answer = Answer::Checked(Checked {
        verdicts: Vec::new(),
        heads: Vec::new(),
        rows: "{}".to_owned(),
    });
    let answer = minicbor::to_vec(&answer).expect("CBOR");
    let mut message = u32::try_from(answer.len())
        .expect("small")
        .to_le_bytes()
        .to_vec();
    message.extend(answer);
    let put = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    };
    let answer = put("answer", &message);
    let script = format!(
        "#!/bin/sh\nwhile size=$(head -c 4 | od -An -tu4); [ -n \"$size\" ]; do\n\
         [ $size -lt {from_bytes} ] || {{ echo >> {}; exit 1; }}\nhead -c $size > /dev/null\ncat {}\ndone\n",
        folder.path().join(DEATHS).display(),
        answer.display()
    );
    let program = put("worker", script.as_bytes());
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("set");
    App {
        workers: Workers::new(program),
        ..(**app).clone()
    }
}

async fn state(app: &App) -> (String, Option<String>) {
    let row = sqlx::query("select state, withheld_for from change")
        .fetch_one(&app.database.read)
        .await
        .expect("a row");
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn a_worker_that_fails_without_the_change_too_says_nothing_about_it() {
    for app in apps().await {
        let folder = tempfile::tempdir().expect("a folder");
        let id = unchecked(&app).await;
        let failing = with_workers_that_die(&app, &folder, 0);
        assert!(
            check(&failing, &[id], Patience::Patient).await.is_err(),
            "tried again later"
        );
        assert_eq!(state(&app).await, ("accepted".to_owned(), None));
        // The twin: workers that die over this change and over nothing else.
        let failing = with_workers_that_die(&app, &folder, 1_000);
        check(&failing, &[id], Patience::Patient)
            .await
            .expect("settled");
        let withheld = ("withheld".to_owned(), Some("worker-died".to_owned()));
        assert_eq!(state(&app).await, withheld);
        // It can be looked at again, after an upgrade or a bad day of the machine.
        let failing = with_workers_that_die(&app, &folder, 0);
        recheck(&failing).await.expect("asked again");
        assert_eq!(state(&app).await, ("accepted".to_owned(), None));
    }
}

#[tokio::test]
async fn whole_documents_wait_for_what_is_to_be_checked_and_not_for_ever() {
    for app in apps().await {
        let folder = tempfile::tempdir().expect("a folder");
        unchecked(&app).await;
        let app = with_workers_that_die(&app, &folder, 0);
        let long_ago = Instant::now().checked_sub(TURN).expect("a time");
        for (checking, mut saved, is_done) in [
            (true, Instant::now(), false),
            (true, long_ago, true),
            // The twin: nothing to check.
            (false, Instant::now(), true),
        ] {
            sqlx::query(
                "update document set unchecked_from = null, size_bytes = 10000, snapshot_bytes = 0",
            )
            .execute(&app.database.read)
            .await
            .expect("due");
            app.checker.checking.store(checking, Ordering::Relaxed);
            let done = app.checker.leisure(&app, 0, &mut saved).await;
            assert_eq!(done.expect("looked") > 0, is_done, "{checking}");
        }
    }
}

/// How many changes are in which state, for which reason.
async fn states(app: &App) -> Vec<(String, i64)> {
    let rows = sqlx::query(
        "select coalesce(withheld_for, state) as word, count(*) from change group by 1 order by 1",
    )
    .fetch_all(&app.database.read)
    .await
    .expect("rows");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn of_a_phone_that_killed_three_workers_the_rest_is_withheld_unread_and_nobody_elses_waits() {
    const BOMBS: usize = 6;
    for app in apps().await {
        let people = People::new(&app).await;
        let (an, _) = enrolled(&app, &people.an).await;
        let (ha, _) = enrolled(&app, &people.ha).await;
        let wrote = async |phone, bytes| {
            let key = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
            let id = key.document();
            let push = one_change(phone, key, bytes);
            intake::write(&app, &[&push]).await.expect("written");
            id
        };
        let mut bombs = Vec::new();
        for number in 0..BOMBS {
            bombs.push(wrote(an, vec![number as u8; 1_000]).await);
        }
        wrote(ha, vec![7; 10]).await;
        let deaths = |folder: &tempfile::TempDir| {
            let lines = fs::read_to_string(folder.path().join(DEATHS)).expect("deaths");
            lines.lines().count()
        };
        let folder = tempfile::tempdir().expect("a folder");
        let failing = with_workers_that_die(&app, &folder, 1_000);
        for bomb in &bombs {
            slow_one(&failing, *bomb).await;
        }
        // Each is tried with others and alone.
        assert_eq!(deaths(&folder), 2 * slow::KILLS);
        let told = [("accepted", 1), ("worker-died", 3), (feed::KILLER, 3)];
        let told = told.map(|(word, count)| (word.to_owned(), count));
        assert_eq!(states(&app).await, told);
        // Served up to the other phone's change, which waits for nothing but its own turn.
        assert_eq!(numbers(&app).await, (7, 6, 0));
        // What comes later is not tried either.
        let late = wrote(an, vec![BOMBS as u8; 1_000]).await;
        slow_one(&failing, late).await;
        assert_eq!(deaths(&folder), 2 * slow::KILLS);
        // The twin: let in again and tried without the guard, as `recheck` does, each kills its two.
        let mut tx = app.database.begin().await.expect("begins");
        let released = feed::release(&mut tx, Some(feed::KILLER)).await;
        tx.commit().await.expect("committed");
        assert_eq!(released.expect("released"), 4);
        for bomb in bombs[slow::KILLS..].iter().chain([&late]) {
            let checked = check(&failing, &[*bomb], Patience::Patient).await;
            assert_eq!(checked.expect("settled"), 1);
        }
        assert_eq!(deaths(&folder), 2 * (BOMBS + 1));
    }
}

async fn numbers(app: &App) -> (i64, i64, i64) {
    let row = sqlx::query(
        "select last_number, checked_through, (select max(entered) from change) from feed where last_number > 0",
    )
    .fetch_one(&app.database.read)
    .await
    .expect("a feed");
    (
        row.get(0),
        row.get(1),
        row.get::<Option<i64>, _>(2).unwrap_or(0),
    )
}

#[tokio::test]
async fn a_document_that_cannot_be_checked_holds_up_its_feed_for_a_while_and_comes_in_again_at_its_end()
 {
    for app in apps().await {
        let id = unchecked(&app).await;
        let row = sqlx::query("select unit_id from document where document_id = $1")
            .bind(id.to_string())
            .fetch_one(&app.database.read)
            .await
            .expect("a row");
        let unit = parsed(&row, "unit_id").expect("an id");
        let (last, before, _) = numbers(&app).await;
        assert!(before < last, "it waits");
        let try_at = async |now_ms| {
            let mut tx = app.database.begin().await.expect("begins");
            let passed = feed::unable(&mut tx, &app.vault, unit, id, now_ms).await;
            tx.commit().await.expect("committed");
            passed.expect("written")
        };
        // The twin: until then it holds.
        for minute in 0..10 {
            assert!(!try_at(minute * 60_000).await);
            assert_eq!(numbers(&app).await, (last, before, 0));
        }
        assert!(try_at(11 * 60_000).await);
        assert_eq!(numbers(&app).await, (last, last, 0));
        let withheld = ("withheld".to_owned(), Some(feed::UNABLE.to_owned()));
        assert_eq!(state(&app).await, withheld);
        let mut tx = app.database.begin().await.expect("begins");
        let other = feed::release(&mut tx, Some("another-reason")).await;
        assert_eq!(other.expect("looks"), 0);
        let released = feed::release(&mut tx, Some(feed::UNABLE)).await;
        assert_eq!(released.expect("released"), 1);
        feed::advance(&mut tx, unit).await.expect("advanced");
        tx.commit().await.expect("committed");
        // Behind every cursor, and held up there again.
        assert_eq!(numbers(&app).await, (last + 1, last, last + 1));
    }
}

#[tokio::test]
async fn what_a_worker_withholds_of_a_row_leaves_it_and_the_rest_is_served() {
    for scene in Scene::all().await {
        scene.bring(scene.first(5), &[]).await;
        let app = &scene.app;
        let mut tx = app.database.read.begin().await.expect("begins");
        let looked = Looked::read(app, &mut tx, scene.id()).await.expect("read");
        tx.rollback().await.expect("ended");
        let looked = looked.expect("there");
        assert_eq!(looked.runs, [5]);
        let verdicts = [None, None, Some("worker-died"), None, None];
        let told = Told {
            verdicts: verdicts.map(|word| word.map(str::to_owned)).to_vec(),
            checked: None,
            killers: Vec::new(),
        };
        assert_eq!(settle(app, vec![(looked, told)]).await.expect("settled"), 1);
        let said = scene.numbered().await;
        let expected = ["checked", "checked", "worker-died", "checked", "checked"];
        for ((place, change), word) in scene.first(5).into_iter().enumerate().zip(expected) {
            let number = i64::try_from(place).expect("small") + 1;
            assert_eq!(said[place], (change.bytes, number, word.to_owned()));
        }
        assert_eq!(scene.counts().await, (3, 5));
        // The twin: of a row of which all passes nothing is cut.
        scene.bring(scene.chain(2, 1..=4, &[]), &[]).await;
        let mut tx = app.database.read.begin().await.expect("begins");
        let looked = Looked::read(app, &mut tx, scene.id()).await.expect("read");
        tx.rollback().await.expect("ended");
        let told = Told {
            verdicts: vec![None; 4],
            checked: None,
            killers: Vec::new(),
        };
        let settled = settle(app, vec![(looked.expect("there"), told)]).await;
        assert_eq!(settled.expect("settled"), 1);
        assert_eq!(scene.counts().await, (4, 9));
        assert_eq!(numbers(app).await, (9, 9, 0));
    }
}

#[tokio::test]
async fn nothing_is_checked_while_a_push_is_under_way_nor_for_ever_not() {
    let checker = Checker::default();
    let waited = async || {
        let begun = Instant::now();
        checker.quiet().await;
        begun.elapsed()
    };
    let push = checker.push_begins();
    // One that takes long is waited for, and not without an end.
    assert!(waited().await >= PATIENCE);
    drop(push);
    // The twin: with none under way a pause is a pause.
    assert!(waited().await < PATIENCE / 2);
}

#[tokio::test]
async fn a_push_that_brings_nothing_keeps_nobody_from_checking() {
    for app in apps().await {
        let people = People::new(&app).await;
        let (phone, _) = enrolled(&app, &people.an).await;
        let committer = tokio::spawn(app.committer.clone().run((*app).clone()));
        let told = async |push| {
            let answer = app.committer.commit(push).await;
            answer.expect("answered");
            let told = tokio::time::timeout(QUIET, app.checker.quick.notified());
            told.await.is_ok()
        };
        let key = || Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
        let empty = intake::PreparedPush {
            documents: Vec::new(),
            ..one_change(phone, key(), vec![7; 10])
        };
        assert!(!told(empty).await);
        // The twin: one that brings a change is waited for.
        assert!(told(one_change(phone, key(), vec![8; 10])).await);
        committer.abort();
    }
}
