//! What can still be read of a damaged database goes into a new one; the damaged one is set aside as it is.
//!
//! A change counts only if its bytes are those of its hash. Documents are built anew from their changes, never from what stood beside
//! them. What stands on a change that is gone is kept apart and comes back when the server sends that change; the feed is read from its
//! beginning. Nothing is lost by dying in between: the damaged files are copied first and stay in their place until the new database is
//! whole, and from then on every opening puts it there.

use super::{
    PhoneConfig,
    apart::keep_apart,
    chain,
    damage::{self, Damage, FOLDER, FOUND, LOG, SHORT, known_key},
    database::{self, FILE},
    disk,
    error::PhoneError,
    loose::{Held, Loose, Table, column, insert},
    mark,
    rows::{self, By},
};
use crate::{
    document::{self, Change, Key, Kind},
    hash::Sha256,
    header,
    id::DocumentId,
};
use sqlx::{Connection as _, Row as _, Sqlite, SqliteConnection, Transaction};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufReader},
    path::{Path, PathBuf},
};

/// Tables that are truth and are copied row by row, and what orders them. Changes and documents are built anew from the rest.
const TRUTH: [(&str, &str); 8] = [
    ("secret", "name"),
    ("profile", "phone_id"),
    ("set_aside", "position"),
    ("seal", "document_id || change_hash"),
    ("fix", "fix_id"),
    ("attachment", "sha256"),
    ("receipt", "document_id"),
    ("damage", "damage_id"),
];
/// Tables that are built anew.
const BUILT: [(&str, &str); 2] = [("document", "document_id"), ("change", "position")];

/// The new database, as soon as it is whole: with this name it is the one that counts.
pub(super) const NEW: &str = "kieumau.db.new";
/// The new database while it is written.
const WRITING: &str = "kieumau.db.writing";

/// Sets the damaged database of this phone aside and lays a new one in its place.
///
/// # Errors
/// `Invalid` at `key` for a wrong key; `StorageFull`; `Internal`. The damaged database is then where it was.
pub(super) async fn salvage(config: &PhoneConfig) -> Result<(), PhoneError> {
    let folder = &config.folder;
    damage::take_up(folder)?;
    damage::keep_broken_log(folder)?;
    // A phone that was closed just now may still be at the files: SQLite waits for it. Without the mark only a database that opens says
    // which key is the right one.
    match database::connect(&folder.join(FILE), &config.key).await {
        Ok(connection) => connection.close().await?,
        Err(PhoneError::StorageFull) => return Err(PhoneError::StorageFull),
        Err(error) if database::is_in_use(&error) => return Err(error),
        Err(error) if !mark::Mark::knows(folder, &config.key) => {
            return Err(known_key(error, folder, &config.key));
        }
        Err(_) => {}
    }
    let aside = folder.join(FOLDER).join("new");
    disk::remove_folder_if_there(&aside)?;
    fs::create_dir_all(&aside)?;
    // Of a mending that was broken off, what was found.
    let found_log = folder.join(FOUND);
    let log = match disk::is_there(&found_log)? {
        true => found_log,
        false => folder.join(LOG),
    };
    for (from, name) in [
        (log, LOG),
        (folder.join(mark::FILE), mark::FILE),
        (folder.join(FILE), FILE),
    ] {
        if from.try_exists()? {
            disk::copy_whole(&from, &aside.join(name))?;
        }
    }
    disk::sync_folder(&aside)?;
    let found = Found::read(&aside, &config.key).await?;
    let set_aside = damage::new_folder(folder)?;
    let writing = folder.join(WRITING);
    disk::remove_if_there(&writing)?;
    disk::remove_if_there(&folder.join(format!("{WRITING}-wal")))?;
    let mut connection = database::open(&writing, &config.key).await?;
    let written = write(&mut connection, config, &found, set_aside.clone()).await;
    let (connection, ()) = database::or_close(connection, written).await?;
    connection.close().await?;
    if disk::is_there(&folder.join(format!("{WRITING}-wal")))? {
        // SQLite could not write all of it into the file.
        return Err(PhoneError::StorageFull);
    }
    disk::rename(&aside, &set_aside)?;
    disk::sync_folder(&folder.join(FOLDER))?;
    disk::rename(&writing, &folder.join(NEW))?;
    disk::sync_folder(folder)?;
    put_in_place(folder)?;
    Ok(())
}

/// Writes what was found into the new database, and the damage, which names where the damaged one is set aside.
async fn write(
    connection: &mut SqliteConnection,
    config: &PhoneConfig,
    found: &Found,
    set_aside: PathBuf,
) -> Result<(), PhoneError> {
    let mut tx = connection.begin().await?;
    let lacking = found.put(&mut tx).await?;
    let damage = Damage {
        found_at_ms: (config.clock)(),
        set_aside,
        lost_records: None,
        lacking,
        identity_lost: !found.knows_itself(),
    };
    damage.save(&mut tx, &config.folder).await?;
    let (_, marked) = mark::Mark::open(&config.folder, &config.key)?;
    sqlx::query("update recorded set count = max(count, $1)")
        .bind(marked.unwrap_or_default().cast_signed())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

/// Puts the new database in the place of the damaged one. What goes is among what was set aside; the name goes last.
pub(super) fn put_in_place(folder: &Path) -> io::Result<()> {
    // Behind the new database the old log would be taken for its own, and the old short database for the one to take back.
    for old in [FOUND, SHORT, LOG] {
        disk::remove_if_there(&folder.join(old))?;
    }
    disk::sync_folder(folder)?;
    disk::rename(&folder.join(NEW), &folder.join(FILE))?;
    disk::sync_folder(folder)
}

/// All that could be read, by table.
#[derive(Default)]
struct Found(BTreeMap<&'static str, Table>);

impl Found {
    /// Reads the damaged database in `aside`: first with its log's chain made good, where one bad frame costs itself and not all after it; then,
    /// if that is not whole, with the log as it is.
    async fn read(aside: &Path, key: &[u8; 32]) -> Result<Self, PhoneError> {
        let mut found = Self::default();
        let reading = aside.join("reading.db");
        let log = aside.join("reading.db-wal");
        let has_log = disk::is_there(&aside.join(LOG))?;
        for mends in [true, false] {
            disk::copy_whole(&aside.join(FILE), &reading)?;
            if has_log {
                disk::write_whole(&log, |log| {
                    let mut from = BufReader::new(File::open(aside.join(LOG))?);
                    if mends {
                        chain::mend(&mut from, log).map(drop)
                    } else {
                        io::copy(&mut from, log).map(drop)
                    }
                })?;
            }
            for (table, by) in TRUTH.into_iter().chain(BUILT) {
                let rows = found.0.entry(table).or_default();
                rows.read(&reading, key, table, by).await?;
            }
            disk::remove_if_there(&reading)?;
            disk::remove_if_there(&log)?;
            if !has_log || found.0.values().all(Table::is_whole) {
                break;
            }
        }
        Ok(found)
    }

    fn rows(&self, table: &str) -> impl Iterator<Item = &Loose> {
        self.0.get(table).into_iter().flat_map(Table::rows)
    }

    fn knows_itself(&self) -> bool {
        let knows = |table| self.rows(table).next().is_some();
        knows("secret") && knows("profile")
    }

    /// Writes it all into the new database. The documents of which something is not there.
    async fn put(&self, tx: &mut Transaction<'_, Sqlite>) -> Result<Vec<DocumentId>, PhoneError> {
        // What hangs on a document is written before it is known which documents there are.
        sqlx::query("pragma defer_foreign_keys = on")
            .execute(&mut **tx)
            .await?;
        for (table, _) in TRUTH {
            for row in self.rows(table) {
                insert(tx, table, row).await?;
            }
        }
        let mut changes: BTreeMap<DocumentId, Vec<(Change, &Loose)>> = BTreeMap::new();
        for row in self.rows("change") {
            if let Some((document, change)) = verified(row) {
                changes.entry(document).or_default().push((change, row));
            }
        }
        let mut lacking = BTreeSet::new();
        for row in self.rows("document") {
            let Some(key) = key_of(row) else { continue };
            let own = changes.remove(&key.document()).unwrap_or_default();
            let heads = column(row, "heads").text().unwrap_or_default();
            if !put_document(tx, &key, row, &own, heads).await? {
                lacking.insert(key.document());
            }
        }
        // Their documents' names are gone: the server tells them again, if it knows them.
        for (document, changes) in changes {
            lacking.insert(document);
            for (change, row) in changes {
                keep_apart(tx, document, &change, is_own(row)).await?;
            }
        }
        // Their fixes are folded when their documents are here again.
        let nameless = sqlx::query(
            "select distinct document_id from fix where document_id not in (select document_id from document)",
        )
        .fetch_all(&mut **tx)
        .await?;
        lacking.extend(
            nameless
                .iter()
                .filter_map(|row| row.get::<&str, _>(0).parse::<DocumentId>().ok()),
        );
        Ok(lacking.into_iter().collect())
    }
}

/// The change in a row, if its bytes are those of its hash.
fn verified(row: &Loose) -> Option<(DocumentId, Change)> {
    let Held::Blob(bytes) = column(row, "bytes") else {
        return None;
    };
    let hash: Sha256 = column(row, "hash").text()?.parse().ok()?;
    let document = column(row, "document_id").text()?.parse().ok()?;
    (header::read(bytes).ok()?.hash == hash).then(|| {
        let bytes = bytes.clone();
        (document, Change { hash, bytes })
    })
}

/// Whether the row is of something that was written here.
fn is_own(row: &Loose) -> bool {
    matches!(column(row, "own"), Held::Integer(1))
}

fn key_of(row: &Loose) -> Option<Key> {
    let kind: Kind = column(row, "kind").text()?.parse().ok()?;
    let unit = column(row, "unit_id").text()?.parse().ok()?;
    let key = Key::parse(kind, unit, column(row, "name").text()?).ok()?;
    // A document's id follows from its key: one that does not is no longer what it was.
    (key.document().to_string() == column(row, "document_id").text()?).then_some(key)
}

/// Builds a document of the changes that are whole; the others are kept apart. Whether nothing is missing.
async fn put_document(
    tx: &mut Transaction<'_, Sqlite>,
    key: &Key,
    row: &Loose,
    changes: &[(Change, &Loose)],
    heads: &str,
) -> Result<bool, PhoneError> {
    let id = key.document();
    let mut document = document::new(key);
    for (change, _) in changes {
        document
            .load_incremental(&change.bytes)
            .map_err(PhoneError::internal)?;
    }
    let stands = |hash: Sha256| document.get_change_meta_by_hash(&hash.into()).is_some();
    let (whole, apart): (Vec<_>, Vec<_>) =
        changes.iter().partition(|(change, _)| stands(change.hash));
    let whole: Vec<&(Change, &Loose)> = whole;
    let pile = whole.iter().map(|(change, _)| change.bytes.as_slice());
    let document = document::load(key, pile)?;
    let by = if is_own(row) { By::Us } else { By::Others };
    let rows = rows::of(key.kind, &document)?;
    rows::put(tx, key, &document::heads(&document), by, &rows).await?;
    if let Held::Integer(ungranted_at_ms) = column(row, "ungranted_at_ms") {
        sqlx::query("update document set ungranted_at_ms = $1 where document_id = $2")
            .bind(ungranted_at_ms)
            .bind(id.to_string())
            .execute(&mut **tx)
            .await?;
    }
    for (_, row) in &whole {
        insert(tx, "change", row).await?;
    }
    for (change, row) in apart {
        keep_apart(tx, id, change, is_own(row)).await?;
    }
    Ok(heads == crate::review::heads_text(&document::heads(&document)))
}

#[cfg(test)]
mod tests;
