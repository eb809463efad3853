//! Who writes the sample: a phone that is enrolled in the log like any other, whose key is thrown away afterwards, and the
//! document it is writing.

use crate::{
    app::{App, OpenError},
    clock,
    enrolment::{self, Enrolment},
    intake::{PreparedChange, PreparedDocument, PreparedPush},
};
use automerge::Automerge;
use ed25519_dalek::SigningKey;
use kieumau_core::{
    document::{self, Actor, Change, Key, Record},
    hash::Sha256,
    header,
    id::{PersonId, PhoneId, UnitId},
    invalid::Invalid,
    log::admission::Candidate,
    seal::Signer,
    stamp::Stamp,
};

/// The app's version that an invented phone says: nobody holds it, and its key is gone.
pub const APP_VERSION: &str = "sample";

/// An invented phone.
pub(super) struct SamplePhone {
    id: PhoneId,
    pub(super) person: PersonId,
    key: SigningKey,
}

impl SamplePhone {
    /// Enrols a phone of `person` as if it had used a code.
    pub(super) async fn enrol(
        app: &App,
        unit: UnitId,
        person: PersonId,
    ) -> Result<Self, OpenError> {
        let key = SigningKey::from_bytes(&rand::random());
        let now_ms = clock::now_ms();
        let id = PhoneId::fresh(now_ms, rand::random());
        let public_key = key.verifying_key().to_bytes();
        let mut tx = app.database.begin().await?;
        let made = Enrolment::Made {
            phone: id,
            person,
            unit,
            public_key,
            at_ms: now_ms,
        };
        let leaf = enrolment::record_leaf(&mut tx, &made).await?;
        sqlx::query(
            "insert into phone (phone_id, person_id, unit_id, algorithm, public_key, model, app_version, \
             enrolled_at_ms, enrolled_leaf) values ($1, $2, $3, 'Ed25519', $4, 'Thiết bị mẫu', $7, $5, $6)",
        )
        .bind(id.to_string())
        .bind(person.to_string())
        .bind(unit.to_string())
        .bind(public_key.to_vec())
        .bind(now_ms)
        .bind(leaf)
        .bind(APP_VERSION)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Self { id, person, key })
    }
}

/// A document that a sample phone is writing.
pub(super) struct Draft<'a> {
    phone: &'a SamplePhone,
    key: Key,
    document: Automerge,
    actor: Actor,
    changes: Vec<Change>,
}

impl<'a> Draft<'a> {
    /// A new document of `key`; `opening` tells this phone's actors apart.
    pub(super) fn new(phone: &'a SamplePhone, key: Key, opening: u64) -> Self {
        let actor = Actor {
            phone: phone.id,
            opening: opening.to_be_bytes(),
        };
        let document = document::new(&key);
        Self {
            phone,
            key,
            document,
            actor,
            changes: Vec::new(),
        }
    }

    /// Writes one change at `at_ms`.
    pub(super) fn write<R: Record, T>(
        &mut self,
        at_ms: i64,
        edit: impl FnOnce(&mut R, Stamp) -> Result<T, Invalid>,
    ) -> Result<T, document::DocumentError> {
        let seed = format!("{} {} {at_ms}", self.key.name, self.changes.len());
        let mut random = [0; 10];
        random.copy_from_slice(&Sha256::of(seed.as_bytes()).as_bytes()[..10]);
        let stamp = Stamp {
            by: self.phone.person,
            at_ms,
            random,
        };
        let (answer, change) =
            document::edit(&mut self.document, self.actor, at_ms, |record: &mut R| {
                edit(record, stamp)
            })?;
        self.changes.extend(change);
        Ok(answer)
    }

    /// What the phone would push: all changes under one seal, for one actor wrote them in a row.
    pub(super) fn push(self) -> Result<PreparedPush, OpenError> {
        let last = self
            .changes
            .last()
            .ok_or("a document without a change")?
            .hash;
        let seals = vec![
            self.key
                .seal(&self.phone.key, Signer::Phone(self.phone.id), last),
        ];
        let sealed = self.changes.iter().map(|change| change.hash).collect();
        let changes = self
            .changes
            .into_iter()
            .map(|change| {
                let header = header::read(&change.bytes)?;
                let actor = hex::encode(header.actor).into_bytes();
                let candidate = Candidate {
                    hash: header.hash,
                    actor,
                    seq: header.seq,
                    deps: header.deps,
                };
                Ok(PreparedChange {
                    candidate,
                    written_at_s: header.time_s,
                    bytes: change.bytes,
                })
            })
            .collect::<Result<Vec<_>, header::HeaderError>>()?;
        let unit = self.key.unit;
        let documents = vec![PreparedDocument {
            key: self.key,
            changes,
            seals,
            sealed,
        }];
        Ok(PreparedPush {
            carrier: Some(self.phone.id),
            unit,
            documents,
            receipts: Vec::new(),
            refused: Vec::new(),
        })
    }
}
