//! Runs: changes of one actor that were taken together and lie in one row, each standing on the one before it and on nothing else.
//!
//! A row bears the name and the numbers of its last change, because seals and heads point there. Who asks for one of the earlier ones
//! by its hash asks the rows of its document which of them hold it. Where a worker withholds one of a run, the row is cut.

use crate::{
    database::Tx,
    insert::{Insert, Value},
    row::parsed,
    stored::{StoredDocument, damaged, parse_hashes},
    vault::{self, Key as VaultKey, Vault},
};
use kieumau_core::{
    hash::Sha256,
    header,
    id::{DocumentId, PhoneId},
};
use sqlx::{Row as _, any::AnyRow};
use std::collections::{BTreeMap, BTreeSet};

/// A row's changes, in order.
#[derive(Debug)]
pub struct Run {
    /// Their hashes; the last one's is the row's.
    pub hashes: Vec<Sha256>,
    /// The last one's number in its feed; 0 while it waits.
    number: i64,
    closed: Vec<u8>,
}

/// A change out of a run.
#[derive(Debug)]
pub struct Opened {
    /// Its hash.
    pub hash: Sha256,
    /// Its number in its feed; 0 while it waits.
    pub number: i64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Run {
    /// The run in a row of `change` with its columns `hash`, `earlier`, `number` and `bytes`.
    ///
    /// # Errors
    /// `Decode` for a damaged row.
    pub fn of(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            hashes: hashes(row)?,
            number: row.get::<Option<i64>, _>("number").unwrap_or(0),
            closed: row.get("bytes"),
        })
    }

    /// The bytes of the change that the row is named after.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub fn open_last(&self, key: &VaultKey) -> Result<Vec<u8>, sqlx::Error> {
        let last = self.open(key)?.pop().ok_or(sqlx::Error::RowNotFound)?;
        Ok(last.bytes)
    }

    /// Its changes, out of their envelope.
    ///
    /// # Errors
    /// `Decode` if the bytes were changed.
    pub fn open(&self, key: &VaultKey) -> Result<Vec<Opened>, sqlx::Error> {
        let changes = open(key, &self.hashes, &self.closed)?;
        let numbered = numbers(self.number, self.hashes.len());
        let all = self.hashes.iter().zip(numbered).zip(changes);
        Ok(all
            .map(|((hash, number), bytes)| Opened {
                hash: *hash,
                number,
                bytes,
            })
            .collect())
    }
}

/// The hashes of a row's changes, in order: of its columns `hash` and `earlier`.
///
/// # Errors
/// `Decode` for a damaged row.
pub fn hashes(row: &AnyRow) -> Result<Vec<Sha256>, sqlx::Error> {
    let mut hashes = parse_hashes(row.get("earlier"));
    hashes.push(parsed(row, "hash")?);
    Ok(hashes)
}

/// The numbers of so many changes of which `last` is the last one's.
fn numbers(last: i64, count: usize) -> impl Iterator<Item = i64> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    (last - count + 1)..=last
}

/// Changes as they lie at rest in one row. One change lies once under its document's key, so its hash makes the nonce; of several it is the
/// hash of their hashes.
pub fn close(key: &VaultKey, changes: &[(Sha256, &[u8])]) -> Vec<u8> {
    let hashes: Vec<Sha256> = changes.iter().map(|(hash, _)| *hash).collect();
    let name = name(&hashes);
    if let [(_, bytes)] = changes {
        return vault::seal(key, &nonce(name), name.as_bytes(), bytes);
    }
    let size = changes.iter().map(|(_, bytes)| 4 + bytes.len()).sum();
    let mut together = Vec::with_capacity(size);
    for (_, bytes) in changes {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        together.extend_from_slice(&length.to_be_bytes());
        together.extend_from_slice(bytes);
    }
    vault::seal(key, &nonce(name), name.as_bytes(), &together)
}

/// What [`close`] closed.
fn open(key: &VaultKey, hashes: &[Sha256], closed: &[u8]) -> Result<Vec<Vec<u8>>, sqlx::Error> {
    let name = name(hashes);
    let changed = || damaged("a change at rest was changed");
    let together =
        vault::open(key, &nonce(name), name.as_bytes(), closed).map_err(|_| changed())?;
    if hashes.len() == 1 {
        return Ok(vec![together]);
    }
    let mut changes = Vec::with_capacity(hashes.len());
    let mut left = together.as_slice();
    for _ in hashes {
        let (length, rest) = left.split_first_chunk::<4>().ok_or_else(changed)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (bytes, rest) = rest.split_at_checked(length).ok_or_else(changed)?;
        changes.push(bytes.to_vec());
        left = rest;
    }
    Ok(changes)
}

/// What the bytes of these changes are bound to at rest.
fn name(hashes: &[Sha256]) -> Sha256 {
    if let [one] = hashes {
        return *one;
    }
    let parts: Vec<&[u8]> = hashes.iter().map(|hash| &hash.as_bytes()[..]).collect();
    Sha256::of_parts(&parts)
}

fn nonce(name: Sha256) -> [u8; 24] {
    let mut nonce = [0; 24];
    nonce.copy_from_slice(&name.as_bytes()[..24]);
    nonce
}

/// Hashes as a row holds them.
pub fn text(hashes: &[Sha256]) -> String {
    let mut text = String::with_capacity(hashes.len() * 65);
    for hash in hashes {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&hash.to_string());
    }
    text
}

/// The changes of these documents that are in the log and no row is named after.
///
/// # Errors
/// What the database says.
pub async fn within(
    tx: &mut Tx,
    ids: &BTreeSet<DocumentId>,
) -> Result<BTreeMap<DocumentId, BTreeSet<Sha256>>, sqlx::Error> {
    let mut asked = Insert::new(
        "with wanted (document_id) as (values",
        1,
        ") select c.document_id, c.earlier from change c \
         where c.document_id in (select document_id from wanted) and c.change_count > 1",
    );
    for id in ids {
        asked.push([Value::text(id)]);
    }
    let mut within: BTreeMap<DocumentId, BTreeSet<Sha256>> = BTreeMap::new();
    for row in asked.fetch(tx).await? {
        let earlier = parse_hashes(row.get(1));
        within
            .entry(parsed(&row, "document_id")?)
            .or_default()
            .extend(earlier);
    }
    Ok(within)
}

/// Cuts the row of `document` that is named after `last` into rows of so many changes each.
///
/// # Errors
/// What the database says; `Decode` if the bytes were changed, `RowNotFound` if there is no such row or it holds another number of changes.
pub async fn cut(
    tx: &mut Tx,
    document: &StoredDocument,
    last: Sha256,
    parts: &[usize],
) -> Result<(), sqlx::Error> {
    let id = document.key.document().to_string();
    let row = sqlx::query(
        "select unit_id, hash, actor, seq, deps, received_at_ms, carrier_phone_id, state, number, entered, withheld_for, \
         bytes, earlier from change where document_id = $1 and hash = $2",
    )
    .bind(&id)
    .bind(last.to_string())
    .fetch_one(&mut **tx)
    .await?;
    let changes = Run::of(&row)?.open(&document.vault_key)?;
    if changes.len() != parts.iter().sum::<usize>() {
        return Err(sqlx::Error::RowNotFound);
    }
    // Only once it opened: a row that does not stays as it is.
    sqlx::query("delete from change where document_id = $1 and hash = $2")
        .bind(&id)
        .bind(last.to_string())
        .execute(&mut **tx)
        .await?;
    let mut rows = Insert::new(
        "insert into change (document_id, unit_id, hash, actor, seq, deps, written_at_s, written_from_s, received_at_ms, \
         carrier_phone_id, state, number, entered, withheld_for, change_count, earlier, bytes) values",
        17,
        "",
    );
    let (mut left, mut deps) = (changes.as_slice(), row.get::<String, _>("deps"));
    for part in parts {
        let (part, rest) = left.split_at(*part);
        let after = i64::try_from(rest.len()).unwrap_or(i64::MAX);
        let less = |column: &str| {
            let number: Option<i64> = row.get(column);
            Value::from(number.map(|number| number - after))
        };
        let hashes: Vec<Sha256> = part.iter().map(|change| change.hash).collect();
        let Some((named, earlier)) = hashes.split_last() else {
            return Err(sqlx::Error::RowNotFound);
        };
        let times: Vec<i64> = part
            .iter()
            .filter_map(|change| Some(header::read(&change.bytes).ok()?.time_s))
            .collect();
        let closed: Vec<(Sha256, &[u8])> = part
            .iter()
            .map(|change| (change.hash, change.bytes.as_slice()))
            .collect();
        rows.push([
            Value::text(&id),
            row.get::<Option<String>, _>("unit_id").into(),
            Value::text(named),
            row.get::<String, _>("actor").into(),
            less("seq"),
            std::mem::replace(&mut deps, named.to_string()).into(),
            times.iter().max().copied().unwrap_or(0).into(),
            times.iter().min().copied().into(),
            row.get::<i64, _>("received_at_ms").into(),
            row.get::<Option<String>, _>("carrier_phone_id").into(),
            row.get::<String, _>("state").into(),
            less("number"),
            less("entered"),
            row.get::<Option<String>, _>("withheld_for").into(),
            i64::try_from(part.len()).unwrap_or(i64::MAX).into(),
            text(earlier).into(),
            close(&document.vault_key, &closed).into(),
        ]);
        left = rest;
    }
    rows.execute(tx).await
}

/// Gives each accepted change of `document` that `writer` wrote (none: whoever did) a row of its own, where its row opens: what is withheld
/// is shown one by one.
///
/// # Errors
/// What the database says.
pub async fn single_out(
    tx: &mut Tx,
    vault: &Vault,
    document: DocumentId,
    writer: Option<PhoneId>,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "select hash, earlier from change where document_id = $1 and state = 'accepted' and change_count > 1 \
         and ($2 = '' or substr(actor, 1, 32) = $2)",
    )
    .bind(document.to_string())
    .bind(writer.map_or_else(String::new, |phone| hex::encode(phone.as_bytes())))
    .fetch_all(&mut **tx)
    .await?;
    if rows.is_empty() {
        return Ok(());
    }
    let stored = match StoredDocument::read(tx, vault, document).await {
        // A document whose key does not open has rows that do not.
        Ok(None) | Err(sqlx::Error::Decode(_)) => return Ok(()),
        Ok(Some(stored)) => stored,
        Err(error) => return Err(error),
    };
    for row in &rows {
        let hashes = hashes(row)?;
        if let Some(last) = hashes.last() {
            match cut(tx, &stored, *last, &vec![1; hashes.len()]).await {
                Ok(()) | Err(sqlx::Error::Decode(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub mod tests;
