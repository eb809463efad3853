//! The encrypted file: SQLite with SQLCipher, one connection, WAL, `synchronous=FULL`, exclusive.
//!
//! One connection, because SQLite 3.50.4 can damage a WAL that two reset at once; FULL, because *Đã lưu trên máy* must
//! survive a pulled battery. Opening never deletes: what cannot be opened is reported as it is.

use super::error::PhoneError;
use crate::invalid::{Invalid, Rule};
use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteLockingMode},
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
    let migrated = migrate(&mut connection).await;
    or_close(connection, migrated)
        .await
        .map(|(connection, ())| connection)
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
/// As [`open`]. The file is closed then.
pub(super) async fn connect(path: &Path, key: &[u8; 32]) -> Result<SqliteConnection, PhoneError> {
    let raw_key = Zeroizing::new(format!("\"x'{}'\"", hex::encode(key)));
    // Only what touches no file: a connection that sqlx lets go of for an error is closed some time later, in a thread of its own, and
    // takes the log away under whoever copies it by then.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .pragma("key", raw_key.to_string())
        .locking_mode(SqliteLockingMode::Exclusive)
        .foreign_keys(true)
        .row_buffer_size(ROWS_WAITING);
    let mut connection = options.connect().await.map_err(not_opened)?;
    let pragmas = format!(
        "pragma journal_mode = wal; pragma synchronous = full; pragma cache_size = -{PAGES_KIB}"
    );
    let set = sqlx::raw_sql(sqlx::AssertSqlSafe(pragmas))
        .execute(&mut connection)
        .await
        .map_err(not_opened);
    or_close(connection, set)
        .await
        .map(|(connection, _)| connection)
}

/// The connection with what was got by it; after an error it is closed when this returns: files are moved then.
///
/// # Errors
/// That of `got`.
pub(super) async fn or_close<T, E>(
    connection: SqliteConnection,
    got: Result<T, E>,
) -> Result<(SqliteConnection, T), E> {
    match got {
        Ok(got) => Ok((connection, got)),
        Err(error) => {
            connection.close().await.ok();
            Err(error)
        }
    }
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs;

    const TRIES: usize = 200;

    /// Whether this process has a file in `folder` open.
    fn has_open(folder: &Path) -> bool {
        let open = fs::read_dir("/proc/self/fd").expect("Linux");
        open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .any(|path| path.starts_with(folder))
    }

    /// How often a file was still open after a connection that was `refused` by a file that is no database.
    async fn left_open(refused: impl AsyncFn(&Path)) -> usize {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        fs::write(&path, [7; 8_192]).expect("written");
        let mut left = 0;
        for _ in 0..TRIES {
            refused(&path).await;
            left += usize::from(has_open(folder.path()));
        }
        left
    }

    #[tokio::test]
    async fn what_is_refused_is_closed_when_it_is_said() {
        let left = left_open(async |path| {
            let refused = connect(path, &[1; 32]).await;
            assert!(
                matches!(refused, Err(PhoneError::Invalid(_))),
                "{refused:?}"
            );
        });
        assert_eq!(left.await, 0);
        // The twin: let go of, as sqlx does it.
        let left = left_open(async |path| {
            let options = SqliteConnectOptions::new().filename(path);
            let refused = options.pragma("journal_mode", "wal").connect().await;
            assert!(refused.is_err());
        });
        assert_ne!(left.await, 0, "the twin");
    }
}
