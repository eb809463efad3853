//! What intake decided, as rows: documents, changes with their numbers, seals, quarantine.

use super::{
    RefusedChange,
    opened::{Opened, signer},
};
use crate::{
    app::App,
    database::Tx,
    insert::{Insert, Value},
    stored::StoredDocument,
};
use kieumau_core::{hash::Sha256, id::PhoneId, log::admission::Refusal};
use sqlx::Row as _;
use std::collections::BTreeMap;

/// Writes what became of these documents.
///
/// # Errors
/// What the database says.
pub(super) async fn store<'a>(
    tx: &mut Tx,
    documents: impl Iterator<Item = &'a Opened<'a>> + Clone,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let grown = documents.clone().filter(|opened| opened.grown);
    StoredDocument::store_all(tx, grown.map(|opened| &opened.stored), now_ms).await?;
    let mut changes = Insert::new(
        "insert into change (document_id, hash, actor, seq, deps, written_at_s, received_at_ms, carrier_phone_id, state, \
         number, bytes) values",
        11,
        "",
    );
    let mut seals = Insert::new(
        "insert into seal (document_id, change_hash, signer, signature) values",
        4,
        "on conflict do nothing",
    );
    for opened in documents {
        let id = opened.stored.key.document();
        for (hash, number) in &opened.ended {
            sqlx::query("update change set state = 'accepted', number = $1 where document_id = $2 and hash = $3")
                .bind(*number)
                .bind(id.to_string())
                .bind(hash.to_string())
                .execute(&mut **tx)
                .await?;
        }
        for row in opened.rows.values() {
            let candidate = &row.change.candidate;
            let deps: Vec<String> = candidate.deps.iter().map(Sha256::to_string).collect();
            let accepted = row.number.is_some();
            changes.push([
                Value::text(id),
                Value::text(candidate.hash),
                String::from_utf8_lossy(&candidate.actor)
                    .into_owned()
                    .into(),
                i64::try_from(candidate.seq).unwrap_or(i64::MAX).into(),
                deps.join(" ").into(),
                row.change.written_at_s.into(),
                now_ms.into(),
                Value::text_or_null(row.carrier),
                if accepted { "accepted" } else { "waiting" }.into(),
                row.number.into(),
                opened
                    .stored
                    .close(candidate.hash, &row.change.bytes)
                    .into(),
            ]);
        }
        for seal in &opened.seals {
            seals.push([
                Value::text(id),
                Value::text(seal.change),
                signer(seal).into(),
                seal.signature.to_vec().into(),
            ]);
        }
    }
    changes.execute(tx).await?;
    seals.execute(tx).await
}

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
            "on conflict (hash, reason) do nothing",
        );
        Self {
            app,
            now_ms,
            rows,
            room: BTreeMap::new(),
        }
    }

    /// Keeps a refused change; why it is refused, which is another word if its carrier has no room left.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn keep(
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

    /// Writes them.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn store(self, tx: &mut Tx) -> Result<(), sqlx::Error> {
        self.rows.execute(tx).await
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

/// Takes what waited and can never be taken out of the document, into quarantine.
///
/// # Errors
/// What the database says.
pub(super) async fn refuse_waited(
    tx: &mut Tx,
    kept: &mut Quarantine<'_>,
    opened: &Opened<'_>,
) -> Result<(), sqlx::Error> {
    let id = opened.stored.key.document().to_string();
    for (hash, refusal) in &opened.refused_waited {
        let row = sqlx::query(
            "delete from change where document_id = $1 and hash = $2 and state = 'waiting' returning bytes",
        )
        .bind(&id)
        .bind(hash.to_string())
        .fetch_one(&mut **tx)
        .await?;
        let refused = RefusedChange {
            document: Some(opened.stored.key.clone()),
            hash: *hash,
            refusal: *refusal,
            bytes: opened.stored.open(*hash, &row.get::<Vec<u8>, _>(0))?,
            // Its seals stay where they are, beside its document.
            seals: Vec::new(),
        };
        // No carrier: what the server kept itself is nobody's quota.
        kept.keep(tx, None, &refused).await?;
    }
    Ok(())
}
