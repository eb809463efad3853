//! Who lets in what a revoked phone wrote, and what that leaves behind.

use super::*;
use crate::{
    fixture::{self, People, TestApp, apps, audited, changes, cookie, enrolled, rows},
    pages, phone,
};
use axum::{
    body::Body,
    http::{Request, header},
};
use kieumau_core::{
    document::{self, Change},
    id::PersonId,
    log::leaf::Leaf,
    patrol::{NewPatrol, PatrolLog},
    seal::Signer,
    stamp::Stamp,
    wire::{Pushed, ReceiptRequest},
};

/// A patrol that Hà began and joined again on a phone that was revoked before it sent anything.
struct Late {
    app: TestApp,
    people: People,
    ha: PhoneId,
    an: PhoneId,
    key: Key,
    changes: [Change; 2],
    seal: Seal,
}

impl Late {
    async fn on_each() -> Vec<Self> {
        let mut all = Vec::new();
        for app in apps().await {
            all.push(Self::on(app).await);
        }
        all
    }

    async fn on(app: TestApp) -> Self {
        let people = People::new(&app).await;
        let (ha, signing) = enrolled(&app, &people.ha).await;
        let (an, _) = enrolled(&app, &people.an).await;
        let key = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
        let mut patrol = document::new(&key);
        let mut edit = |step: u8| {
            let stamp = Stamp {
                by: people.ha.person,
                at_ms: clock::now_ms(),
                random: [step; 10],
            };
            let actor = Actor {
                phone: ha,
                opening: [1; 8],
            };
            let new = NewPatrol {
                title: "Ca tối".to_owned(),
                ..NewPatrol::default()
            };
            let edited = document::edit(&mut patrol, actor, stamp.at_ms, |log: &mut PatrolLog| {
                if step == 0 {
                    log.start(stamp, new)
                } else {
                    log.title = Some("Ca đêm".to_owned());
                    Ok(())
                }
            });
            edited.expect("no rule is broken").1.expect("a change")
        };
        let changes = [edit(0), edit(1)];
        let seal = key.seal(&signing, Signer::Phone(ha), changes[1].hash);
        phone::revoke(&app, Some(&people.chi), ha)
            .await
            .expect("revoked");
        Self {
            app,
            people,
            ha,
            an,
            key,
            changes,
            seal,
        }
    }

    /// An's phone brings these of its changes.
    async fn bring(&self, changes: &[Change]) -> Pushed {
        let document = PushedDocument {
            key: WireKey::from(&self.key),
            changes: changes.iter().map(|change| change.bytes.clone()).collect(),
            seals: vec![self.seal],
        };
        let newest = changes.last().expect("a change").hash;
        let push = Push {
            documents: vec![document],
            receipts: vec![ReceiptRequest {
                document: self.key.document(),
                heads: vec![newest],
                attachments: Vec::new(),
            }],
            ..Push::default()
        };
        let prepared = push::prepare(&self.app, self.an, self.key.unit, push).await;
        let prepared = prepared.expect("prepared");
        let answers = intake::write(&self.app, &[&prepared]).await;
        answers.expect("written").pop().expect("an answer")
    }

    /// Any of what lies in quarantine.
    async fn item(&self) -> Item {
        let wanted = Wanted {
            limit: 1,
            ..Wanted::default()
        };
        let mut items = list(&self.app, wanted).await.expect("read");
        items.pop().expect("one")
    }

    async fn admitted_by(&self) -> Vec<(PersonId, usize)> {
        let leaves = sqlx::query("select content from leaf where document_id = $1")
            .bind(self.key.document().to_string())
            .fetch_all(&self.app.database.read)
            .await
            .expect("rows");
        let leaves = leaves
            .iter()
            .map(|row| Leaf::decode(&row.get::<Vec<u8>, _>(0)));
        leaves
            .filter_map(|leaf| match leaf.expect("a leaf") {
                Leaf::Admitted { by, changes, .. } => Some((by, changes.len())),
                _ => None,
            })
            .collect()
    }
}

#[tokio::test]
async fn the_units_chief_lets_in_what_a_revoked_phone_wrote_and_nobody_else_does() {
    for late in Late::on_each().await {
        let (app, people) = (&late.app, &late.people);
        let told = late.bring(&late.changes).await;
        let words = told.changes.iter().map(|outcome| outcome.word.as_str());
        assert_eq!(words.collect::<Vec<_>>(), ["phone-revoked"; 2]);
        assert_eq!(told.receipts.len(), 0);
        let id = late.item().await.id;
        let elsewhere = SignedIn {
            role: Role::Chief,
            ..people.binh.clone()
        };
        for (who, word) in [
            (&people.an, "forbidden"),
            (&people.dung, "forbidden"),
            (&people.binh, "not-found"),
            (&elsewhere, "not-found"),
        ] {
            let refused = admit(app, who, &id).await.expect_err(&who.name);
            assert_eq!(refused.word(), word, "{}", who.name);
        }
        let path = format!("/quarantine/{id}/admission");
        let by = |cookie: Option<String>| {
            let mut request = Request::post(&path).header("sec-fetch-site", "same-origin");
            if let Some(cookie) = cookie {
                request = request.header(header::COOKIE, cookie);
            }
            fixture::send(
                app,
                pages::router(),
                request.body(Body::empty()).expect("a request"),
            )
        };
        assert_eq!(by(None).await.status, StatusCode::UNAUTHORIZED);
        let officer = by(Some(cookie(app, &people.an).await)).await;
        assert_eq!(officer.status, StatusCode::NOT_FOUND);
        assert_eq!(rows(app, "change").await, 0, "nothing came of it");
        assert_eq!(audited(app, "quarantine-admitted").await, []);

        let chief = by(Some(cookie(app, &people.chi).await)).await;
        assert_eq!(chief.status, StatusCode::SEE_OTHER);
        assert_eq!(changes(app, "true").await, 2, "both, under one seal");
        assert_eq!(changes(app, "number is not null").await, 2);
        assert_eq!(late.admitted_by().await, [(people.chi.person, 2)]);
        let audit = audited(app, "quarantine-admitted").await;
        assert_eq!(audit.len(), 1);
        assert_eq!(audit[0].person, Some(people.chi.person.to_string()));
        assert_eq!(audit[0].phone, Some(late.ha.to_string()));
        assert_eq!(audit[0].subject, Some(late.key.document().to_string()));
        assert_eq!(audit[0].detail.as_deref(), Some("2"));
        let again = admit(app, &people.chi, &id).await.expect_err("once");
        assert_eq!(again.word(), "changed-meanwhile");
        // Stored as any other: it is held, and receipts are signed for it.
        let told = late.bring(&late.changes).await;
        assert_eq!(told.receipts.len(), 1);
    }
}

#[tokio::test]
async fn what_lacks_what_it_builds_on_is_not_let_in_and_stays_where_it_is() {
    for late in Late::on_each().await {
        let (app, chi) = (&late.app, &late.people.chi);
        late.bring(&late.changes[1..]).await;
        let alone = late.item().await;
        let refused = admit(app, chi, &alone.id).await.expect_err("it would wait");
        assert_eq!(refused.word(), "lacks-an-ancestor");
        assert_eq!(rows(app, "change").await, 0);
        assert_eq!(late.item().await.admitted_at_ms, None);
        assert_eq!(audited(app, "quarantine-admitted").await, []);
        // The twin: with the one before it beside it.
        late.bring(&late.changes).await;
        assert_eq!(admit(app, chi, &alone.id).await.expect("let in"), 2);
    }
}
