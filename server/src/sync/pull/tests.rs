//! Where a page ends.

use super::*;
use crate::{
    feed,
    fixture::{People, apps, enrolled},
    intake::{self, PreparedChange, PreparedDocument, PreparedPush},
};
use kieumau_core::{document::birth, hash::Sha256, log::admission::Candidate};

const DOCUMENTS: usize = 10;
const CHANGE_BYTES: usize = 1 << 20;

/// Ten documents with one change of a mebibyte each, and a chief's phone that may read them.
async fn filled(app: &App) -> EnrolledPhone {
    let people = People::new(app).await;
    let (phone, _) = enrolled(app, &people.chi).await;
    for number in 0..DOCUMENTS {
        let key = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
        // Nobody looks into it: what it says is the worker's matter.
        let bytes = vec![number as u8; CHANGE_BYTES];
        let hash = Sha256::of(&bytes);
        let candidate = Candidate {
            hash,
            actor: hex::encode([number as u8; 24]).into_bytes(),
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
        let answers = intake::write(app, &[&push]).await.expect("written");
        assert_eq!(answers[0].changes, []);
    }
    let mut tx = app.database.begin().await.expect("begins");
    for checked in [
        "update change set state = 'checked'",
        "update document set unchecked_from = null",
    ] {
        let written = sqlx::query(checked).execute(&mut *tx).await;
        written.expect("checked");
    }
    feed::advance(&mut tx, people.truong_vinh)
        .await
        .expect("advanced");
    tx.commit().await.expect("committed");
    EnrolledPhone {
        phone,
        person: people.chi.person,
        unit: people.chi.unit,
        role: people.chi.role,
    }
}

/// One page: how many changes, how many bytes, the next cursor, and whether there is more.
async fn page(app: &App, phone: &EnrolledPhone, cursor: String) -> (usize, usize, String, bool) {
    let query = Query(After {
        cursor,
        opening: None,
    });
    let answer = pull(State(app.clone()), phone.clone(), query).await;
    let body = answer.expect("an answer").into_body();
    let body = axum::body::to_bytes(body, 64 << 20).await.expect("whole");
    let mut decoder = minicbor::Decoder::new(&body);
    let mut changes = 0;
    loop {
        match decoder.decode().expect("an item") {
            Pulled::Change(_) => changes += 1,
            Pulled::Cursor(cursor, more) => return (changes, body.len(), cursor, more),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_page_ends_at_its_bytes_and_the_next_goes_on_there() {
    for app in apps().await {
        let phone = filled(&app).await;
        let (epoch, _) = ledger::size(&app.database.read).await.expect("a log");
        let begun = Cursor {
            epoch,
            feeds: vec![position(phone.unit, 0, None)],
        };
        // A phone that has nothing gets documents, one that was there before gets changes.
        for cursor in [String::new(), begun.to_text()] {
            let (first, bytes, cursor, more) = page(&app, &phone, cursor).await;
            assert!(bytes as i64 <= LIMITS.bytes + (1 << 10), "{bytes}");
            assert!(more && first < DOCUMENTS, "{first}");
            let (second, _, cursor, more) = page(&app, &phone, cursor).await;
            assert_eq!((first + second, more), (DOCUMENTS, false));
            let (third, bytes, _, more) = page(&app, &phone, cursor).await;
            assert_eq!((third, more), (0, false));
            assert!(bytes < 300, "nothing new costs {bytes} bytes");
        }
        // The twin: by their number alone they would have been one page.
        assert!(DOCUMENTS <= LIMITS.entries);
    }
}

#[tokio::test]
async fn of_what_is_withheld_not_even_a_seal_is_served() {
    for app in apps().await {
        let phone = filled(&app).await;
        let sealed = sqlx::query(
            "insert into seal (document_id, change_hash, signer, signature) select document_id, hash, $1, $2 from change",
        )
        .bind(phone.phone.to_string())
        .bind(vec![0_u8; 64]);
        let mut tx = app.database.begin().await.expect("begins");
        sealed.execute(&mut *tx).await.expect("sealed");
        tx.commit().await.expect("committed");
        let after = After::default();
        // The twin: what passed comes with its seal.
        let passed = super::page(&app, &phone, &after).await.expect("a page");
        let passed = wire::sequence(&passed).expect("items");
        assert!(passed.iter().any(|item| matches!(item, Pulled::Seal(_))));
        let mut tx = app.database.begin().await.expect("begins");
        let withheld = sqlx::query("update change set state = 'withheld'").execute(&mut *tx);
        withheld.await.expect("withheld");
        tx.commit().await.expect("committed");
        let nothing = super::page(&app, &phone, &after).await.expect("a page");
        let nothing = wire::sequence(&nothing).expect("items");
        assert!(matches!(&nothing[..], [Pulled::Cursor(..)]), "{nothing:?}");
    }
}
