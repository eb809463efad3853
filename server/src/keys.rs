//! The server's own signing keys (Ed25519), one per purpose, wrapped by the master key in the database so that several
//! server processes share them. Made at the first start and never replaced: phones hold their fingerprints.

use crate::{clock, database::Database, vault::Vault};
use ed25519_dalek::SigningKey;
use sqlx::Row as _;

/// Every key the server signs with.
#[derive(Debug)]
pub struct Keys {
    /// Signs tree heads.
    pub log: SigningKey,
    /// Signs receipts.
    pub receipt: SigningKey,
    /// Seals the server's own changes.
    pub seal: SigningKey,
    /// Signs access tokens.
    pub token: SigningKey,
}

impl Keys {
    /// The purposes, by the word in the table.
    pub const PURPOSES: [&str; 4] = ["log", "receipt", "seal", "token"];

    /// Loads the keys, making those that are missing.
    ///
    /// # Errors
    /// What the database says; `Decode` if a key does not open under this master key.
    pub async fn open(database: &Database, vault: &Vault) -> Result<Self, sqlx::Error> {
        let mut tx = database.begin().await?;
        for purpose in Self::PURPOSES {
            let mut secret = zeroize::Zeroizing::new([0; 32]);
            rand::fill(secret.as_mut_slice());
            let key = SigningKey::from_bytes(&secret);
            sqlx::query(
                "insert into server_key (purpose, public_key, wrapped_private_key, created_at_ms) \
                 values ($1, $2, $3, $4) on conflict do nothing",
            )
            .bind(purpose)
            .bind(key.verifying_key().to_bytes().to_vec())
            .bind(vault.wrap(purpose, secret.as_ref()))
            .bind(clock::now_ms())
            .execute(&mut *tx)
            .await?;
        }
        let mut keys = Vec::with_capacity(Self::PURPOSES.len());
        for purpose in Self::PURPOSES {
            let row = sqlx::query("select wrapped_private_key from server_key where purpose = $1")
                .bind(purpose)
                .fetch_one(&mut *tx)
                .await?;
            let secret = vault
                .key(purpose, &row.get::<Vec<u8>, _>(0))
                .map_err(|sealed| sqlx::Error::Decode(Box::new(sealed)))?;
            keys.push(SigningKey::from_bytes(&secret));
        }
        tx.commit().await?;
        let [log, receipt, seal, token] = keys.try_into().expect("one key per purpose");
        Ok(Self {
            log,
            receipt,
            seal,
            token,
        })
    }
}
