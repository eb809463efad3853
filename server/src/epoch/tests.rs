//! A new epoch leads to the one before.

use super::*;
use crate::fixture::{apps, audited, rows};
use kieumau_core::log::leaf::Leaf;

#[tokio::test]
async fn a_new_epoch_begins_with_the_head_of_the_one_before() {
    for app in apps().await {
        let (old, size) = ledger::size(&app.database.read).await.expect("a log");
        let leaves = rows(&app, "leaf").await;
        let Begun {
            epoch, previous, ..
        } = begin(&app, "restored-backup").await.expect("begun");
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

#[tokio::test]
async fn a_file_that_the_store_does_not_hold_is_forgotten_and_one_that_it_holds_stays() {
    for app in apps().await {
        let people = crate::fixture::People::new(&app).await;
        for object in ["held", "lost"] {
            let mut tx = app.database.begin().await.expect("begins");
            sqlx::query(
                "insert into attachment (unit_id, sha256, size_bytes, media_type, object, wrapped_key, received_at_ms, leaf, thumbnail) \
                 values ($1, $2, 1, 'image/jpeg', $3, $4, 0, 0, 'none')",
            )
            .bind(people.truong_vinh.to_string())
            .bind(kieumau_core::hash::Sha256::of(object.as_bytes()).to_string())
            .bind(object)
            .bind(vec![0_u8])
            .execute(&mut *tx)
            .await
            .expect("written");
            tx.commit().await.expect("committed");
        }
        let held = app.objects.create("held", vec![0]).await;
        held.expect("stored");
        let begun = begin(&app, "restored-backup").await.expect("begun");
        assert_eq!(begun.lost_files, 1);
        let left = sqlx::query("select object from attachment")
            .fetch_all(&app.database.read)
            .await
            .expect("reads");
        let left: Vec<String> = left.iter().map(|row| row.get(0)).collect();
        assert_eq!(left, ["held"]);
    }
}
