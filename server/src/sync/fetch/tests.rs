//! Who gets what by name: no more than a pull would hand out, and nothing that says whether there is more.

use super::*;
use crate::{
    fixture::{self, People, Reply, apps, bearer, enrolled, let_through, one_change},
    intake, phone,
    session::SignedIn,
    sync,
};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use kieumau_core::{criterion::CriterionNumber, document::Key, id::UnitId, period::Period};

/// What a ward has: a patrol of An's team, the chief's review of it, a file of evidence.
struct Ward {
    patrol: DocumentId,
    review: DocumentId,
    evidence: DocumentId,
}

impl Ward {
    /// In `unit`, with `officer` on the patrol's team.
    async fn of(app: &App, unit: UnitId, officer: &SignedIn) -> Self {
        let (phone, _) = enrolled(app, officer).await;
        let patrol = Key::patrol(unit, uuid::Uuid::now_v7());
        let review = Key::review(unit, patrol.document());
        let criterion = CriterionNumber::new(1).expect("a number");
        let period = Period::of_programme(jiff::civil::date(2026, 11, 27));
        let evidence = Key::evidence(unit, criterion, &period);
        let ward = Self {
            patrol: patrol.document(),
            review: review.document(),
            evidence: evidence.document(),
        };
        for key in [patrol, review, evidence] {
            // Different in each unit: two wards' documents are no copies.
            let bytes = key.document().to_string().into_bytes();
            let push = one_change(phone, key, bytes);
            intake::write(app, &[&push]).await.expect("written");
        }
        let_through(app, unit).await;
        let mut tx = app.database.begin().await.expect("begins");
        sqlx::query(
            "insert into patrol_member (document_id, person_id, since_ms) values ($1, $2, 1)",
        )
        .bind(ward.patrol.to_string())
        .bind(officer.person.to_string())
        .execute(&mut *tx)
        .await
        .expect("on the team");
        tx.commit().await.expect("committed");
        ward
    }

    fn all(&self) -> BTreeSet<DocumentId> {
        BTreeSet::from([self.patrol, self.review, self.evidence])
    }
}

async fn asked(app: &App, authorization: Option<&str>, documents: &BTreeSet<DocumentId>) -> Reply {
    let fetch = Fetch {
        documents: documents.iter().copied().collect(),
        singly: true,
    };
    let mut request = Request::post(wire::FETCH);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let body = Body::from(minicbor::to_vec(fetch).expect("encodes"));
    let request = request.body(body).expect("a request");
    fixture::send(app, sync::router(), request).await
}

/// The documents that a phone of this person gets of these, and whether the answer says that there are more.
async fn gets(
    app: &App,
    person: &SignedIn,
    documents: &BTreeSet<DocumentId>,
) -> BTreeSet<DocumentId> {
    let (phone, key) = enrolled(app, person).await;
    let bearer = bearer(app, phone, &key).await;
    let reply = asked(app, Some(&bearer), documents).await;
    assert_eq!(reply.status, StatusCode::OK);
    let mut decoder = minicbor::Decoder::new(&reply.body);
    let mut got = BTreeSet::new();
    loop {
        match decoder.decode().expect("an item") {
            Pulled::Document(key) => {
                got.insert(key.key().expect("a key").document());
            }
            Pulled::Cursor(through, more) => {
                let last = got.last().map_or_else(String::new, DocumentId::to_string);
                assert_eq!((through, more), (last, false), "it names what was got");
                return got;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_fetch_hands_out_by_name_what_its_person_may_read_and_nothing_else() {
    for app in apps().await {
        let people = People::new(&app).await;
        let ours = Ward::of(&app, people.truong_vinh, &people.an).await;
        let theirs = Ward::of(&app, people.vinh_phu, &people.binh).await;
        let all: BTreeSet<DocumentId> = ours.all().union(&theirs.all()).copied().collect();
        for (person, expected) in [
            (&people.an, ours.all()),
            // Not on the team: neither the patrol nor what was decided about it.
            (&people.ha, BTreeSet::from([ours.evidence])),
            (&people.chi, ours.all()),
            (&people.binh, theirs.all()),
        ] {
            assert_eq!(gets(&app, person, &all).await, expected, "{}", person.name);
        }
    }
}

#[tokio::test]
async fn nobody_and_a_revoked_phone_fetch_nothing() {
    for app in apps().await {
        let people = People::new(&app).await;
        let ward = Ward::of(&app, people.truong_vinh, &people.an).await;
        let anonymous = asked(&app, None, &ward.all()).await;
        assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
        let (phone, key) = enrolled(&app, &people.an).await;
        let bearer = bearer(&app, phone, &key).await;
        // The twin: the same token before.
        let before = asked(&app, Some(&bearer), &ward.all()).await;
        assert_eq!(before.status, StatusCode::OK);
        phone::revoke(&app, Some(&people.chi), phone)
            .await
            .expect("revoked");
        let after = asked(&app, Some(&bearer), &ward.all()).await;
        assert_eq!(
            (after.status, after.word().as_str()),
            (StatusCode::FORBIDDEN, "phone-revoked")
        );
    }
}
