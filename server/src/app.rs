//! What every handler shares: the database, the keys, and nothing that another server process would have to know.

use crate::{
    attachment::{self, objects::Objects},
    checker::Checker,
    clock,
    committer::Committer,
    database::{self, Database},
    keys::Keys,
    ledger,
    live::Live,
    sync::room::Room,
    vault::Vault,
    worker::Workers,
};
use kieumau_core::{hash::Sha256, log::head::Epoch};
use std::{
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where the server keeps things and how it is reached.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of SQLite, the master key and attachments.
    pub data: PathBuf,
    /// `postgres://…`, or none for SQLite in `data`.
    pub database_url: Option<String>,
    /// `s3://BUCKET/PREFIX` for attachments, or none for a folder in `data`.
    pub attachments_url: Option<String>,
    /// The address in enrolment codes: `https://10.0.0.5:8443`.
    pub public_url: String,
    /// The TLS keys that phones are to trust, the present one first; none on loopback.
    pub pins: Vec<Sha256>,
}

/// Makes the data folder. Whoever else has an account on the machine reads nothing here.
///
/// # Errors
/// What the disk says.
pub fn make_folder(data: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
}

/// Shared by all handlers; cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// How it was started.
    pub config: Arc<Config>,
    /// Rows.
    pub database: Database,
    /// Sealed files.
    pub objects: Objects,
    /// Wraps keys at rest.
    pub vault: Arc<Vault>,
    /// Signs.
    pub keys: Arc<Keys>,
    /// Stores what phones push.
    pub committer: Committer,
    /// Lets through what makes sense.
    pub checker: Checker,
    /// Reads what changes say.
    pub workers: Workers,
    /// Says that a feed grew.
    pub live: Live,
    /// Bounds how many large answers are built at once.
    pub room: Room,
    /// Bounds how many dossiers are made at once, beside that: no page keeps a phone waiting.
    pub dossiers: Room,
    /// Drawn at the start of this process: the server's actor never goes on from another process' sequence numbers.
    pub opening: [u8; 8],
}

/// Dossiers that are made at once: each may hold all that a unit wrote in a year.
const DOSSIERS_AT_ONCE: usize = 2;

/// Why the server did not open.
pub type OpenError = Box<dyn std::error::Error + Send + Sync>;

/// A command was given data on which no server ever ran: a folder, or a database beside its folder.
#[derive(Debug, thiserror::Error)]
#[error("no server ever ran on {0}")]
pub struct NoServer(pub String);

impl App {
    /// Opens what a server was started on before. Administration uses this: a mistyped folder must not become a second server.
    ///
    /// # Errors
    /// [`NoServer`]; what the disk or the database says.
    pub async fn reopen(config: Config) -> Result<Self, OpenError> {
        if !Self::is_begun(&config).await? {
            let url = config.database_url.as_deref();
            let beside = url.map_or("", |_| " + DATABASE_URL");
            let what = format!("{}{beside}", config.data.display());
            return Err(NoServer(what).into());
        }
        Self::open(config).await
    }

    /// Whether a server was ever started on this data. Makes nothing.
    ///
    /// # Errors
    /// What the database says.
    pub async fn is_begun(config: &Config) -> Result<bool, OpenError> {
        let url = config.database_url.as_deref();
        Ok(config.data.is_dir() && database::was_served(url, &config.data).await?)
    }

    /// Opens everything under `config.data`, and begins the log if there is none.
    ///
    /// # Errors
    /// What the disk or the database says.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        make_folder(&config.data)?;
        let folder = config.data.join("attachments");
        let objects = Objects::open(config.attachments_url.as_deref(), folder)?;
        let database = Database::open(config.database_url.as_deref(), &config.data).await?;
        let vault = Vault::open(&config.data, !Keys::are_made(&database).await?)?;
        let keys = Keys::open(&database, &vault).await?;
        let mut tx = database.begin().await?;
        let epoch = Epoch(rand::random());
        ledger::begin(&mut tx, epoch, keys.purposes(), clock::now_ms()).await?;
        tx.commit().await?;
        Ok(Self {
            config: Arc::new(config),
            database,
            objects,
            vault: Arc::new(vault),
            keys: Arc::new(keys),
            committer: Committer::default(),
            checker: Checker::default(),
            workers: Workers::new(std::env::current_exe()?),
            live: Live::default(),
            room: Room::default(),
            dossiers: Room::of(DOSSIERS_AT_ONCE),
            opening: rand::random(),
        })
    }

    /// Starts the tasks that work for as long as the server runs.
    pub fn start(&self) {
        let committing = tokio::spawn(self.committer.clone().run(self.clone()));
        let checking = tokio::spawn(self.checker.clone().run(self.clone()));
        tokio::spawn(sweep(self.clone()));
        tokio::spawn(self.live.clone().run(self.clone()));
        // A server whose committer or checker is gone only looks alive: it ends, and whoever started it starts it again.
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = committing => ended,
                ended = checking => ended,
            };
            tracing::error!(
                panicked = ended.is_err(),
                "a task that the server lives by has ended"
            );
            std::process::exit(70);
        });
    }
}

/// How often uploads that expired are taken away.
const SWEEP: std::time::Duration = std::time::Duration::from_secs(3_600);

/// Takes expired uploads away, at the start and every hour.
async fn sweep(app: App) {
    let mut tick = tokio::time::interval(SWEEP);
    loop {
        tick.tick().await;
        match attachment::finish::sweep(&app, clock::now_ms()).await {
            Ok(swept) => tracing::info!(
                expired = swept.expired,
                strays = swept.strays,
                "uploads swept"
            ),
            Err(error) => {
                tracing::error!(cause = %error, "uploads could not be swept; it is tried again in an hour")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_mistyped_folder_does_not_become_a_second_server() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = |data: &str| Config {
            data: folder.path().join(data),
            database_url: None,
            attachments_url: None,
            public_url: String::new(),
            pins: Vec::new(),
        };
        drop(App::open(config("data")).await.expect("the first start"));
        std::fs::create_dir(folder.path().join("empty")).expect("a folder");
        std::fs::create_dir(folder.path().join("bare")).expect("a folder");
        // A database without a server: nobody ever migrated it.
        std::fs::write(folder.path().join("bare/kieumau.db"), b"").expect("a file");
        for mistyped in ["dta", "empty", "bare"] {
            let refused = App::reopen(config(mistyped)).await.expect_err("no server");
            assert!(refused.is::<NoServer>(), "{mistyped}: {refused}");
        }
        assert!(!folder.path().join("dta").exists());
        let left = std::fs::read_dir(folder.path().join("empty")).expect("a folder");
        assert_eq!(left.count(), 0);
        App::reopen(config("data")).await.expect("reopens");
        // The twin: what opens without asking makes a server of it.
        App::open(config("dta")).await.expect("opens");
        assert!(folder.path().join("dta/master.key").exists());
    }

    #[tokio::test]
    async fn a_server_that_lost_its_master_key_does_not_open_and_makes_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config {
            data: folder.path().join("data"),
            database_url: None,
            attachments_url: None,
            public_url: String::new(),
            pins: Vec::new(),
        };
        drop(App::open(config.clone()).await.expect("the first start"));
        let key = config.data.join("master.key");
        let kept = std::fs::read(&key).expect("a key");
        std::fs::remove_file(&key).expect("lost");
        assert!(App::open(config.clone()).await.is_err());
        assert!(!key.exists());
        // The twin: put back from its backup, it opens.
        std::fs::write(&key, kept).expect("put back");
        App::open(config).await.expect("opens");
    }
}
