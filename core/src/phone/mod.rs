//! The phone's half: everything recorded is a change in an encrypted file first, and reaches the server when it can.
//!
//! [`Phone`] is what the bindings show to an app. Each call that records returns after one SQLite transaction is on the disk;
//! no call that records touches the network. In reading order: `database` opens the file, `store` loads and edits documents
//! (`opened` keeps some in memory, `rows` keeps what lists show), `patrols`, `evidence_files`, `attachments`, `clashes`, `items`, `queue`, `refused` and `retention` are the use cases, `client` talks to the server, `arrivals` keeps what came until it is looked into.

mod alone;
mod apart;
mod arrivals;
mod attachments;
mod chain;
mod clashes;
mod client;
mod damage;
mod database;
mod disk;
mod download;
mod enrolment;
mod error;
mod evidence_files;
mod follow;
mod items;
mod loose;
mod mark;
mod opened;
mod patrols;
mod photo;
mod pinned;
mod preview;
mod published;
mod queue;
mod refusal;
mod refused;
mod rescue;
mod retention;
mod rows;
mod salvage;
mod sealed_file;
mod sign_in;
mod store;
mod sync;
mod tracks;

pub use attachments::{Attached, AttachmentView};
pub use clashes::ClashView;
pub use damage::Damage;
pub use enrolment::Profile;
pub use error::{PhoneError, Unreached};
pub use evidence_files::{EvidenceFileView, EvidenceView};
pub use items::{Decided, Item, ItemState};
pub use patrols::{ObservationView, PatrolSummary, PatrolView};
pub use photo::{PhotoFacts, photo_facts};
pub use queue::{Part, Waiting, Why};
pub use refused::{Refused, WayOut};
pub use rescue::RescueReport;
pub use sync::{Event, Listener, SyncOptions, SyncReport};
pub use tracks::TrackImport;

use crate::{id::PersonId, stamp::Stamp};
use alone::Alone;
use std::{path::PathBuf, sync::Arc};
use store::Store;
use tokio::sync::{Mutex, MutexGuard};
use zeroize::Zeroizing;

/// Tells the time, Unix milliseconds. The app's border gives the system's clock; tests give 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How a phone is opened.
#[derive(Clone)]
pub struct PhoneConfig {
    /// The folder that is this person's on this phone.
    pub folder: PathBuf,
    /// The 32-byte key from the platform's key store.
    pub key: Zeroizing<[u8; 32]>,
    /// The app's version, told to the server.
    pub app_version: String,
    /// The phone's clock.
    pub clock: Clock,
}

impl std::fmt::Debug for PhoneConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PhoneConfig({})", self.app_version)
    }
}

/// One person's records on one phone.
pub struct Phone {
    config: PhoneConfig,
    store: Mutex<Store>,
    syncing: sync::Syncing,
    // Last: the folder is free when the database is closed.
    _alone: Alone,
}

impl std::fmt::Debug for Phone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Phone({:?})", self.config)
    }
}

impl Phone {
    /// Opens the phone's database, or makes it. Never deletes. What it found damaged and could go on with is in [`Phone::damages`].
    ///
    /// # Errors
    /// `Invalid` at `key` for a wrong key, at `database` for a damaged one, which [`Phone::salvage`] opens; `StorageFull`,
    /// `Internal`.
    pub async fn open(config: PhoneConfig) -> Result<Self, PhoneError> {
        let alone = Alone::take(&config.folder).await?;
        Self::open_alone(config, alone).await
    }

    async fn open_alone(config: PhoneConfig, alone: Alone) -> Result<Self, PhoneError> {
        let now_ms = (config.clock)();
        let (mut connection, mark) = damage::open(&config.folder, &config.key, now_ms).await?;
        let swept = async {
            attachments::forget_viewable(&config.folder)?;
            attachments::sweep(&config.folder, &mut connection).await
        }
        .await;
        let (connection, ()) = database::or_close(connection, swept).await?;
        let store = Store::open(connection, &config.app_version, mark).await?;
        Ok(Self {
            config,
            store: Mutex::new(store),
            syncing: sync::Syncing::default(),
            _alone: alone,
        })
    }

    /// Sets a damaged database aside, as it is, and opens a new one with all that can still be read of it. What the server has of the
    /// rest comes with the next sync; what is lost is in [`Phone::damages`].
    ///
    /// # Errors
    /// As [`Phone::open`]; nothing is set aside for a wrong key. `StorageFull` when there is no room beside the damaged one.
    pub async fn salvage(config: PhoneConfig) -> Result<Self, PhoneError> {
        let alone = Alone::take(&config.folder).await?;
        salvage::salvage(&config).await?;
        Self::open_alone(config, alone).await
    }

    /// The one connection. Held over a transaction, never over the network.
    async fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().await
    }

    fn now_ms(&self) -> i64 {
        (self.config.clock)()
    }

    /// The server's time, as far as this phone knows it.
    fn server_ms(&self) -> i64 {
        let skew_ms = self.syncing.skew_ms().unwrap_or_default();
        self.now_ms().saturating_add(skew_ms)
    }

    /// The server said what time it is.
    fn hear_time(&self, server_ms: i64) {
        let skew_ms = server_ms.saturating_sub(self.now_ms());
        self.syncing.set_skew_ms(skew_ms);
    }

    /// By how much the server's clock is ahead of this phone's, milliseconds; none before it told since this phone was opened.
    /// Nothing goes by it but what is shown: order is causal, and signing in asks the server.
    pub fn clock_skew_ms(&self) -> Option<i64> {
        self.syncing.skew_ms()
    }

    fn stamp(&self, by: PersonId) -> Stamp {
        Stamp {
            by,
            at_ms: self.now_ms(),
            random: rand::random(),
        }
    }
}

#[cfg(test)]
mod tests;
