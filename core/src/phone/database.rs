//! The encrypted file: SQLite with SQLCipher, one connection, WAL, `synchronous=FULL`, exclusive.
//!
//! One connection, because SQLite 3.50.4 can damage a WAL that two reset at once; FULL, because *Đã lưu trên máy* must
//! survive a pulled battery. Opening never deletes: what cannot be opened is reported as it is.

use super::error::PhoneError;
use crate::invalid::{Invalid, Rule};
use sqlx::{
    ConnectOptions as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous},
};
use std::path::Path;
use zeroize::Zeroizing;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("src/phone/migrations");

/// Decrypted pages kept in memory, KiB: a list of 5,000 patrols touches 3 MB of them.
const PAGES_KIB: u32 = 8 << 10;
/// Rows that may wait between SQLite's thread and ours: with sqlx's 50 the two wake each other 100 times for a long list.
const ROWS_WAITING: usize = 1_024;

/// The database's name in the phone's folder.
pub(super) const FILE: &str = "kieumau.db";

/// Opens (or makes) the database at `path` under `key` and migrates it.
///
/// # Errors
/// `Invalid` at `key` when the key does not open the file, or the file is no database; at `database` for one that is damaged; at
/// `folder` (`Already`) when another opening has it; `StorageFull`, `Internal`.
pub(super) async fn open(path: &Path, key: &[u8; 32]) -> Result<SqliteConnection, PhoneError> {
    let mut connection = connect(path, key).await?;
    migrate(&mut connection).await?;
    Ok(connection)
}

/// Brings the database to this version's shape.
///
/// # Errors
/// As [`open`].
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), PhoneError> {
    MIGRATIONS
        .run_direct(None, connection, false)
        .await
        .map_err(|error| match error {
            sqlx::migrate::MigrateError::Execute(error) => not_opened(error),
            other => PhoneError::internal(other),
        })
}

/// Opens (or makes) the database at `path` under `key` as it is.
///
/// # Errors
/// As [`open`].
pub(super) async fn connect(path: &Path, key: &[u8; 32]) -> Result<SqliteConnection, PhoneError> {
    let raw_key = Zeroizing::new(format!("\"x'{}'\"", hex::encode(key)));
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .pragma("key", raw_key.to_string())
        .locking_mode(SqliteLockingMode::Exclusive)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .row_buffer_size(ROWS_WAITING)
        .pragma("cache_size", format!("-{PAGES_KIB}"));
    options.connect().await.map_err(not_opened)
}

fn not_opened(error: sqlx::Error) -> PhoneError {
    match &error {
        // SQLITE_NOTADB: what SQLCipher says to a wrong key.
        sqlx::Error::Database(database) if database.code().as_deref() == Some("26") => {
            PhoneError::Invalid(Invalid::new("key", Rule::Unreadable))
        }
        // SQLITE_BUSY, after the time that SQLite waits for one that is closing.
        sqlx::Error::Database(database) if database.code().as_deref() == Some("5") => {
            PhoneError::Invalid(Invalid::new("folder", Rule::Already))
        }
        _ => error.into(),
    }
}

/// Whether a database could not be opened because another connection has it.
pub(super) fn is_in_use(error: &PhoneError) -> bool {
    matches!(error, PhoneError::Invalid(invalid) if *invalid == Invalid::new("folder", Rule::Already))
}
