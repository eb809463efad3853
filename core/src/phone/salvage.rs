//! What can still be read of a damaged database goes into a new one; the damaged one is set aside as it is.
//!
//! Rows are read from both ends of each table, so that one bad page costs what lies on it. A change counts only if its bytes are
//! those of its hash. Documents are built anew from their changes, never from what stood beside them. What stands on a change that is
//! gone is kept apart and comes back when the server sends that change; the feed is read from its beginning. Nothing is
//! lost by dying in between: the damaged files are copied first, and the new database has its name only when it is whole.

use super::{
    PhoneConfig,
    damage::{self, Damage, LOG, copy_whole, known_key, remove_if_there, sync_folder},
    database::{self, FILE},
    error::PhoneError,
    mark,
    refused::LACKING,
    rows::{self, By},
    store::put_change,
};
use crate::{
    document::{self, Change, Key, Kind},
    hash::Sha256,
    header,
    id::DocumentId,
};
use automerge::Automerge;
use sqlx::{
    AssertSqlSafe, Column as _, Connection as _, Row as _, Sqlite, Transaction, TypeInfo as _,
    ValueRef as _, sqlite::SqliteRow,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
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

/// Sets the damaged database of this phone aside and lays a new one in its place.
///
/// # Errors
/// `Invalid` at `key` for a wrong key; `StorageFull`; `Internal`. The damaged database is then where it was.
pub(super) async fn salvage(config: &PhoneConfig) -> Result<(), PhoneError> {
    let folder = &config.folder;
    if !mark::Mark::knows(folder, &config.key) {
        // Without the mark only a database that opens says which key is the right one.
        let connection = database::connect(&folder.join(FILE), &config.key).await;
        connection
            .map_err(|error| known_key(error, folder, &config.key))?
            .close()
            .await?;
    }
    let set_aside = damage::new_folder(folder)?;
    for name in [LOG, mark::FILE, FILE] {
        if folder.join(name).try_exists()? {
            copy_whole(&folder.join(name), &set_aside.join(name))?;
        }
    }
    sync_folder(&set_aside)?;
    let reading = set_aside.join("reading.db");
    fs::copy(set_aside.join(FILE), &reading)?;
    if set_aside.join(LOG).try_exists()? {
        fs::copy(set_aside.join(LOG), set_aside.join("reading.db-wal"))?;
    }
    let found = Found::read(&reading, &config.key).await;
    let new = folder.join("kieumau.db.new");
    for left_over in [
        &reading,
        &set_aside.join("reading.db-wal"),
        &new,
        &folder.join("kieumau.db.new-wal"),
    ] {
        remove_if_there(left_over)?;
    }
    let mut connection = database::open(&new, &config.key).await?;
    let mut tx = connection.begin().await?;
    let lacking = found.put(&mut tx).await?;
    let damage = Damage {
        found_at_ms: (config.clock)(),
        set_aside,
        lost_records: None,
        lacking,
        identity_lost: !found.knows_itself(),
    };
    damage.save(&mut tx, folder).await?;
    let (_, marked) = mark::Mark::open(folder, &config.key)?;
    sqlx::query("update recorded set count = max(count, $1)")
        .bind(marked.unwrap_or_default().cast_signed())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    connection.close().await?;
    // The old log first: behind the new database it would be taken for its own.
    remove_if_there(&folder.join(LOG))?;
    fs::rename(&new, folder.join(FILE))?;
    sync_folder(folder)?;
    Ok(())
}

/// A row as it was read: its columns' names and what they held.
type Loose = Vec<(String, Held)>;

/// What a column held.
#[derive(Clone)]
enum Held {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Held {
    fn of(row: &SqliteRow, at: usize) -> Result<Self, sqlx::Error> {
        let value = row.try_get_raw(at)?;
        if value.is_null() {
            return Ok(Self::Null);
        }
        Ok(match value.type_info().name() {
            "INTEGER" | "BOOLEAN" => Self::Integer(row.try_get_unchecked(at)?),
            "REAL" => Self::Real(row.try_get_unchecked(at)?),
            "BLOB" => Self::Blob(row.try_get_unchecked(at)?),
            _ => Self::Text(row.try_get_unchecked(at)?),
        })
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

fn loose(row: &SqliteRow) -> Result<Loose, sqlx::Error> {
    let columns = row.columns().iter().enumerate();
    columns
        .map(|(at, column)| Ok((column.name().to_owned(), Held::of(row, at)?)))
        .collect()
}

/// The column of this name.
fn column<'a>(row: &'a Loose, name: &str) -> &'a Held {
    let found = row.iter().find(|(column, _)| column == name);
    found.map_or(&Held::Null, |(_, held)| held)
}

/// All that could be read.
#[derive(Default)]
struct Found {
    truth: BTreeMap<&'static str, Vec<Loose>>,
    documents: Vec<Loose>,
    changes: Vec<Loose>,
    /// A table could not be read to its end.
    torn: bool,
}

impl Found {
    async fn read(path: &Path, key: &[u8; 32]) -> Self {
        let mut found = Self::default();
        for (table, by) in TRUTH {
            let rows = found.table(path, key, table, by).await;
            found.truth.insert(table, rows);
        }
        found.documents = found.table(path, key, "document", "document_id").await;
        found.changes = found.table(path, key, "change", "position").await;
        found
    }

    /// The rows of a table that can be read, from its beginning up to the first that cannot, and from its end likewise.
    async fn table(&mut self, path: &Path, key: &[u8; 32], table: &str, by: &str) -> Vec<Loose> {
        let mut rows: BTreeMap<String, Loose> = BTreeMap::new();
        for direction in ["asc", "desc"] {
            let sql = format!(
                "select *, cast({by} as text) as by_key from {table} order by {by} {direction}"
            );
            let (read, whole) = read_until_bad(path, key, &sql).await;
            for mut row in read {
                if let Some((_, Held::Text(key))) = row.pop() {
                    rows.insert(key, row);
                }
            }
            if whole {
                break;
            }
            self.torn = true;
        }
        rows.into_values().collect()
    }

    fn knows_itself(&self) -> bool {
        ["secret", "profile"]
            .iter()
            .all(|table| self.truth.get(table).is_some_and(|rows| !rows.is_empty()))
    }

    /// Writes it all into the new database. The documents of which something is not there.
    async fn put(&self, tx: &mut Transaction<'_, Sqlite>) -> Result<Vec<DocumentId>, PhoneError> {
        // What hangs on a document is written before it is known which documents there are.
        sqlx::query("pragma defer_foreign_keys = on")
            .execute(&mut **tx)
            .await?;
        for (table, _) in TRUTH {
            for row in self.truth.get(table).into_iter().flatten() {
                insert(tx, table, row).await?;
            }
        }
        let mut changes: BTreeMap<DocumentId, Vec<(Change, &Loose)>> = BTreeMap::new();
        for row in &self.changes {
            if let Some((document, change)) = verified(row) {
                changes.entry(document).or_default().push((change, row));
            }
        }
        let mut lacking = BTreeSet::new();
        for row in &self.documents {
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
            for (change, _) in changes {
                keep_apart(tx, document, &change).await?;
            }
        }
        sqlx::query("delete from fix where document_id not in (select document_id from document)")
            .execute(&mut **tx)
            .await?;
        Ok(lacking.into_iter().collect())
    }
}

/// Reads rows until one is bad; whether none was. Each reading has a connection of its own: after a bad page SQLCipher gives nothing more.
async fn read_until_bad(path: &Path, key: &[u8; 32], sql: &str) -> (Vec<Loose>, bool) {
    use futures_util::TryStreamExt as _;
    let Ok(mut connection) = database::connect(path, key).await else {
        return (Vec::new(), false);
    };
    let mut read = Vec::new();
    let whole = {
        let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut connection);
        loop {
            match rows.try_next().await {
                Ok(Some(row)) => match loose(&row) {
                    Ok(row) => read.push(row),
                    Err(_) => break false,
                },
                Ok(None) => break true,
                Err(_) => break false,
            }
        }
    };
    connection.close().await.ok();
    (read, whole)
}

/// Writes a row as it was.
async fn insert(
    tx: &mut Transaction<'_, Sqlite>,
    table: &str,
    row: &Loose,
) -> Result<(), PhoneError> {
    let names: Vec<&str> = row.iter().map(|(name, _)| name.as_str()).collect();
    let places: Vec<String> = (1..=row.len()).map(|place| format!("${place}")).collect();
    let sql = format!(
        "insert into {table} ({}) values ({}) on conflict do nothing",
        names.join(", "),
        places.join(", ")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (_, held) in row {
        query = match held.clone() {
            Held::Null => query.bind(None::<i64>),
            Held::Integer(number) => query.bind(number),
            Held::Real(number) => query.bind(number),
            Held::Text(text) => query.bind(text),
            Held::Blob(bytes) => query.bind(bytes),
        };
    }
    query.execute(&mut **tx).await?;
    Ok(())
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
    let own = matches!(column(row, "own"), Held::Integer(1));
    let by = if own { By::Us } else { By::Others };
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
    for (change, _) in apart {
        keep_apart(tx, id, change).await?;
    }
    Ok(heads == crate::review::heads_text(&document::heads(&document)))
}

async fn keep_apart(
    tx: &mut Transaction<'_, Sqlite>,
    document: DocumentId,
    change: &Change,
) -> Result<(), PhoneError> {
    sqlx::query(
        "insert into set_aside (document_id, hash, refusal, set_aside_at_ms, bytes) values ($1, $2, $3, 0, $4) \
         on conflict do nothing",
    )
    .bind(document.to_string())
    .bind(change.hash.to_string())
    .bind(LACKING)
    .bind(&change.bytes)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Puts back into the document what stood on a change that was gone and is here again; how many bytes came back.
pub(super) async fn bring_back(
    tx: &mut Transaction<'_, Sqlite>,
    id: DocumentId,
    document: &mut Automerge,
) -> Result<usize, PhoneError> {
    let rows = sqlx::query(
        "select hash, bytes from set_aside where document_id = $1 and refusal is not null and anew is null and refusal = $2",
    )
    .bind(id.to_string())
    .bind(LACKING)
    .fetch_all(&mut **tx)
    .await?;
    let mut apart: Vec<Vec<u8>> = rows.iter().map(|row| row.get(1)).collect();
    let mut back = 0;
    // One that still lacks something is not shown to the document: it would wait there and come in behind the pile's back.
    while let Some(place) = apart.iter().position(|bytes| fits(document, bytes)) {
        let bytes = apart.swap_remove(place);
        document
            .load_incremental(&bytes)
            .map_err(PhoneError::internal)?;
        let hash = header::read(&bytes).map_err(PhoneError::internal)?.hash;
        back += bytes.len();
        put_change(tx, id, &Change { hash, bytes }, true).await?;
        sqlx::query("delete from set_aside where hash = $1")
            .bind(hash.to_string())
            .execute(&mut **tx)
            .await?;
    }
    Ok(back)
}

/// Whether the document has all that the change depends on.
fn fits(document: &Automerge, change: &[u8]) -> bool {
    let has = |dep: &Sha256| document.get_change_meta_by_hash(&(*dep).into()).is_some();
    header::read(change).is_ok_and(|header| header.deps.iter().all(has))
}

#[cfg(test)]
mod tests;
