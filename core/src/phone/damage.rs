//! Damage to the database: found out at the opening, kept as it was found, mended where the log's chain alone is broken, and said.
//!
//! A database that counts less than its mark (`mark.rs`) lost the end of its log. What is left is whole as far as it goes, so the
//! phone goes on with it; the log is set aside first, for SQLite writes over it. A database that cannot be read is opened by
//! `salvage` alone, because the officer should know. Nothing here deletes: what is set aside is the operator's to look at.

use super::{
    Phone, chain,
    database::{self, FILE},
    disk,
    error::PhoneError,
    mark::Mark,
    salvage,
};
use crate::{
    id::DocumentId,
    invalid::{Invalid, Rule},
};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
};

/// Where damaged files lie, in the phone's folder.
pub(super) const FOLDER: &str = "damaged";
/// The log's name.
pub(super) const LOG: &str = "kieumau.db-wal";
/// The log as it was found, until what became of it is written down. As long as it lies here, the next opening begins again with it.
pub(super) const FOUND: &str = "kieumau.db.found-log";
/// The database with its short log, while the mended one is tried.
pub(super) const SHORT: &str = "kieumau.db.short";

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

/// Opens the database in `folder` (or makes it) with its mark; a log that lost its end is kept, mended if that is possible, and
/// written down as damage. Whatever ends that early, the next opening begins it again from what was found.
///
/// # Errors
/// As [`Phone::open`].
pub(super) async fn open(
    folder: &Path,
    key: &[u8; 32],
    now_ms: i64,
) -> Result<(SqliteConnection, Mark), PhoneError> {
    fs::create_dir_all(folder)?;
    take_up(folder)?;
    keep_broken_log(folder)?;
    let path = folder.join(FILE);
    let mut connection = database::connect(&path, key)
        .await
        .map_err(|error| known_key(error, folder, key))?;
    let counted = counted(&mut connection, folder, key).await;
    let (mut connection, (mark, marked, held)) = database::or_close(connection, counted).await?;
    if held >= marked {
        let migrated = async {
            let migrated = database::migrate(&mut connection).await;
            migrated.map_err(|error| known_key(error, folder, key))?;
            // What lies behind the break was never said to be saved. Were it here again after the battery went, a later break would not
            // be kept.
            disk::remove_if_there(&folder.join(FOUND))?;
            Ok::<_, PhoneError>(disk::sync_folder(folder)?)
        }
        .await;
        let (connection, ()) = database::or_close(connection, migrated).await?;
        return Ok((connection, mark));
    }
    let mut lost = marked - held;
    let (whole, found) =
        database::or_close(connection, disk::is_there(&folder.join(FOUND))).await?;
    connection = whole;
    if found {
        connection.close().await?;
        let mended;
        (connection, mended) = mend(folder, key, marked).await?;
        if mended {
            lost = 0;
        }
    }
    let lost = u32::try_from(lost).unwrap_or(u32::MAX);
    let said = said(&mut connection, folder, marked, lost, now_ms).await;
    let (connection, ()) = database::or_close(connection, said).await?;
    Ok((connection, mark))
}

/// The mark, how much it counts, and how much the database does.
async fn counted(
    connection: &mut SqliteConnection,
    folder: &Path,
    key: &[u8; 32],
) -> Result<(Mark, u64, u64), PhoneError> {
    let (mark, marked) = Mark::open(folder, key)?;
    Ok((
        mark,
        marked.unwrap_or_default(),
        recorded(connection).await?,
    ))
}

/// Writes the damage down. With the found log among the damaged ones it is done: before that the next opening takes the short database
/// back and mends anew.
async fn said(
    connection: &mut SqliteConnection,
    folder: &Path,
    marked: u64,
    lost: u32,
    now_ms: i64,
) -> Result<(), PhoneError> {
    database::migrate(connection).await?;
    let damage = Damage {
        found_at_ms: now_ms,
        set_aside: new_folder(folder)?,
        lost_records: Some(lost),
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
    let found = folder.join(FOUND);
    if disk::is_there(&found)? {
        disk::rename(&found, &damage.set_aside.join(LOG))?;
        disk::sync_folder(&damage.set_aside)?;
        disk::sync_folder(folder)?;
        disk::remove_if_there(&folder.join(SHORT))?;
        disk::sync_folder(folder)?;
    }
    Ok(())
}

/// Keeps a log whose chain is broken as it is, before SQLite opens it: that closes over what lies behind the break, or writes there.
pub(super) fn keep_broken_log(folder: &Path) -> io::Result<()> {
    let (log, found) = (folder.join(LOG), folder.join(FOUND));
    if disk::is_there(&found)? || !disk::is_there(&log)? {
        return Ok(());
    }
    // A phone that was closed just now takes it away, at any moment of this.
    let (Some(mut from), Some(again)) = (if_there(&log)?, if_there(&log)?) else {
        return Ok(());
    };
    if chain::holds(&mut from, again)? {
        return Ok(());
    }
    match disk::copy_whole(&log, &found) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        copied => copied.and_then(|()| disk::sync_folder(folder)),
    }
}

fn if_there(file: &Path) -> io::Result<Option<BufReader<File>>> {
    match File::open(file) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes up what was broken off: a salvage that was whole is put in its place; of a mending the short database is taken back, to begin
/// again with the log as it was found.
pub(super) fn take_up(folder: &Path) -> io::Result<()> {
    if disk::is_there(&folder.join(salvage::NEW))? {
        return salvage::put_in_place(folder);
    }
    let short = folder.join(SHORT);
    if !short.try_exists()? {
        return Ok(());
    }
    if disk::is_there(&folder.join(FOUND))? {
        disk::remove_if_there(&folder.join(LOG))?;
        disk::copy_whole(&short, &folder.join(FILE))?;
    } else {
        disk::remove_if_there(&short)?;
    }
    disk::sync_folder(folder)
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

/// How much the database counts; nothing if it does not count yet.
async fn recorded(connection: &mut SqliteConnection) -> Result<u64, PhoneError> {
    let counts = sqlx::query("select 1 from sqlite_master where name = 'recorded'")
        .fetch_optional(&mut *connection)
        .await?;
    if counts.is_none() {
        return Ok(0);
    }
    let row = sqlx::query("select count from recorded")
        .fetch_one(connection)
        .await?;
    Ok(row.get::<i64, _>(0).unsigned_abs())
}

/// Opens the database with the found log mended, and true; or the short one if that does not bring back everything whole.
///
/// # Errors
/// `Invalid` at `database` when neither is whole: a salvage reads both.
async fn mend(
    folder: &Path,
    key: &[u8; 32],
    marked: u64,
) -> Result<(SqliteConnection, bool), PhoneError> {
    let (path, short, log) = (folder.join(FILE), folder.join(SHORT), folder.join(LOG));
    if disk::is_there(&log)? {
        // SQLite could not write into the database what the log holds.
        return Err(PhoneError::StorageFull);
    }
    if !short.try_exists()? {
        disk::copy_whole(&path, &short)?;
        disk::sync_folder(folder)?;
    }
    let mut found = BufReader::new(File::open(folder.join(FOUND))?);
    let mut mends = false;
    disk::write_whole(&log, |log| {
        let mut log = BufWriter::new(log);
        mends = chain::mend(&mut found, &mut log)?;
        log.flush()
    })?;
    if mends && let Some(connection) = whole(&path, key, marked).await? {
        return Ok((connection, true));
    }
    take_up(folder)?;
    match whole(&path, key, 0).await? {
        Some(connection) => Ok((connection, false)),
        None => Err(Invalid::new("database", Rule::Unreadable).into()),
    }
}

/// The database, if every page of it holds and it counts as much as its mark.
async fn whole(
    path: &Path,
    key: &[u8; 32],
    marked: u64,
) -> Result<Option<SqliteConnection>, PhoneError> {
    let Ok(mut connection) = database::connect(path, key).await else {
        return Ok(None);
    };
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
        return Ok(Some(connection));
    }
    connection.close().await.ok();
    match looked {
        // That says nothing about the log: with room it is tried again.
        Err(PhoneError::StorageFull) => Err(PhoneError::StorageFull),
        _ => Ok(None),
    }
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

#[cfg(test)]
mod tests;
