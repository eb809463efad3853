//! Documents as they lie in the database: changes under the document's own key, that key under the master key.
//!
//! Nothing here understands a change; it opens and closes envelopes.

use crate::{
    database::Tx,
    vault::{self, Key as VaultKey, Vault},
};
use kieumau_core::{
    document::Key,
    hash::Sha256,
    id::{DocumentId, UnitId},
};
use sqlx::Row as _;

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
        // An update that changes nothing locks the row on PostgreSQL; SQLite holds the whole database already.
        let row = sqlx::query(
            "update document set size_bytes = size_bytes where document_id = $1 \
             returning kind, unit_id, name, wrapped_key, heads, checked_heads, size_bytes",
        )
        .bind(id.to_string())
        .fetch_optional(&mut **tx)
        .await?;
        row.map(|row| Self::of(vault, id, &row)).transpose()
    }

    fn of(vault: &Vault, id: DocumentId, row: &sqlx::any::AnyRow) -> Result<Self, sqlx::Error> {
        let unit: UnitId = row
            .get::<String, _>(1)
            .parse()
            .map_err(|_| damaged("a unit's id"))?;
        let kind = row
            .get::<String, _>(0)
            .parse()
            .map_err(|_| damaged("a document's kind"))?;
        let vault_key = vault
            .key(&id.to_string(), &row.get::<Vec<u8>, _>(3))
            .map_err(|_| damaged("a document's key"))?;
        Ok(Self {
            key: Key {
                kind,
                unit,
                name: row.get(2),
            },
            vault_key,
            heads: row.get(4),
            checked_heads: row.get(5),
            size_bytes: row.get(6),
        })
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
        let id = key.document().to_string();
        let (vault_key, wrapped) = vault.new_key(&id);
        sqlx::query(
            "insert into document (document_id, kind, unit_id, name, wrapped_key, first_received_at_ms, size_bytes, \
             heads, checked_heads, projected_heads) values ($1, $2, $3, $4, $5, $6, 0, '', '', '')",
        )
        .bind(id)
        .bind(key.kind.word())
        .bind(key.unit.to_string())
        .bind(&key.name)
        .bind(wrapped)
        .bind(at_ms)
        .execute(&mut **tx)
        .await?;
        Ok(Self {
            key: key.clone(),
            vault_key,
            heads: String::new(),
            checked_heads: String::new(),
            size_bytes: 0,
        })
    }

    /// A change's bytes as they lie at rest.
    pub fn close(&self, hash: Sha256, bytes: &[u8]) -> Vec<u8> {
        close(&self.vault_key, hash, bytes)
    }

    /// What [`StoredDocument::close`] closed.
    ///
    /// # Errors
    /// `Decode` if the bytes were changed.
    pub fn open(&self, hash: Sha256, closed: &[u8]) -> Result<Vec<u8>, sqlx::Error> {
        open(&self.vault_key, hash, closed)
    }
}

/// `bytes` of the change `hash` under `key`. A change lies once under its document's key, so its hash makes the nonce.
fn close(key: &VaultKey, hash: Sha256, bytes: &[u8]) -> Vec<u8> {
    vault::seal(key, &nonce(hash), hash.as_bytes(), bytes)
}

/// The change `hash` out of what lies at rest.
///
/// # Errors
/// `Decode` if the bytes were changed.
pub fn open(key: &VaultKey, hash: Sha256, closed: &[u8]) -> Result<Vec<u8>, sqlx::Error> {
    vault::open(key, &nonce(hash), hash.as_bytes(), closed)
        .map_err(|_| damaged("a change at rest was changed"))
}

fn nonce(hash: Sha256) -> [u8; 24] {
    let mut nonce = [0; 24];
    nonce.copy_from_slice(&hash.as_bytes()[..24]);
    nonce
}

/// Hashes out of a row's text.
pub fn parse_hashes(text: &str) -> Vec<Sha256> {
    text.split_whitespace()
        .filter_map(|hash| hash.parse().ok())
        .collect()
}
