//! A document as it was read to be checked: what passed before, what is to be checked, and whose the phones are that wrote it.

use crate::{
    app::App,
    database::Tx,
    row::parsed,
    run::Run,
    stored::{self, StoredDocument},
    worker::{Bytes, CheckJob},
};
use kieumau_core::{
    document::{Actor, Key},
    hash::Sha256,
    id::{DocumentId, PersonId, PhoneId},
};
use sqlx::Row as _;
use std::collections::{BTreeMap, BTreeSet};

/// A document as it was read to be checked.
pub(super) struct Looked {
    pub(super) id: DocumentId,
    pub(super) key: Key,
    /// Heads of what passed before, as text.
    pub(super) checked_heads: String,
    /// What passed before.
    held: Vec<Bytes>,
    /// What is to be checked, each after what it depends on.
    pub(super) fresh: Vec<Fresh>,
    /// How many of them lie in a row, row by row.
    pub(super) runs: Vec<usize>,
    /// Whose the phones are that wrote in it.
    people: Vec<(PhoneId, PersonId)>,
}

/// One change to be checked.
pub(super) struct Fresh {
    pub(super) hash: Sha256,
    pub(super) deps: Vec<Sha256>,
    /// The phone that wrote it; none for the server's own.
    pub(super) writer: Option<PhoneId>,
    pub(super) number: i64,
    pub(super) bytes: Bytes,
}

impl Looked {
    /// Reads a document with its changes; none if there is no such document.
    pub(super) async fn read(
        app: &App,
        tx: &mut Tx,
        id: DocumentId,
    ) -> Result<Option<Self>, sqlx::Error> {
        let Some(stored) = StoredDocument::read(tx, &app.vault, id).await? else {
            return Ok(None);
        };
        let rows = sqlx::query(
            "select hash, earlier, state, number, actor, bytes, deps from change \
             where document_id = $1 and (state = 'checked' or state = 'accepted') order by number",
        )
        .bind(id.to_string())
        .fetch_all(&mut **tx)
        .await?;
        let mut looked = Self {
            id,
            key: stored.key.clone(),
            checked_heads: stored.checked_heads.clone(),
            held: Vec::new(),
            fresh: Vec::new(),
            runs: Vec::new(),
            people: Vec::new(),
        };
        let mut phones = BTreeSet::new();
        for row in rows {
            let actor = hex::decode(row.get::<String, _>("actor")).ok();
            let writer = actor.and_then(|actor| Some(Actor::from_slice(&actor)?.phone));
            phones.extend(writer);
            let run = Run::of(&row)?;
            let changes = run.open(&stored.vault_key)?.into_iter();
            if row.get::<String, _>("state") != "accepted" {
                looked
                    .held
                    .extend(changes.map(|change| Bytes(change.bytes)));
                continue;
            }
            let mut deps = stored::parse_hashes(row.get("deps"));
            for change in changes {
                looked.fresh.push(Fresh {
                    hash: change.hash,
                    deps: std::mem::replace(&mut deps, vec![change.hash]),
                    writer,
                    number: change.number,
                    bytes: Bytes(change.bytes),
                });
            }
            looked.runs.push(run.hashes.len());
        }
        // Whose they are is filled in for all documents at once.
        let nobody = PersonId::from_bytes([0; 16]);
        looked.people = phones.into_iter().map(|phone| (phone, nobody)).collect();
        Ok(Some(looked))
    }

    /// What a worker is asked about `fresh` when these others of its fresh changes passed.
    pub(super) fn job<'a>(
        &self,
        passed: impl Iterator<Item = &'a Fresh>,
        fresh: impl Iterator<Item = &'a Fresh>,
    ) -> Result<CheckJob, sqlx::Error> {
        let bytes = |fresh: &'a Fresh| fresh.bytes.clone();
        Ok(CheckJob {
            key: serde_json::to_string(&self.key)
                .map_err(|error| sqlx::Error::Encode(error.into()))?,
            held: self.held.iter().cloned().chain(passed.map(bytes)).collect(),
            fresh: fresh.map(bytes).collect(),
            people: self.people.clone(),
        })
    }
}

#[cfg(test)]
impl Looked {
    /// A document with one change to be checked, of this phone.
    pub(super) fn of_writer(id: u8, phone: u8) -> Self {
        let unit = kieumau_core::id::UnitId::from_bytes([1; 16]);
        let fresh = Fresh {
            hash: Sha256::of(&[id]),
            deps: Vec::new(),
            writer: Some(PhoneId::from_bytes([phone; 16])),
            number: 1,
            bytes: Bytes(Vec::new()),
        };
        Self {
            id: DocumentId::from_bytes([id; 16]),
            key: Key::patrol(unit, uuid::Uuid::from_u128(id.into())),
            checked_heads: String::new(),
            held: Vec::new(),
            fresh: vec![fresh],
            runs: vec![1],
            people: Vec::new(),
        }
    }
}

/// Fills in whose the phones are that wrote in these documents.
pub(super) async fn people(tx: &mut Tx, looked: &mut [Looked]) -> Result<(), sqlx::Error> {
    let phones: BTreeSet<PhoneId> = looked
        .iter()
        .flat_map(|looked| looked.people.iter().map(|(phone, _)| *phone))
        .collect();
    let mut owners = BTreeMap::new();
    for phone in phones {
        let row = sqlx::query("select person_id from phone where phone_id = $1")
            .bind(phone.to_string())
            .fetch_optional(&mut **tx)
            .await?;
        if let Some(row) = row {
            owners.insert(phone, parsed(&row, "person_id")?);
        }
    }
    for looked in looked {
        looked.people = looked
            .people
            .iter()
            .filter_map(|(phone, _)| Some((*phone, *owners.get(phone)?)))
            .collect();
    }
    Ok(())
}
