//! The server's own keys, one per purpose, wrapped by the master key in the database so that several server processes share
//! them. Those it signs with are Ed25519, the one that phones encipher rescue files to is X25519. Made at the first start and never replaced: phones hold their fingerprints.

use crate::{
    clock,
    database::Database,
    vault::{Key, Vault},
};
use ed25519_dalek::SigningKey;
use kieumau_core::{log::leaf::KeyPurpose, rescue::sealed::RescueKey};
use sqlx::Row as _;

/// Every key the server has.
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
    /// Opens rescue files.
    pub rescue: RescueKey,
}

impl Keys {
    /// The purposes, by the word in the table.
    pub const PURPOSES: [&str; 5] = ["log", "receipt", "seal", "token", "rescue"];

    /// Whether this database has keys already: it was sealed under a master key.
    ///
    /// # Errors
    /// What the database says.
    pub async fn are_made(database: &Database) -> Result<bool, sqlx::Error> {
        let made: i64 = sqlx::query("select count(*) from server_key")
            .fetch_one(&database.read)
            .await?
            .get(0);
        Ok(made > 0)
    }

    /// The public keys that the log names.
    pub fn purposes(&self) -> [(KeyPurpose, [u8; 32]); 4] {
        [
            (KeyPurpose::Log, self.log.verifying_key().to_bytes()),
            (KeyPurpose::Receipt, self.receipt.verifying_key().to_bytes()),
            (KeyPurpose::Seal, self.seal.verifying_key().to_bytes()),
            (KeyPurpose::Rescue, self.rescue.public()),
        ]
    }

    /// Loads the keys, making those that are missing.
    ///
    /// # Errors
    /// What the database says; `Decode` if a key does not open under this master key.
    pub async fn open(database: &Database, vault: &Vault) -> Result<Self, sqlx::Error> {
        let mut tx = database.begin().await?;
        for purpose in Self::PURPOSES {
            let mut secret = zeroize::Zeroizing::new([0; 32]);
            rand::fill(secret.as_mut_slice());
            sqlx::query(
                "insert into server_key (purpose, public_key, wrapped_private_key, created_at_ms) \
                 values ($1, $2, $3, $4) on conflict do nothing",
            )
            .bind(purpose)
            .bind(public_key(purpose, &secret).to_vec())
            .bind(vault.wrap(purpose, secret.as_ref()))
            .bind(clock::now_ms())
            .execute(&mut *tx)
            .await?;
        }
        let mut secrets = Vec::with_capacity(Self::PURPOSES.len());
        for purpose in Self::PURPOSES {
            let row = sqlx::query("select wrapped_private_key from server_key where purpose = $1")
                .bind(purpose)
                .fetch_one(&mut *tx)
                .await?;
            let secret = vault
                .key(purpose, &row.get::<Vec<u8>, _>(0))
                .map_err(|sealed| sqlx::Error::Decode(Box::new(sealed)))?;
            secrets.push(secret);
        }
        tx.commit().await?;
        let [log, receipt, seal, token, rescue]: [Key; 5] =
            secrets.try_into().expect("one key per purpose");
        Ok(Self {
            log: SigningKey::from_bytes(&log),
            receipt: SigningKey::from_bytes(&receipt),
            seal: SigningKey::from_bytes(&seal),
            token: SigningKey::from_bytes(&token),
            rescue: RescueKey::from_bytes(&rescue),
        })
    }
}

/// What is told of the key of these secret bytes.
fn public_key(purpose: &str, secret: &Key) -> [u8; 32] {
    match purpose {
        "rescue" => RescueKey::from_bytes(secret).public(),
        _ => SigningKey::from_bytes(secret).verifying_key().to_bytes(),
    }
}
