//! Whose fault it is when a worker fails.

use super::*;
use crate::{
    fixture::{People, TestApp, apps, enrolled},
    intake::{self, PreparedChange, PreparedDocument, PreparedPush},
    worker::{Answer, Checked, Workers},
};
use kieumau_core::{
    document::{Key, birth},
    hash::Sha256,
    log::admission::Candidate,
};
use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

/// A document with one change that no worker has seen; its id.
async fn unchecked(app: &TestApp) -> DocumentId {
    let people = People::new(app).await;
    let (phone, _) = enrolled(app, &people.an).await;
    let key = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
    let id = key.document();
    let bytes = vec![7; 1_000];
    let hash = Sha256::of(&bytes);
    let candidate = Candidate {
        hash,
        actor: hex::encode([7; 24]).into_bytes(),
        seq: 1,
        deps: vec![birth(&key).pop().expect("a birth").hash],
    };
    let document = PreparedDocument {
        key,
        changes: vec![PreparedChange {
            candidate,
            written_at_s: 0,
            bytes,
        }],
        seals: Vec::new(),
        sealed: BTreeSet::from([hash]),
    };
    let push = PreparedPush {
        carrier: Some(phone),
        unit: people.truong_vinh,
        documents: vec![document],
        receipts: Vec::new(),
        refused: Vec::new(),
    };
    intake::write(app, &[&push]).await.expect("written");
    id
}

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
        "#!/bin/sh\nsize=$(head -c 4 | od -An -tu4)\n[ $size -lt {from_bytes} ] || exit 1\nhead -c $size > /dev/null\ncat {}\n",
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
