//! A small world for a story: one server, its named people, their phones with a signal each.

use crate::{desk::Desk, server::Server, signal::Signal};
use kieumau_core::{
    hash::Sha256,
    id::DocumentId,
    observation::NewObservation,
    patrol::NewPatrol,
    phone::{ItemState, Phone, PhoneConfig, PhoneError, SyncOptions, SyncReport},
    position::{Fix, Position},
};
use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

/// See the module.
pub struct World {
    /// The server.
    pub server: Server,
    folder: TempDir,
}

/// Somebody's phone in the world.
pub struct Handset {
    phone: Phone,
    /// Its way to the server.
    pub signal: Signal,
    /// Its clock's error, milliseconds.
    pub skew_ms: Arc<AtomicI64>,
    /// Where its data lies.
    pub folder: PathBuf,
}

impl Deref for Handset {
    type Target = Phone;

    fn deref(&self) -> &Phone {
        &self.phone
    }
}

/// The key under which every phone's database of a test lies.
pub const KEY: [u8; 32] = [7; 32];

impl World {
    /// A ward with its people and no patrols yet, on the [`story_database`].
    ///
    /// # Panics
    /// When the server does not start.
    pub async fn new() -> Self {
        Self::on(story_database().await).await
    }

    /// The same on this PostgreSQL database; on SQLite if it is none.
    ///
    /// # Panics
    /// When the server does not start.
    pub async fn on(database_url: Option<String>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(&folder.path().join("server"), database_url, 0).await;
        Self { server, folder }
    }

    /// A phone of the person who signs in so, enrolled.
    ///
    /// # Panics
    /// When it cannot enrol.
    pub async fn phone(&self, sign_in: &str) -> Handset {
        let handset = self
            .new_phone(&format!("phone-{sign_in}-{}", unique()))
            .await;
        let code = self.server.code(sign_in).await;
        handset
            .enrol(&handset.signal.url(), &code.code)
            .await
            .expect("enrols");
        handset
    }

    /// A phone that is not enrolled.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn new_phone(&self, name: &str) -> Handset {
        let folder = self.folder.path().join(name);
        let skew_ms = Arc::new(AtomicI64::new(0));
        let phone = open(&folder, &skew_ms).await;
        Handset {
            phone,
            signal: Signal::new(&self.server.ward.url).await,
            skew_ms,
            folder,
        }
    }

    /// The person who signs in so, at the browser.
    ///
    /// # Panics
    /// When they cannot sign in.
    pub async fn desk(&self, sign_in: &str) -> Desk {
        Desk::sign_in(&self.server.ward.url, self.server.person(sign_in)).await
    }

    /// A file in the world's folder.
    ///
    /// # Panics
    /// When the disk refuses.
    #[must_use]
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    /// The world's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Opens a phone's database in `folder`.
///
/// # Panics
/// When it does not open.
pub async fn open(folder: &Path, skew_ms: &Arc<AtomicI64>) -> Phone {
    open_with(folder, KEY, skew_ms).await
}

/// Opens a phone's database that lies under another key than a test's.
///
/// # Panics
/// When it does not open.
pub async fn open_with(folder: &Path, key: [u8; 32], skew_ms: &Arc<AtomicI64>) -> Phone {
    Phone::open(config(folder, key, skew_ms))
        .await
        .expect("opens")
}

/// Opens a phone's database that may be damaged.
///
/// # Errors
/// What the phone says.
pub async fn try_open(folder: &Path, skew_ms: &Arc<AtomicI64>) -> Result<Phone, PhoneError> {
    Phone::open(config(folder, KEY, skew_ms)).await
}

/// Opens what is left of a phone's damaged database.
///
/// # Errors
/// What the phone says.
pub async fn try_salvage(folder: &Path, skew_ms: &Arc<AtomicI64>) -> Result<Phone, PhoneError> {
    Phone::salvage(config(folder, KEY, skew_ms)).await
}

fn config(folder: &Path, key: [u8; 32], skew_ms: &Arc<AtomicI64>) -> PhoneConfig {
    let skew = Arc::clone(skew_ms);
    PhoneConfig {
        folder: folder.to_owned(),
        key: key.into(),
        app_version: "story".to_owned(),
        clock: Arc::new(move || now_ms() + skew.load(Ordering::Relaxed)),
    }
}

#[expect(clippy::disallowed_methods, reason = "a phone's clock comes in here")]
fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn unique() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What stories run on: a fresh database on the PostgreSQL that `KIEUMAU_TEST_POSTGRES` names when `KIEUMAU_STORY_DATABASE` is
/// `postgres`; else none, which is SQLite.
///
/// # Panics
/// When PostgreSQL cannot be reached.
pub async fn story_database() -> Option<String> {
    match std::env::var("KIEUMAU_STORY_DATABASE").as_deref() {
        Ok("postgres") => Some(fresh_database(&postgres_url()).await),
        _ => None,
    }
}

/// Where PostgreSQL is.
///
/// # Panics
/// When `KIEUMAU_TEST_POSTGRES` does not say it.
#[must_use]
pub fn postgres_url() -> String {
    std::env::var("KIEUMAU_TEST_POSTGRES").expect("KIEUMAU_TEST_POSTGRES says where PostgreSQL is")
}

/// An empty database on the PostgreSQL at `url`; its URL.
///
/// # Panics
/// When it could not be created.
pub async fn fresh_database(url: &str) -> String {
    let name = format!("story_{}", uuid::Uuid::now_v7().simple());
    let created = tokio::process::Command::new("psql")
        .args(["-q", "-d", url, "-c", &format!("create database {name}")])
        .status()
        .await
        .expect("psql starts");
    assert!(
        created.success(),
        "the database {name} could not be created"
    );
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let base = base.rsplit_once('/').map_or(base, |(base, _)| base);
    format!("{base}/{name}?{query}")
}

impl Handset {
    /// Starts a patrol called `title`.
    ///
    /// # Panics
    /// When a rule is broken.
    pub async fn patrol_called(&self, title: &str) -> DocumentId {
        let new = NewPatrol {
            title: title.to_owned(),
            ..NewPatrol::default()
        };
        self.start_patrol(new).await.expect("starts")
    }

    /// Records three cases of urban order with a note.
    ///
    /// # Panics
    /// When a rule is broken.
    pub async fn observe(&self, patrol: DocumentId, note: &str) -> kieumau_core::id::ObservationId {
        let new = NewObservation {
            note: Some(note.to_owned()),
            ..NewObservation::of("urban-order", 3, "case")
        };
        self.add_observation(patrol, new).await.expect("recorded")
    }

    /// Walks `steps` steps of ten metres and ten seconds to the north.
    ///
    /// # Panics
    /// When a fix is refused.
    pub async fn walk(&self, patrol: DocumentId, steps: u32) {
        let start_ms = now_ms();
        for step in 0..steps {
            let position = Position::from_degrees(18.6734 + f64::from(step) * 0.0001, 105.6813)
                .expect("in Vinh");
            let fix = Fix {
                at_ms: start_ms + i64::from(step) * 10_000,
                position,
                accuracy_dm: Some(50),
            };
            assert_eq!(self.add_fix(patrol, fix).await.expect("recorded"), None);
        }
    }

    /// Syncs with the signal as it is.
    ///
    /// # Errors
    /// What the phone says.
    pub async fn try_sync(&self) -> Result<SyncReport, PhoneError> {
        self.sync(SyncOptions {
            tries: 1,
            attachments: true,
            ..SyncOptions::default()
        })
        .await
    }

    /// Syncs.
    ///
    /// # Panics
    /// When it fails.
    pub async fn sync_well(&self) -> SyncReport {
        self.sync(SyncOptions {
            tries: 5,
            attachments: true,
            ..SyncOptions::default()
        })
        .await
        .expect("syncs")
    }

    /// The state of a document's item.
    ///
    /// # Panics
    /// When it is not here.
    pub async fn state(&self, document: DocumentId) -> ItemState {
        let items = self.items(None).await.expect("reads");
        items
            .into_iter()
            .find(|item| item.document == document)
            .expect("it is on this phone")
            .state
    }

    /// Syncs until `document` is in `state`: the server's worker takes its time.
    ///
    /// # Panics
    /// When it does not come about within ten seconds.
    pub async fn sync_until(&self, document: DocumentId, state: ItemState) {
        eventually(&format!("{document} becomes {state:?}"), async || {
            self.sync_well().await;
            let items = self.items(None).await.expect("reads");
            items
                .into_iter()
                .any(|item| item.document == document && item.state == state)
        })
        .await;
    }

    /// Attaches a small picture; its hash.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn photograph(&self, document: DocumentId, item: &str, path: &Path) -> Sha256 {
        self.attach(document, Some(item.to_owned()), path)
            .await
            .expect("attached")
    }
}

/// Asks until it is so; there is no event to wait for across processes.
///
/// # Panics
/// When it is not so within ten seconds.
pub async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "not within ten seconds: {what}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
