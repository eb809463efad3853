//! A server with real documents in it, as phones would have pushed them: what exports are tried on.

use super::export;
use crate::{
    attachment,
    fixture::{self, People, TestApp, apps, enrolled},
    intake::{self, PreparedChange, PreparedDocument, PreparedPush},
    own,
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
    dossier::{self, Proven, Selection},
    evidence::EvidenceFile,
    hash::Sha256,
    header,
    id::{AttachmentId, DocumentId, PersonId, PhoneId, UnitId},
    jws,
    log::admission::Candidate,
    patrol::PatrolLog,
    period::Period,
    review::Review,
    seal::Signer,
};
use std::path::PathBuf;
/// What the photo of [`Setting::patrol`] holds.
pub const PHOTO: &[u8] = b"\xff\xd8\xff\xe0 a photo of the road";

/// A server, its people, An's phone, and a folder for dossiers.
pub struct Setting {
    pub app: TestApp,
    pub people: People,
    pub phone: PhoneId,
    pub key: SigningKey,
    pub folder: tempfile::TempDir,
}

/// One on each database.
pub async fn settings() -> Vec<Setting> {
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
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("dossier.kieumau")
    }

    pub fn fingerprint(&self) -> Sha256 {
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

    pub async fn take_from_phone(&self, key: &Key, changes: &[Vec<u8>]) {
        self.take(key, changes, &self.key, Signer::Phone(self.phone))
            .await;
    }

    /// A patrol of An's with a photo that is here and one that is not, each in a push of its own.
    pub async fn patrol(&self) -> Key {
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

    pub fn away(&self) -> Sha256 {
        Sha256::of(b"still on the phone")
    }

    pub async fn evidence(&self, unit: UnitId, period: &Period) -> Key {
        let key = Key::evidence(unit, "20".parse().expect("a number"), period);
        let mut file = document::new(&key);
        let filed = edit(&mut file, self.actor(), |file: &mut EvidenceFile| {
            file.attachments
                .insert(AttachmentId::from_bytes([3; 16]), hung(self.away()));
        });
        self.take_from_phone(&key, &[filed]).await;
        key
    }

    pub async fn review(&self, reviewed: &Key) -> Key {
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

    pub async fn exported(&self, selection: Selection) -> Proven {
        let exported = export(&self.app, selection, &self.path())
            .await
            .expect("exported");
        let bytes = std::fs::read(self.path()).expect("a file");
        assert_eq!(exported.bytes, bytes.len() as u64);
        let proven = dossier::verify(&bytes[..], Some(self.fingerprint())).expect("it holds");
        assert_eq!(exported.documents, proven.documents.len());
        proven
    }
}
