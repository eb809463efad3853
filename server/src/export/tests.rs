//! From real rows to a file and back: what was received is in the dossier, verifies without the server, and nothing else is.

use super::*;
use crate::{
    attachment,
    fixture::{self, People, TestApp, apps, audited, enrolled},
    intake::{self, PreparedChange, PreparedDocument, PreparedPush},
    ledger, phone,
};
use automerge::Automerge;
use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::SigningKey;
use kieumau_core::{
    attachment::Attachment,
    document::{self, Actor, Key, Record},
    dossier::proof::{NotProven, Proven},
    evidence::EvidenceFile,
    header,
    id::{AttachmentId, DocumentId, PersonId, PhoneId},
    log::{admission::Candidate, head::Epoch, leaf::Leaf},
    patrol::PatrolLog,
    period::{Period, day_of},
    review::Review,
    seal::Signer,
};
use std::{collections::BTreeSet, path::PathBuf};

const PHOTO: &[u8] = b"\xff\xd8\xff\xe0 a photo of the road";

/// A server, its people, An's phone, and a folder for dossiers.
struct Setting {
    app: TestApp,
    people: People,
    phone: PhoneId,
    key: SigningKey,
    folder: tempfile::TempDir,
}

async fn settings() -> Vec<Setting> {
    let mut settings = Vec::new();
    for app in apps().await {
        let people = People::new(&app).await;
        let (phone, key) = enrolled(&app, &people.an).await;
        settings.push(Setting {
            people,
            phone,
            key,
            folder: tempfile::tempdir().expect("a folder"),
            app,
        });
    }
    settings
}

fn edit<R: Record>(document: &mut Automerge, actor: Actor, change: impl FnOnce(&mut R)) -> Vec<u8> {
    let edited = document::edit(document, actor, 1_000, |record: &mut R| {
        change(record);
        Ok(())
    });
    edited.expect("an edit").1.expect("something differs").bytes
}

fn hung(sha256: Sha256) -> Attachment {
    Attachment {
        item: None,
        sha256,
        size_bytes: 1,
        media_type: "image/jpeg".into(),
        attached_at_ms: 1,
        attached_by: PersonId::from_bytes([1; 16]),
        withdrawn_at_ms: None,
    }
}

impl Setting {
    fn path(&self) -> PathBuf {
        self.folder.path().join("dossier.kieumau")
    }

    fn fingerprint(&self) -> Sha256 {
        jws::fingerprint(&self.app.keys.log.verifying_key())
    }

    fn actor(&self) -> Actor {
        Actor {
            phone: self.phone,
            opening: [1; 8],
        }
    }

    /// Lets the server take changes of one writer, under one seal of the last.
    async fn take(&self, key: &Key, changes: &[Vec<u8>], signing: &SigningKey, signer: Signer) {
        let changes: Vec<PreparedChange> = changes
            .iter()
            .map(|bytes| {
                let header = header::read(bytes).expect("a change");
                PreparedChange {
                    candidate: Candidate {
                        hash: header.hash,
                        actor: hex::encode(header.actor).into_bytes(),
                        seq: header.seq,
                        deps: header.deps.clone(),
                    },
                    written_at_s: header.time_s,
                    bytes: bytes.clone(),
                }
            })
            .collect();
        let newest = changes.last().expect("a change").candidate.hash;
        let document = PreparedDocument {
            key: key.clone(),
            sealed: changes.iter().map(|change| change.candidate.hash).collect(),
            seals: vec![key.seal(signing, signer, newest)],
            changes,
        };
        let push = PreparedPush {
            carrier: Some(self.phone),
            unit: key.unit,
            documents: vec![document],
            receipts: Vec::new(),
            refused: Vec::new(),
        };
        let pushed = intake::write(&self.app, &[&push]).await.expect("taken");
        assert!(pushed[0].changes.is_empty(), "all were accepted");
    }

    async fn take_from_phone(&self, key: &Key, changes: &[Vec<u8>]) {
        self.take(key, changes, &self.key, Signer::Phone(self.phone))
            .await;
    }

    /// A patrol of An's with a photo that is here and one that is not, each in a push of its own.
    async fn patrol(&self) -> Key {
        let key = Key::patrol(self.people.truong_vinh, uuid::Uuid::now_v7());
        let mut patrol = document::new(&key);
        let started = edit(&mut patrol, self.actor(), |log: &mut PatrolLog| {
            log.title = Some("Tuần tra đêm".into());
        });
        self.take_from_phone(&key, &[started]).await;
        let here = edit(&mut patrol, self.actor(), |log: &mut PatrolLog| {
            log.attachments
                .insert(AttachmentId::from_bytes([1; 16]), hung(Sha256::of(PHOTO)));
        });
        let away = edit(&mut patrol, self.actor(), |log: &mut PatrolLog| {
            log.attachments
                .insert(AttachmentId::from_bytes([2; 16]), hung(self.away()));
        });
        self.take_from_phone(&key, &[here, away]).await;
        self.uses(key.document(), Sha256::of(PHOTO)).await;
        self.uses(key.document(), self.away()).await;
        self.bring_photo().await;
        key
    }

    fn away(&self) -> Sha256 {
        Sha256::of(b"still on the phone")
    }

    async fn evidence(&self, unit: UnitId, period: &Period) -> Key {
        let key = Key::evidence(unit, "20".parse().expect("a number"), period);
        let mut file = document::new(&key);
        let filed = edit(&mut file, self.actor(), |file: &mut EvidenceFile| {
            file.attachments
                .insert(AttachmentId::from_bytes([3; 16]), hung(self.away()));
        });
        self.take_from_phone(&key, &[filed]).await;
        key
    }

    async fn review(&self, reviewed: &Key) -> Key {
        let key = Key::review(reviewed.unit, reviewed.document());
        let mut review = document::new(&key);
        let decided = edit(&mut review, own::actor(&self.app), |review: &mut Review| {
            let decision = serde_json::from_str(
                r#"{"verdict":"returned","heads":"","remark":"Thiếu ảnh","by":"00000000-0000-0000-0000-000000000001","at_ms":5}"#,
            );
            let id = "00000000-0000-0000-0000-000000000002"
                .parse()
                .expect("an id");
            review.decisions.insert(id, decision.expect("a decision"));
        });
        let name = jws::fingerprint(&self.app.keys.seal.verifying_key());
        self.take(&key, &[decided], &self.app.keys.seal, Signer::Server(name))
            .await;
        key
    }

    /// What the worker would have written about an attachment of a document.
    async fn uses(&self, document: DocumentId, sha256: Sha256) {
        let mut tx = self.app.database.begin().await.expect("a transaction");
        sqlx::query(
            "insert into attachment_use (document_id, attachment_id, sha256, size_bytes, media_type, attached_at_ms, attached_by) \
             values ($1, $2, $2, 1, 'image/jpeg', 0, 'x')",
        )
        .bind(document.to_string())
        .bind(sha256.to_string())
        .execute(&mut *tx)
        .await
        .expect("a row");
        tx.commit().await.expect("committed");
    }

    async fn bring_photo(&self) {
        let authorization = fixture::bearer(&self.app, self.phone, &self.key).await;
        let request = |method, path: &str| {
            Request::builder()
                .method(method)
                .uri(path)
                .header("tus-resumable", "1.0.0")
                .header("authorization", &authorization)
        };
        let sha256 = BASE64_STANDARD.encode(Sha256::of(PHOTO).to_string());
        let create = request(Method::POST, "/v1/attachments")
            .header("upload-length", PHOTO.len())
            .header("upload-metadata", format!("sha256 {sha256}"))
            .body(Body::empty())
            .expect("a request");
        let created = fixture::send(&self.app, attachment::router(), create).await;
        assert_eq!(created.status, StatusCode::CREATED);
        let location = created.headers["location"].to_str().expect("text");
        let bytes = request(Method::PATCH, location)
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", 0)
            .body(Body::from(PHOTO))
            .expect("a request");
        let brought = fixture::send(&self.app, attachment::router(), bytes).await;
        assert_eq!(brought.status, StatusCode::NO_CONTENT);
    }

    async fn exported(&self, selection: Selection) -> Proven {
        let exported = export(&self.app, selection, &self.path())
            .await
            .expect("exported");
        let bytes = std::fs::read(self.path()).expect("a file");
        assert_eq!(exported.bytes, bytes.len() as u64);
        let proven = dossier::verify(&bytes, Some(self.fingerprint())).expect("it holds");
        assert_eq!(exported.documents, proven.documents.len());
        proven
    }
}

fn ids(proven: &Proven) -> BTreeSet<DocumentId> {
    proven
        .documents
        .iter()
        .map(|document| document.document)
        .collect()
}

#[tokio::test]
async fn a_patrol_is_exported_with_its_photo_and_the_decisions_about_it() {
    for setting in settings().await {
        let patrol = setting.patrol().await;
        let review = setting.review(&patrol).await;
        let id = patrol.document();
        let proven = setting.exported(Selection::Patrol(id)).await;
        assert_eq!(ids(&proven), BTreeSet::from([id, review.document()]));
        let document = proven
            .documents
            .iter()
            .find(|document| document.document == id);
        let document = document.expect("the patrol");
        assert_eq!(document.changes, 3);
        assert_eq!(document.missing, [setting.away()]);
        assert_eq!(proven.attachments.len(), 1);
        assert_eq!(proven.attachments[0].sha256, Sha256::of(PHOTO));
        assert!(proven.not_proven.contains(&NotProven::Missing));

        let deeds = audited(&setting.app, "exported").await;
        assert_eq!(deeds.len(), 1);
        assert_eq!(deeds[0].subject, Some(id.to_string()));
        assert_eq!(deeds[0].unit, Some(patrol.unit.to_string()));
        assert_eq!(deeds[0].detail.as_deref(), Some("2"));
        let files = std::fs::read_dir(setting.folder.path()).expect("a folder");
        assert_eq!(files.count(), 1, "nothing unfinished is left");
    }
}

#[tokio::test]
async fn a_units_period_holds_its_patrols_and_evidence_and_no_others() {
    for setting in settings().await {
        let (unit, other) = (setting.people.truong_vinh, setting.people.vinh_phu);
        let period = Period::of_programme(day_of(clock::now_ms()));
        let patrol = setting.patrol().await;
        let review = setting.review(&patrol).await;
        let evidence = setting.evidence(unit, &period).await;
        setting.evidence(unit, &period.same_last_year()).await;
        setting.evidence(other, &period).await;
        let proven = setting.exported(Selection::UnitPeriod(unit, period)).await;
        let expected = [&patrol, &review, &evidence].map(Key::document);
        assert_eq!(ids(&proven), BTreeSet::from(expected));
    }
}

#[tokio::test]
async fn what_a_phone_wrote_before_its_revocation_stays_proven() {
    for setting in settings().await {
        let patrol = setting.patrol().await;
        phone::revoke(&setting.app, Some(&setting.people.chi), setting.phone)
            .await
            .expect("revoked");
        let proven = setting.exported(Selection::Patrol(patrol.document())).await;
        assert_eq!(proven.documents[0].changes, 3);
    }
}

#[tokio::test]
async fn a_document_across_a_restored_backup_is_proven_by_both_epochs() {
    for setting in settings().await {
        let period = Period::of_programme(day_of(clock::now_ms()));
        let evidence = setting.evidence(setting.people.truong_vinh, &period).await;
        let before = head(&setting.app).await.expect("a head");

        // As a restored backup begins.
        let mut tx = setting.app.database.begin().await.expect("a transaction");
        let epoch = Epoch(rand::random());
        sqlx::query("update setting set value = $1 where name = 'log'")
            .bind(format!("{epoch} 0"))
            .execute(&mut *tx)
            .await
            .expect("a new epoch");
        let begins = Leaf::Epoch {
            epoch,
            previous: Some(before),
        };
        ledger::append(&mut tx, &begins)
            .await
            .expect("its first leaf");
        tx.commit().await.expect("committed");

        let patrol = setting.patrol().await;
        for key in [&evidence, &patrol] {
            let selection = match key.evidence_of() {
                Some(_) => Selection::Evidence(key.document()),
                None => Selection::Patrol(key.document()),
            };
            let proven = setting.exported(selection).await;
            assert_eq!(ids(&proven), BTreeSet::from([key.document()]));
            assert_eq!(proven.epoch, epoch);
        }
    }
}

#[tokio::test]
async fn what_is_not_there_or_is_something_else_is_not_exported() {
    for setting in settings().await {
        let patrol = setting.patrol().await.document();
        let unknown = DocumentId::from_bytes([9; 16]);
        for selection in [Selection::Patrol(unknown), Selection::Evidence(patrol)] {
            let refused = export(&setting.app, selection, &setting.path()).await;
            assert_eq!(
                refused.err().map(|problem| problem.status()),
                Some(StatusCode::NOT_FOUND)
            );
        }
        assert!(!setting.path().exists());
        assert!(audited(&setting.app, "exported").await.is_empty());
    }
}

#[tokio::test]
async fn rows_that_would_not_verify_make_no_file() {
    for setting in settings().await {
        let patrol = setting.patrol().await.document();
        let mut tx = setting.app.database.begin().await.expect("a transaction");
        sqlx::query("delete from seal")
            .execute(&mut *tx)
            .await
            .expect("no seals");
        tx.commit().await.expect("committed");
        let refused = export(&setting.app, Selection::Patrol(patrol), &setting.path()).await;
        assert_eq!(
            refused.err().map(|problem| problem.word()),
            Some("internal")
        );
        assert!(!setting.path().exists());
        assert!(audited(&setting.app, "exported").await.is_empty());
    }
}

#[tokio::test]
async fn a_file_is_verified_in_words_and_a_changed_one_is_named() {
    for setting in settings().await {
        let patrol = setting.patrol().await.document();
        setting.exported(Selection::Patrol(patrol)).await;
        let known = Some(setting.fingerprint());
        let report = verify(&setting.path(), known).expect("it holds");
        assert!(report.contains(&patrol.to_string()) && report.contains("NOT PROVEN"));
        for said in ["Phường Trường Vinh", "writer: An,", "+07:00"] {
            assert!(report.contains(said), "{said}: {report}");
        }
        assert!(!report.contains("unverified"));
        let report = verify(&setting.path(), None).expect("it holds");
        assert!(report.contains("whose key: unverified"));

        let another = Some(Sha256::of(b"another"));
        let other = verify(&setting.path(), another);
        let Err(VerifyError::AnotherKey { has, given }) = other else {
            panic!("another server's");
        };
        assert_eq!((Some(has), Some(given)), (known, another));

        let mut bytes = std::fs::read(setting.path()).expect("a file");
        let place = bytes.len() - 5;
        bytes[place] ^= 1;
        std::fs::write(setting.path(), bytes).expect("changed");
        let changed = verify(&setting.path(), known).expect_err("the photo was changed");
        assert!(changed.to_string().contains("attachment"), "{changed}");
        // Of a file that is changed besides, that is said, and not whose it is.
        let changed = verify(&setting.path(), another).expect_err("the photo was changed");
        assert!(changed.to_string().contains("attachment"), "{changed}");
        std::fs::write(setting.path(), b"%PDF-1.7 something else").expect("another file");
        let other = verify(&setting.path(), known);
        assert!(matches!(other, Err(VerifyError::NotADossier)));
        let absent = verify(&setting.folder.path().join("none"), known);
        assert!(matches!(absent, Err(VerifyError::Unreadable(_))));
    }
}
