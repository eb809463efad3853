//! Damage to the database: found out at the opening, kept as it was found, mended where the log's chain alone is broken, and said.
//!
//! A database that counts less than its mark (`mark.rs`) lost the end of its log. What is left is whole as far as it goes, so the
//! phone goes on with it; the log is set aside first, for SQLite writes over it. A database that cannot be read is opened by
//! `salvage` alone, because the officer should know. Nothing here deletes: what is set aside is the operator's to look at.

use super::{
    Phone, chain,
    database::{self, FILE},
    error::PhoneError,
    mark::Mark,
};
use crate::{
    id::DocumentId,
    invalid::{Invalid, Rule},
};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// Where damaged files lie, in the phone's folder.
pub(super) const FOLDER: &str = "damaged";
/// The log's name.
pub(super) const LOG: &str = "kieumau.db-wal";
/// The database with its short log, while the mended one is tried. It has the name only once it is whole.
const SHORT: &str = "kieumau.db.short";
/// The longest log that is read before the opening: it is some 4 MB in use, and one that grew has other troubles.
const LOG_LIMIT_BYTES: u64 = 64 << 20;

/// Damage that was found in this phone's database, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// When it was found, Unix milliseconds.
    pub found_at_ms: i64,
    /// Where what was found lies as it was.
    pub set_aside: PathBuf,
    /// Changes and fixes that were acknowledged as saved and are gone; none when nobody can tell.
    pub lost_records: Option<u32>,
    /// Documents of which something could not be read. What the server has of them comes with the next sync.
    pub lacking: Vec<DocumentId>,
    /// The phone no longer knows who it is: it has to be enrolled anew.
    pub identity_lost: bool,
}

impl Damage {
    pub(super) async fn save(
        &self,
        connection: &mut SqliteConnection,
        folder: &Path,
    ) -> Result<(), sqlx::Error> {
        let inside = self.set_aside.strip_prefix(folder);
        let lacking: Vec<String> = self.lacking.iter().map(DocumentId::to_string).collect();
        sqlx::query(
            "insert into damage (found_at_ms, folder, lost_records, lacking, identity_lost) values ($1, $2, $3, $4, $5)",
        )
        .bind(self.found_at_ms)
        .bind(inside.unwrap_or(&self.set_aside).to_string_lossy().into_owned())
        .bind(self.lost_records)
        .bind(lacking.join(" "))
        .bind(self.identity_lost)
        .execute(connection)
        .await?;
        Ok(())
    }
}

impl Phone {
    /// Damage that was ever found in this phone's database, oldest first. Empty is what an officer hopes for.
    ///
    /// # Errors
    /// `Internal` when the database fails.
    pub async fn damages(&self) -> Result<Vec<Damage>, PhoneError> {
        let mut store = self.store().await;
        let rows = sqlx::query(
            "select found_at_ms, folder, lost_records, lacking, identity_lost from damage order by damage_id",
        )
        .fetch_all(&mut store.connection)
        .await?;
        let damage = |row: &sqlx::sqlite::SqliteRow| Damage {
            found_at_ms: row.get(0),
            set_aside: self.config.folder.join(row.get::<&str, _>(1)),
            lost_records: row.get(2),
            lacking: row
                .get::<&str, _>(3)
                .split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect(),
            identity_lost: row.get(4),
        };
        Ok(rows.iter().map(damage).collect())
    }
}

/// Opens the database in `folder` (or makes it) with its mark; a log that lost its end is set aside, mended if that is possible,
/// and written down as damage.
///
/// # Errors
/// As [`Phone::open`].
pub(super) async fn open(
    folder: &Path,
    key: &[u8; 32],
    now_ms: i64,
) -> Result<(SqliteConnection, Mark), PhoneError> {
    fs::create_dir_all(folder)?;
    let path = folder.join(FILE);
    not_half_mended(folder)?;
    let log = log_before(folder)?;
    let mut connection = database::open(&path, key)
        .await
        .map_err(|error| known_key(error, folder, key))?;
    let (mark, marked) = Mark::open(folder, key)?;
    let marked = marked.unwrap_or_default();
    let held = recorded(&mut connection).await?;
    if held >= marked {
        return Ok((connection, mark));
    }
    let set_aside = new_folder(folder)?;
    if let Some(log) = &log {
        write_whole(&set_aside.join(LOG), log)?;
    }
    let mut lost = marked - held;
    if let Some(mended) = log.as_deref().and_then(chain::mended) {
        connection.close().await?;
        if let Some(with) = mend(folder, key, &mended, marked).await? {
            lost = 0;
            connection = with;
        } else {
            connection = database::open(&path, key).await?;
        }
    }
    let damage = Damage {
        found_at_ms: now_ms,
        set_aside,
        lost_records: Some(u32::try_from(lost).unwrap_or(u32::MAX)),
        lacking: Vec::new(),
        identity_lost: false,
    };
    let mut tx = connection.begin().await?;
    damage.save(&mut tx, folder).await?;
    // So that it is found once.
    sqlx::query("update recorded set count = max(count, $1)")
        .bind(marked.cast_signed())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok((connection, mark))
}

/// A key that wrote the mark is the right one: then it is the database that is damaged.
pub(super) fn known_key(error: PhoneError, folder: &Path, key: &[u8; 32]) -> PhoneError {
    match error {
        PhoneError::Invalid(invalid) if invalid.field == "key" && Mark::knows(folder, key) => {
            PhoneError::Invalid(Invalid::new("database", Rule::Unreadable))
        }
        other => other,
    }
}

/// The log as it lies there, before SQLite writes over it; none when the phone was closed in peace.
fn log_before(folder: &Path) -> Result<Option<Vec<u8>>, PhoneError> {
    let path = folder.join(LOG);
    match fs::metadata(&path) {
        Ok(log) if log.len() > 0 && log.len() <= LOG_LIMIT_BYTES => Ok(Some(fs::read(path)?)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(None),
    }
}

async fn recorded(connection: &mut SqliteConnection) -> Result<u64, PhoneError> {
    let row = sqlx::query("select count from recorded")
        .fetch_one(connection)
        .await?;
    Ok(row.get::<i64, _>(0).unsigned_abs())
}

/// Opens the database with the mended log. None, and all is as before, if that does not bring back everything whole.
async fn mend(
    folder: &Path,
    key: &[u8; 32],
    mended: &[u8],
    marked: u64,
) -> Result<Option<SqliteConnection>, PhoneError> {
    let path = folder.join(FILE);
    let short = folder.join(SHORT);
    copy_whole(&path, &short)?;
    write_whole(&folder.join(LOG), mended)?;
    match whole(&path, key, marked).await {
        Ok(connection) => {
            fs::remove_file(&short)?;
            // Before anything is recorded: if the name came back after a power cut, the next opening would take the old database back.
            sync_folder(folder)?;
            Ok(Some(connection))
        }
        Err(_) => {
            not_half_mended(folder)?;
            Ok(None)
        }
    }
}

/// Takes the database back as it was before a mending that did not end well. The log as it was found is set aside.
fn not_half_mended(folder: &Path) -> io::Result<()> {
    let short = folder.join(SHORT);
    if short.try_exists()? {
        remove_if_there(&folder.join(LOG))?;
        fs::rename(&short, folder.join(FILE))?;
        sync_folder(folder)?;
    }
    Ok(())
}

/// The database, if every page of it holds and it counts as much as its mark.
async fn whole(path: &Path, key: &[u8; 32], marked: u64) -> Result<SqliteConnection, PhoneError> {
    let mut connection = database::connect(path, key).await?;
    let looked = async {
        // Into the file first: SQLCipher looks at the pages that lie there.
        for look in [
            "pragma wal_checkpoint(truncate)",
            "pragma cipher_integrity_check",
        ] {
            let rows = sqlx::query(sqlx::AssertSqlSafe(look))
                .fetch_all(&mut connection)
                .await?;
            if look.contains("integrity") && !rows.is_empty() {
                return Ok(false);
            }
        }
        let row = sqlx::query("pragma quick_check(1)")
            .fetch_one(&mut connection)
            .await?;
        Ok::<_, PhoneError>(
            row.get::<&str, _>(0) == "ok" && recorded(&mut connection).await? >= marked,
        )
    }
    .await;
    if matches!(looked, Ok(true)) {
        return Ok(connection);
    }
    connection.close().await.ok();
    Err(PhoneError::internal("the mended log does not help"))
}

/// A folder of its own among the damaged ones.
pub(super) fn new_folder(folder: &Path) -> Result<PathBuf, PhoneError> {
    let damaged = folder.join(FOLDER);
    fs::create_dir_all(&damaged)?;
    for number in 1.. {
        let own = damaged.join(format!("{number:03}"));
        match fs::create_dir(&own) {
            Ok(()) => return Ok(own),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(PhoneError::internal("numbers ended"))
}

/// Copies a file so that the copy has its name only once it is whole on the disk.
pub(super) fn copy_whole(from: &Path, to: &Path) -> io::Result<()> {
    let part = to.with_extension("part");
    fs::copy(from, &part)?;
    File::open(&part)?.sync_all()?;
    fs::rename(&part, to)
}

/// Writes a file and waits for the disk.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)?;
    File::open(path)?.sync_all()
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
