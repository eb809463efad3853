//! What every handler shares: the database, the keys, and nothing that another server process would have to know.

use crate::{database::Database, keys::Keys, vault::Vault};
use std::{path::PathBuf, sync::Arc};

/// Where the server keeps things and how it is reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of SQLite, the master key and attachments.
    pub data: PathBuf,
    /// `postgres://…`, or none for SQLite in `data`.
    pub database_url: Option<String>,
    /// The address in enrolment codes: `http://127.0.0.1:8080`.
    pub public_url: String,
}

/// Shared by all handlers; cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// How it was started.
    pub config: Arc<Config>,
    /// Rows.
    pub database: Database,
    /// Wraps keys at rest.
    pub vault: Arc<Vault>,
    /// Signs.
    pub keys: Arc<Keys>,
}

impl App {
    /// Opens everything under `config.data`.
    ///
    /// # Errors
    /// What the disk or the database says.
    pub async fn open(config: Config) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        std::fs::create_dir_all(&config.data)?;
        let vault = Vault::open(&config.data)?;
        let database = Database::open(config.database_url.as_deref(), &config.data).await?;
        let keys = Keys::open(&database, &vault).await?;
        Ok(Self {
            config: Arc::new(config),
            database,
            vault: Arc::new(vault),
            keys: Arc::new(keys),
        })
    }
}
