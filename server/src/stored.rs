//! Documents as they lie in the database: their changes (`run`) under the document's own key, that key under the master key.

use crate::{
    database::{Tx, holding},
    insert::{Insert, Value},
    round::Round,
    row::parsed,
    vault::{Key as VaultKey, Vault},
};
use kieumau_core::{document::Key, hash::Sha256, id::DocumentId};
use sqlx::{Row as _, any::AnyRow};
use std::collections::{BTreeMap, BTreeSet};

/// A document's row.
pub struct StoredDocument {
    /// Which document.
    pub key: Key,
    /// Opens its changes.
    pub vault_key: VaultKey,
    /// Heads of what was accepted, as text.
    pub heads: String,
    /// Heads of what the worker let through, as text.
    pub checked_heads: String,
    /// Bytes of its accepted changes.
    pub size_bytes: i64,
    /// The feed's number of its first accepted change that waits for the worker.
    pub unchecked_from: Option<i64>,
    /// Whether changes wait for an ancestor.
    pub waits: bool,
    /// Its wrapped key, if it has no row yet.
    wrapped_key: Option<Vec<u8>>,
}

/// What is stored does not fit together.
pub fn damaged(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}

impl StoredDocument {
    /// The document's row, held until the transaction ends. None if there is no such document.
    ///
    /// # Errors
    /// What the database says; `Decode` if its key does not open.
    pub async fn hold(
        tx: &mut Tx,
        vault: &Vault,
        id: DocumentId,
    ) -> Result<Option<Self>, sqlx::Error> {
        let mut held = Self::hold_all(tx, vault, &BTreeSet::from([id])).await?;
        Ok(held.remove(&id))
    }

    /// The rows of those of these documents that there are, held in the order of their ids until the transaction ends.
    ///
    /// # Errors
    /// What the database says; `Decode` if a key does not open.
    pub async fn hold_all(
        tx: &mut Tx,
        vault: &Vault,
        ids: &BTreeSet<DocumentId>,
    ) -> Result<BTreeMap<DocumentId, Self>, sqlx::Error> {
        let rows = Self::ask(tx, ids).fetch(tx).await?;
        Self::all_of(vault, &rows)
    }

    /// Asks for the rows of these documents, to be held until the transaction ends; [`StoredDocument::all_of`] reads the answer.
    pub fn ask(tx: &Tx, ids: &BTreeSet<DocumentId>) -> Insert {
        Self::select(ids, holding(tx, "d"))
    }

    /// The document's row as it is; another may change it meanwhile. None if there is no such document.
    ///
    /// # Errors
    /// What the database says; `Decode` if its key does not open.
    pub async fn read(
        tx: &mut Tx,
        vault: &Vault,
        id: DocumentId,
    ) -> Result<Option<Self>, sqlx::Error> {
        let rows = Self::select(&BTreeSet::from([id]), String::new())
            .fetch(tx)
            .await?;
        Ok(Self::all_of(vault, &rows)?.remove(&id))
    }

    fn select(ids: &BTreeSet<DocumentId>, holding: String) -> Insert {
        let mut wanted = Insert::new(
            "with wanted (document_id) as (values",
            1,
            format!(
                ") select d.document_id, d.kind, d.unit_id, d.name, d.wrapped_key, d.heads, d.checked_heads, d.size_bytes, \
                 d.unchecked_from, (select min(c.hash) from change c where c.document_id = d.document_id and c.state = 'waiting') \
                 from document d where d.document_id in (select document_id from wanted) order by d.document_id{holding}"
            ),
        );
        for id in ids {
            wanted.push([Value::text(id)]);
        }
        wanted
    }

    /// The documents in these rows.
    ///
    /// # Errors
    /// `Decode` if a key does not open.
    pub fn all_of(
        vault: &Vault,
        rows: &[AnyRow],
    ) -> Result<BTreeMap<DocumentId, Self>, sqlx::Error> {
        rows.iter().map(|row| Self::of(vault, row)).collect()
    }

    fn of(vault: &Vault, row: &AnyRow) -> Result<(DocumentId, Self), sqlx::Error> {
        let name: String = row.get(0);
        let vault_key = vault
            .key(&name, &row.get::<Vec<u8>, _>(4))
            .map_err(|_| damaged("a document's key"))?;
        let stored = Self {
            key: Key {
                kind: parsed(row, "kind")?,
                unit: parsed(row, "unit_id")?,
                name: row.get(3),
            },
            vault_key,
            heads: row.get(5),
            checked_heads: row.get(6),
            size_bytes: row.get(7),
            unchecked_from: row.get(8),
            waits: row.get::<Option<String>, _>(9).is_some(),
            wrapped_key: None,
        };
        Ok((parsed(row, "document_id")?, stored))
    }

    /// A new, empty document, which [`StoredDocument::store_all`] writes.
    pub fn new(vault: &Vault, key: &Key) -> Self {
        let (vault_key, wrapped) = vault.new_key(&key.document().to_string());
        Self {
            key: key.clone(),
            vault_key,
            heads: String::new(),
            checked_heads: String::new(),
            size_bytes: 0,
            unchecked_from: None,
            waits: false,
            wrapped_key: Some(wrapped),
        }
    }

    /// Whether it has no row yet.
    pub const fn is_new(&self) -> bool {
        self.wrapped_key.is_some()
    }

    /// A new, empty row for `key`, held until the transaction ends.
    ///
    /// # Errors
    /// What the database says.
    pub async fn create(
        tx: &mut Tx,
        vault: &Vault,
        key: &Key,
        at_ms: i64,
    ) -> Result<Self, sqlx::Error> {
        let new = Self::new(vault, key);
        Self::store_all(tx, std::slice::from_ref(&new), at_ms).await?;
        Ok(Self {
            wrapped_key: None,
            ..new
        })
    }

    /// Writes what became of these documents, whose rows are held: new rows, or heads, size and what is unchecked.
    ///
    /// # Errors
    /// What the database says.
    pub async fn store_all<'a>(
        tx: &mut Tx,
        documents: impl IntoIterator<Item = &'a Self>,
        at_ms: i64,
    ) -> Result<(), sqlx::Error> {
        let mut round = Round::default();
        Self::write_all(&mut round, documents, at_ms);
        round.run(tx).await?;
        Ok(())
    }

    /// What [`StoredDocument::store_all`] writes, as part of a round.
    pub fn write_all<'a>(
        round: &mut Round,
        documents: impl IntoIterator<Item = &'a Self>,
        at_ms: i64,
    ) {
        let mut new = Insert::new(
            "insert into document (document_id, kind, unit_id, name, wrapped_key, first_received_at_ms, size_bytes, heads, \
             unchecked_from, checked_heads, projected_heads) values",
            11,
            "",
        );
        let mut grown = Insert::new(
            "with grown (document_id, size_bytes, heads, unchecked_from) as (values",
            4,
            ") update document set size_bytes = grown.size_bytes, heads = grown.heads, unchecked_from = grown.unchecked_from \
             from grown where document.document_id = grown.document_id",
        );
        for document in documents {
            let id = Value::text(document.key.document());
            let (size_bytes, heads) = (document.size_bytes.into(), Value::text(&document.heads));
            let unchecked_from = document.unchecked_from.into();
            match &document.wrapped_key {
                None => grown.push([id, size_bytes, heads, unchecked_from]),
                Some(wrapped_key) => new.push([
                    id,
                    document.key.kind.word().into(),
                    Value::text(document.key.unit),
                    Value::text(&document.key.name),
                    wrapped_key.clone().into(),
                    at_ms.into(),
                    size_bytes,
                    heads,
                    unchecked_from,
                    "".into(),
                    "".into(),
                ]),
            }
        }
        round.write(new);
        round.write(grown);
    }
}

/// Hashes out of a row's text.
pub fn parse_hashes(text: &str) -> Vec<Sha256> {
    text.split_whitespace()
        .filter_map(|hash| hash.parse().ok())
        .collect()
}
