//! Refused changes on their way into quarantine: each under a key of its own, and so many of one phone.

use super::{Decided, PreparedPush, RefusedChange, opened::Opened};
use crate::{
    app::App,
    database::Tx,
    insert::{Insert, Value},
    round::Round,
    run::Run,
};
use kieumau_core::{
    hash::Sha256,
    id::{DocumentId, PhoneId},
    log::admission::Refusal,
    wire::ChangeOutcome,
};
use sqlx::Row as _;
use std::collections::BTreeMap;

/// What one phone may have in quarantine: rows, and bytes. Beyond it the bytes stay on the phone, which is told so.
const QUOTA: Room = Room {
    rows: 10_000,
    bytes: 256 << 20,
};

/// Room for refused changes.
#[derive(Clone, Copy)]
struct Room {
    rows: i64,
    bytes: i64,
}

/// Refused changes on their way into quarantine, each under a key of its own. Never dropped.
pub(super) struct Quarantine<'a> {
    app: &'a App,
    now_ms: i64,
    rows: Insert,
    /// What is left for each phone that brought some.
    room: BTreeMap<PhoneId, Room>,
}

impl<'a> Quarantine<'a> {
    /// Nothing yet.
    pub(super) fn new(app: &'a App, now_ms: i64) -> Self {
        let rows = Insert::new(
            "insert into quarantine (quarantine_id, unit_id, document_id, kind, name, hash, reason, carrier_phone_id, \
             received_at_ms, size_bytes, wrapped_key, bytes, seals) values",
            13,
            // Each phone's own: nobody's seals stand in for another's.
            "on conflict (hash, reason, coalesce(carrier_phone_id, '')) do nothing",
        );
        Self {
            app,
            now_ms,
            rows,
            room: BTreeMap::new(),
        }
    }

    /// Keeps all that these pushes brought and that is refused. What has no room left is told so instead.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn keep_all(
        &mut self,
        tx: &mut Tx,
        pushes: &[&PreparedPush],
        decided: &mut Decided,
    ) -> Result<(), sqlx::Error> {
        let Decided {
            answers, refused, ..
        } = decided;
        let mut all: Vec<(usize, &RefusedChange)> = Vec::new();
        for (number, push) in pushes.iter().enumerate() {
            all.extend(push.refused.iter().map(|change| (number, change)));
        }
        all.extend(refused.iter().map(|(number, change)| (*number, change)));
        for (number, change) in all {
            let refusal = self.keep(tx, pushes[number].carrier, change).await?;
            if refusal != change.refusal {
                let outcomes = answers[number].changes.iter_mut();
                for outcome in outcomes.filter(|outcome| outcome.hash == change.hash) {
                    *outcome = ChangeOutcome::refused(change.hash, refusal);
                }
            }
        }
        Ok(())
    }

    /// Keeps a refused change; why it is refused, which is another word if its carrier has no room left.
    ///
    /// # Errors
    /// What the database says.
    async fn keep(
        &mut self,
        tx: &mut Tx,
        carrier: Option<PhoneId>,
        refused: &RefusedChange,
    ) -> Result<Refusal, sqlx::Error> {
        let size_bytes = i64::try_from(refused.bytes.len()).unwrap_or(i64::MAX);
        if let Some(phone) = carrier {
            let room = match self.room.get_mut(&phone) {
                Some(room) => room,
                None => {
                    let room = room_of(tx, phone).await?;
                    self.room.entry(phone).or_insert(room)
                }
            };
            if room.rows < 1 || room.bytes < size_bytes {
                return Ok(Refusal::QuarantineFull);
            }
            room.rows -= 1;
            room.bytes -= size_bytes;
        }
        let id = uuid::Uuid::now_v7().to_string();
        let (key, wrapped) = self.app.vault.new_key(&id);
        let document = refused.document.as_ref();
        // Whose chief may open what is not allowed, the administration says.
        let routed = document.filter(|_| refused.refusal != Refusal::NotAllowed);
        let seals = minicbor::to_vec(&refused.seals)
            .map_err(|error| sqlx::Error::Encode(error.to_string().into()))?;
        let sealed = crate::vault::seal(&key, &[0; 24], refused.hash.as_bytes(), &refused.bytes);
        self.rows.push([
            id.into(),
            Value::text_or_null(routed.map(|key| key.unit)),
            Value::text_or_null(document.map(|key| key.document())),
            Value::text_or_null(document.map(|key| key.kind.word())),
            Value::text_or_null(document.map(|key| &key.name)),
            Value::text(refused.hash),
            refused.refusal.word().into(),
            Value::text_or_null(carrier),
            self.now_ms.into(),
            size_bytes.into(),
            wrapped.into(),
            sealed.into(),
            seals.into(),
        ]);
        Ok(refused.refusal)
    }

    /// Takes what waited and can never be taken out of its document, into quarantine.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn keep_waited(
        &mut self,
        tx: &mut Tx,
        documents: &BTreeMap<DocumentId, Opened<'_>>,
    ) -> Result<(), sqlx::Error> {
        for opened in documents.values() {
            for (hash, refusal) in &opened.refused_waited {
                self.keep_one_waited(tx, opened, *hash, *refusal).await?;
            }
        }
        Ok(())
    }

    async fn keep_one_waited(
        &mut self,
        tx: &mut Tx,
        opened: &Opened<'_>,
        hash: Sha256,
        refusal: Refusal,
    ) -> Result<(), sqlx::Error> {
        let row = sqlx::query(
            "delete from change where document_id = $1 and hash = $2 and state = 'waiting' returning hash, earlier, number, bytes",
        )
        .bind(opened.stored.key.document().to_string())
        .bind(hash.to_string())
        .fetch_one(&mut **tx)
        .await?;
        let refused = RefusedChange {
            document: Some(opened.stored.key.clone()),
            hash,
            refusal,
            bytes: Run::of(&row)?.open_last(&opened.stored.vault_key)?,
            // Its seals stay where they are, beside its document.
            seals: Vec::new(),
        };
        // No carrier: what the server kept itself is nobody's quota.
        self.keep(tx, None, &refused).await.map(|_| ())
    }

    /// Writes them.
    pub(super) fn write(self, round: &mut Round) {
        round.write(self.rows);
    }
}

/// What is left of a phone's quota.
async fn room_of(tx: &mut Tx, phone: PhoneId) -> Result<Room, sqlx::Error> {
    let row = sqlx::query(
        "select count(*), cast(coalesce(sum(size_bytes), 0) as bigint) from quarantine \
         where carrier_phone_id = $1 and admitted_at_ms is null",
    )
    .bind(phone.to_string())
    .fetch_one(&mut **tx)
    .await?;
    Ok(Room {
        rows: QUOTA.rows - row.get::<i64, _>(0),
        bytes: QUOTA.bytes - row.get::<i64, _>(1),
    })
}
