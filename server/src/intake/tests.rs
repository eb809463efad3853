//! An answer means that it is on the disk: the server's half of what a killed server and a full disk must not lose. The twin is
//! the same server with its guard off, which answers before it commits.

use super::*;
use crate::fixture::{People, TestApp, apps, changes, enrolled, one_change};
use kieumau_core::document::Key;
use sqlx::AssertSqlSafe;

/// A push of one change that a receipt is wanted for.
async fn push(app: &TestApp) -> PreparedPush {
    let people = People::new(app).await;
    let (phone, _) = enrolled(app, &people.an).await;
    let key = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
    let document = key.document();
    let push = one_change(phone, key, vec![7; 1_000]);
    let wanted = ReceiptRequest {
        document,
        heads: vec![push.documents[0].changes[0].candidate.hash],
        attachments: Vec::new(),
    };
    PreparedPush {
        receipts: vec![wanted],
        ..push
    }
}

async fn run(app: &App, sql: &str) {
    let mut tx = app.database.begin().await.expect("begins");
    let done = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut *tx);
    done.await.expect("it runs");
    tx.commit().await.expect("committed");
}

#[tokio::test]
async fn an_answer_is_given_only_for_what_is_on_the_disk() {
    for app in apps().await {
        let push = push(&app).await;
        // The twin: a server that answers before it commits has signed for what a death at that moment takes with it.
        let mut tx = app.database.begin().await.expect("begins");
        let early = put(&app, &mut tx, &[&push], None, 5).await.expect("put");
        let told = early.written(&[&push], 5).remove(0).signed(&app);
        drop(tx);
        assert!(told.changes.is_empty(), "it said that all was accepted");
        assert_eq!(told.receipts.len(), 1, "and signed for it");
        assert_eq!(changes(&app, "true").await, 0, "and nothing is there");

        // The guard: whatever is in the way after the changes were written, their phone hears no such thing.
        let committer = tokio::spawn(app.committer.clone().run((*app).clone()));
        run(&app, "alter table leaf rename to leaf_away").await;
        let hash = push.documents[0].changes[0].candidate.hash;
        let again = || PreparedPush {
            documents: push
                .documents
                .iter()
                .map(|document| PreparedDocument {
                    key: document.key.clone(),
                    changes: vec![PreparedChange {
                        candidate: document.changes[0].candidate.clone(),
                        written_at_s: 1,
                        bytes: document.changes[0].bytes.clone(),
                    }],
                    seals: Vec::new(),
                    sealed: document.sealed.clone(),
                })
                .collect(),
            receipts: push.receipts.clone(),
            refused: Vec::new(),
            ..push
        };
        let refused = app.committer.commit(again()).await.expect_err("not stored");
        assert_eq!(refused.word(), "internal");
        assert_eq!(changes(&app, "true").await, 0);
        // With the way free the same push is taken, once, however often it comes.
        run(&app, "alter table leaf_away rename to leaf").await;
        for _ in 0..2 {
            let taken = app.committer.commit(again()).await.expect("stored");
            let told = taken.signed(&app);
            assert_eq!(told.receipts.len(), 1);
            assert!(told.changes.iter().all(|outcome| outcome.hash == hash));
            assert_eq!(changes(&app, "true").await, 1);
        }
        committer.abort();
    }
}
