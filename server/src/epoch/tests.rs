//! A new epoch leads to the one before.

use super::*;
use crate::fixture::{apps, audited, rows};
use kieumau_core::log::leaf::Leaf;
use sqlx::Row as _;

#[tokio::test]
async fn a_new_epoch_begins_with_the_head_of_the_one_before() {
    for app in apps().await {
        let (old, size) = ledger::size(&app.database.read).await.expect("a log");
        let leaves = rows(&app, "leaf").await;
        let (epoch, previous) = begin(&app, "restored-backup").await.expect("begun");
        assert_eq!((previous.epoch, previous.size), (old, size));
        let (now, grown) = ledger::size(&app.database.read).await.expect("a log");
        assert_eq!((now, grown), (epoch, 5), "its own leaf and four keys");
        assert_ne!(now, old);
        let content: Vec<u8> =
            sqlx::query("select content from leaf where epoch = $1 and position = 0")
                .bind(epoch.to_string())
                .fetch_one(&app.database.read)
                .await
                .expect("a leaf")
                .get(0);
        let first = Leaf::Epoch {
            epoch,
            previous: Some(previous),
        };
        assert_eq!(Leaf::decode(&content).expect("a leaf"), first);
        assert_eq!(
            rows(&app, "leaf").await,
            leaves + 5,
            "nothing of the old log went"
        );
        let audited = audited(&app, "epoch-begun").await;
        assert_eq!(audited.len(), 1);
        assert_eq!(audited[0].subject, Some(epoch.to_string()));
    }
}
