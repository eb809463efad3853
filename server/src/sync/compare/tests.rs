//! Who hears of what when a phone compares.

use super::*;
use crate::{
    fixture::{self, People, apps, bearer, enrolled},
    sync,
};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use kieumau_core::{document::Key, id::UnitId};

/// A patrol that was let through, of nobody's team.
async fn patrol(app: &App, unit: UnitId, heads: &str) -> DocumentId {
    let key = Key::patrol(unit, uuid::Uuid::now_v7());
    let mut tx = app.database.begin().await.expect("begins");
    let stored = crate::stored::StoredDocument::create(&mut tx, &app.vault, &key, 0).await;
    stored.expect("created");
    sqlx::query("update document set heads = $1, checked_heads = $1 where document_id = $2")
        .bind(heads)
        .bind(key.document().to_string())
        .execute(&mut *tx)
        .await
        .expect("written");
    tx.commit().await.expect("committed");
    key.document()
}

/// What a phone hears that has documents with these heads.
async fn hears(
    app: &App,
    person: &crate::session::SignedIn,
    has: &[(DocumentId, &str)],
) -> BTreeSet<DocumentId> {
    let (phone, key) = enrolled(app, person).await;
    let pairs = has.iter().map(|(id, heads)| (*id, compare::digest(heads)));
    let body = minicbor::to_vec(Compare {
        documents: compare::pack(pairs),
    });
    let request = Request::post(wire::COMPARE)
        .header("authorization", bearer(app, phone, &key).await)
        .body(Body::from(body.expect("encodes")))
        .expect("a request");
    let reply = fixture::send(app, sync::router(), request).await;
    assert_eq!(reply.status, StatusCode::OK);
    let compared: Compared = minicbor::decode(&reply.body).expect("an answer");
    assert!(!Cursor::parse(&compared.cursor).expect("a cursor").is_anew());
    compared.differing.into_iter().collect()
}

#[tokio::test]
async fn a_phone_hears_what_differs_and_only_what_its_person_may_read() {
    for app in apps().await {
        let people = People::new(&app).await;
        let (same, other) = (
            patrol(&app, people.truong_vinh, "a").await,
            patrol(&app, people.truong_vinh, "b").await,
        );
        let unnamed = patrol(&app, people.truong_vinh, "c").await;
        let gone = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7()).document();
        let has = [(same, "a"), (other, "older"), (gone, "d")];
        // The unit's reference is published and nobody here has it.
        let reference = Key::reference(people.truong_vinh).document();
        let but_reference = |mut heard: BTreeSet<DocumentId>| {
            heard.remove(&reference);
            heard
        };
        let chief = but_reference(hears(&app, &people.chi, &has).await);
        assert_eq!(chief, [other, gone, unnamed].into());
        // An is of no team: what An does not name, An does not hear of.
        let officer = but_reference(hears(&app, &people.an, &has).await);
        assert_eq!(officer, [other, gone].into());
        let stranger = hears(&app, &people.binh, &[(same, "a")]).await;
        assert_eq!(stranger, [same].into(), "of another unit nothing is held");
    }
}

#[tokio::test]
async fn what_is_no_list_of_pairs_is_refused() {
    for app in apps().await {
        let people = People::new(&app).await;
        let (phone, key) = enrolled(&app, &people.an).await;
        let odd = minicbor::to_vec(Compare {
            documents: vec![0; 25],
        });
        for body in [odd.expect("encodes"), b"no CBOR".to_vec()] {
            let request = Request::post(wire::COMPARE)
                .header("authorization", bearer(&app, phone, &key).await)
                .body(Body::from(body))
                .expect("a request");
            let reply = fixture::send(&app, sync::router(), request).await;
            assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(reply.word(), "invalid");
        }
    }
}
