//! Whose seals are taken, and what a revocation means to changes that are on their way, or lie here and wait.

use super::*;
use crate::{
    fixture::{self, People, apps, rows},
    intake, phone,
    session::SignedIn,
};
use automerge::Automerge;
use ed25519_dalek::SigningKey;
use kieumau_core::{
    document::{self, Actor, Change, Key},
    hash::Sha256,
    invalid::Invalid,
    log::admission::Refusal,
    patrol::{NewPatrol, PatrolLog},
    seal::Signer,
    stamp::Stamp,
    wire::{Pushed, PushedDocument, ReceiptRequest, WireKey},
};

/// A phone that writes.
struct Writer {
    speaks: EnrolledPhone,
    key: SigningKey,
    actor: Actor,
}

impl Writer {
    async fn of(app: &App, person: &SignedIn) -> Self {
        let (phone, key) = fixture::enrolled(app, person).await;
        Self {
            speaks: EnrolledPhone {
                phone,
                person: person.person,
                unit: person.unit,
                role: person.role,
            },
            key,
            actor: Actor {
                phone,
                opening: [1; 8],
            },
        }
    }

    fn write(
        &self,
        patrol: &mut Automerge,
        change: impl FnOnce(&mut PatrolLog, Stamp) -> Result<(), Invalid>,
    ) -> Change {
        let stamp = Stamp {
            by: self.speaks.person,
            at_ms: crate::clock::now_ms(),
            random: rand::random(),
        };
        let edited = document::edit(patrol, self.actor, stamp.at_ms, |log: &mut PatrolLog| {
            change(log, stamp)
        });
        edited.expect("no rule is broken").1.expect("a change")
    }

    fn start(&self, patrol: &mut Automerge) -> Change {
        let new = NewPatrol {
            title: "Ca tối".to_owned(),
            ..NewPatrol::default()
        };
        self.write(patrol, |log, stamp| log.start(stamp, new))
    }

    /// One change, sealed, read and checked; not yet written.
    async fn prepared(&self, app: &App, key: &Key, change: &Change) -> PreparedPush {
        let document = PushedDocument {
            key: WireKey::from(key),
            changes: vec![change.bytes.clone()],
            seals: vec![key.seal(&self.key, Signer::Phone(self.speaks.phone), change.hash)],
        };
        let push = Push {
            documents: vec![document],
            ..Push::default()
        };
        // A phone of the document's unit carries it, whoever sealed it.
        prepare(app, self.speaks.phone, key.unit, push)
            .await
            .expect("prepared")
    }
}

async fn write(app: &App, push: &PreparedPush) -> Pushed {
    let mut answers = intake::write(app, &[push]).await.expect("written");
    answers.pop().expect("one answer")
}

async fn states(app: &App) -> Vec<String> {
    let rows = sqlx::query("select state from change order by state")
        .fetch_all(&app.database.read)
        .await
        .expect("rows");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_revocation_between_the_seal_check_and_the_commit_is_seen() {
    for app in apps().await {
        let people = People::new(&app).await;
        let an = Writer::of(&app, &people.an).await;
        let key = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
        let change = an.start(&mut document::new(&key));
        let prepared = an.prepared(&app, &key, &change).await;
        // The twin: the check of the seal saw nothing, and alone would have let it in.
        assert!(prepared.refused.is_empty());
        assert!(prepared.documents[0].sealed.contains(&change.hash));
        phone::revoke(&app, Some(&people.chi), an.speaks.phone)
            .await
            .expect("revoked");
        let leaves = rows(&app, "leaf").await;
        let answer = write(&app, &prepared).await;
        assert_eq!(answer.changes.len(), 1);
        assert_eq!(answer.changes[0].word, Refusal::PhoneRevoked.word());
        assert_eq!(states(&app).await, [""; 0]);
        assert_eq!(rows(&app, "quarantine").await, 1, "never dropped");
        assert_eq!(rows(&app, "leaf").await, leaves);
    }
}

#[tokio::test]
async fn what_waits_does_not_come_in_once_its_phone_is_revoked() {
    for revoked in [true, false] {
        for app in apps().await {
            let people = People::new(&app).await;
            let an = Writer::of(&app, &people.an).await;
            let ha = Writer::of(&app, &people.ha).await;
            let key = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
            let mut patrol = document::new(&key);
            let parent = an.start(&mut patrol);
            let child = ha.write(&mut patrol, |log, stamp| {
                log.join(stamp);
                Ok(())
            });
            let early = ha.prepared(&app, &key, &child).await;
            assert_eq!(write(&app, &early).await.changes[0].word, "waiting");
            if revoked {
                phone::revoke(&app, Some(&people.chi), ha.speaks.phone)
                    .await
                    .expect("revoked");
            }
            let late = an.prepared(&app, &key, &parent).await;
            write(&app, &late).await;
            // The twin: a phone in good standing, and the parent brings its child in.
            let expected: &[&str] = if revoked {
                &["accepted"]
            } else {
                &["accepted", "accepted"]
            };
            assert_eq!(states(&app).await, expected);
            // What waited for nothing any more lies in quarantine, and not in its document for ever.
            let kept = rows(&app, "quarantine").await;
            assert_eq!(kept, i64::from(revoked), "never dropped");
            assert_eq!(
                rows(&app, "change where number is not null").await,
                if revoked { 1 } else { 2 }
            );
        }
    }
}

#[tokio::test]
async fn what_waited_and_was_refused_says_so_when_its_phone_asks_about_it_again() {
    for app in apps().await {
        let people = People::new(&app).await;
        let an = Writer::of(&app, &people.an).await;
        let ha = Writer::of(&app, &people.ha).await;
        let key = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
        let mut patrol = document::new(&key);
        let parent = an.start(&mut patrol);
        let join = |log: &mut PatrolLog, stamp| {
            log.join(stamp);
            Ok(())
        };
        let child = ha.write(&mut patrol, join);
        let early = ha.prepared(&app, &key, &child).await;
        assert_eq!(write(&app, &early).await.changes[0].word, "waiting");
        // The twin: asked about before anything became of it, it waits still.
        assert_eq!(write(&app, &early).await.changes[0].word, "waiting");
        // Its number is taken by another of its actor meanwhile.
        let other = ha.start(&mut document::new(&key));
        let other = ha.prepared(&app, &key, &other).await;
        let taken = write(&app, &other).await.changes;
        assert!(taken.iter().all(|outcome| outcome.hash == child.hash));
        let parent = an.prepared(&app, &key, &parent).await;
        write(&app, &parent).await;
        assert_eq!(rows(&app, "quarantine").await, 1, "never dropped");
        let told = write(&app, &early).await.changes;
        assert_eq!(told.len(), 1);
        assert_eq!(
            (told[0].hash, told[0].word.as_str()),
            (child.hash, "sequence")
        );
    }
}

#[tokio::test]
async fn what_another_unit_sealed_is_refused_whoever_carries_it() {
    for app in apps().await {
        let people = People::new(&app).await;
        let key = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
        let binh = Writer::of(&app, &people.binh).await;
        let change = binh.start(&mut document::new(&key));
        let prepared = binh.prepared(&app, &key, &change).await;
        let answer = write(&app, &prepared).await;
        assert_eq!(answer.changes[0].word, Refusal::Unsealed.word());
        assert_eq!(states(&app).await, [""; 0]);
        assert_eq!(rows(&app, "quarantine").await, 1, "never dropped");
        // The twin: the same from a phone of the unit.
        let an = Writer::of(&app, &people.an).await;
        let change = an.start(&mut document::new(&key));
        let prepared = an.prepared(&app, &key, &change).await;
        assert!(write(&app, &prepared).await.changes.is_empty());
    }
}

#[tokio::test]
async fn a_document_that_a_push_names_many_times_is_one() {
    for app in apps().await {
        let people = People::new(&app).await;
        let an = Writer::of(&app, &people.an).await;
        let key = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
        let change = an.start(&mut document::new(&key));
        let named = |changes, seals| PushedDocument {
            key: WireKey::from(&key),
            changes,
            seals,
        };
        let seal = key.seal(&an.key, Signer::Phone(an.speaks.phone), change.hash);
        let push = Push {
            documents: vec![
                named(vec![change.bytes.clone()], Vec::new()),
                named(Vec::new(), vec![seal]),
                named(vec![change.bytes], Vec::new()),
            ],
            ..Push::default()
        };
        let prepared = prepare(&app, an.speaks.phone, key.unit, push).await;
        let prepared = prepared.expect("prepared");
        assert_eq!(prepared.documents.len(), 1);
        assert!(write(&app, &prepared).await.changes.is_empty());
        assert_eq!(states(&app).await, ["accepted"]);
    }
}

#[test]
fn a_push_that_keeps_every_limit_is_read_and_one_more_of_anything_is_too_much() {
    let key = Key::patrol(UnitId::from_bytes([1; 16]), uuid::Uuid::from_u128(7));
    let (id, hash) = (key.document(), Sha256::of(b"a change"));
    let seal = key.seal(
        &SigningKey::from_bytes(&[7; 32]),
        Signer::Phone(PhoneId::from_bytes([7; 16])),
        hash,
    );
    let full = || {
        let empty = PushedDocument {
            key: WireKey::from(&key),
            changes: Vec::new(),
            seals: Vec::new(),
        };
        let nothing = ReceiptRequest {
            document: id,
            heads: Vec::new(),
            attachments: Vec::new(),
        };
        let mut push = Push {
            documents: vec![empty; wire::PUSH_LIMIT_DOCUMENTS],
            receipts: vec![nothing; wire::PUSH_LIMIT_DOCUMENTS],
            ..Push::default()
        };
        push.documents[0].changes = vec![Vec::new(); wire::PUSH_LIMIT_CHANGES];
        push.documents[1].seals = vec![seal; wire::PUSH_LIMIT_SEALS];
        push.receipts[0].heads = vec![hash; wire::PUSH_LIMIT_ASKED];
        push
    };
    // The twin: as many as there may be of everything, and its body is one that is read.
    let body = minicbor::to_vec(full()).expect("encodes");
    let read: Push = crate::sync::body::read(&body, "push").expect("a push");
    assert!(keeps_limits(&read));
    let more: [&dyn Fn(&mut Push); 6] = [
        &|push| push.documents.extend_from_within(2..3),
        &|push| push.documents[2].changes.push(Vec::new()),
        &|push| push.documents[2].seals.push(seal),
        &|push| push.receipts.extend_from_within(1..2),
        &|push| push.receipts[1].heads.push(hash),
        &|push| push.receipts[1].attachments.push(hash),
    ];
    for (number, more) in more.into_iter().enumerate() {
        let mut push = full();
        more(&mut push);
        assert!(!keeps_limits(&push), "{number}");
    }
}
