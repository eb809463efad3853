//! Snapshots at rest. That workers make them and phones unfold them is a story of real processes.

use super::*;
use crate::fixture::{People, apps};

#[tokio::test]
async fn a_snapshot_opens_under_its_own_documents_key_and_name_only() {
    for app in apps().await {
        let people = People::new(&app).await;
        let mut tx = app.database.begin().await.expect("begins");
        let mut documents = Vec::new();
        for _ in 0..2 {
            let key = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
            let stored = StoredDocument::create(&mut tx, &app.vault, &key, 0).await;
            documents.push((key.document(), stored.expect("created").vault_key));
        }
        let [(id, key), (other_id, other_key)] = documents.try_into().expect("two");
        let stored = Stored {
            heads: String::new(),
            changes: 3,
            closed: close(&key, id, b"a document"),
            through: 1,
        };
        assert_eq!(stored.open(&key, id).expect("opens").bytes, b"a document");
        assert!(stored.open(&key, other_id).is_err());
        assert!(stored.open(&other_key, id).is_err());
        let again = close(&key, id, b"a document");
        assert_ne!(again, stored.closed, "its nonce is drawn each time");
    }
}
