//! Rescue files: everything here that the server has not signed for, in one file that only the server can read, and handing
//! such a file in for a colleague whose phone cannot.
//!
//! Writing one needs no line and no good standing, and changes nothing on this phone: the disk may be full. So seals are made
//! anew and not kept, and the file is written beside its name first, for what has the name is whole. One document, or one
//! piece of a file, is in memory at a time.

use super::{
    Phone,
    attachments::Unsent,
    client::Client,
    error::PhoneError,
    store::{Store, parse_hashes},
};
use crate::{
    document::Key,
    hash::Sha256,
    header::{self, Header},
    id::{DocumentId, PhoneId},
    log::admission::Refusal,
    rescue::{ITEM_LIMIT, Origin, RESCUE_LIMIT_BYTES, Record, RescueError, Taken, sealed::Sealer},
    seal::{Seal, Signer},
    wire::{PushedDocument, WireKey},
};
use ed25519_dalek::SigningKey;
use sqlx::Row as _;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::io::AsyncWriteExt as _;

/// Bytes of changes in one record: with names and seals below the format's limit.
const RECORD_BYTES: usize = 512 << 10;
/// Bytes of an attachment in one record.
const PIECE_BYTES: usize = 256 << 10;

/// How long the server may take over a file of the largest size.
const SILENCE: Duration = Duration::from_secs(15 * 60);

/// What is in a rescue file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RescueReport {
    /// Changes that the server has not signed for.
    pub changes: u32,
    /// Changes that the server refused, with its reason.
    pub refused: u32,
    /// Attachments that the server is not known to hold.
    pub files: u32,
    /// Attachments that could not be read here or no longer fit into the file: they are still only on this phone.
    pub files_left: u32,
    /// Fixes that are in no document, because this phone's disk is full or their patrol is damaged: they are still only on this phone.
    pub fixes_left: u32,
    /// The file's size.
    pub size_bytes: u64,
}

/// What of a document goes into the file.
struct Unconfirmed {
    key: Key,
    changes: Vec<(Sha256, Vec<u8>)>,
    refused: Vec<(&'static str, Vec<u8>)>,
}

impl Phone {
    /// Writes everything that the server has not signed for to a new file at `path`: changes, refused originals, attachments.
    /// Works offline, signed out and revoked. A file that was there is replaced once the new one is whole.
    ///
    /// # Errors
    /// `SignedOut` with `not-enrolled` before enrolment (then nothing is recorded either); `StorageFull` when the disk of
    /// `path` takes no more, nothing is left there then; `NotFound` for no such folder; `Internal`.
    pub async fn export_rescue(&self, path: &Path) -> Result<RescueReport, PhoneError> {
        match self.fold_all().await {
            // The file may go to another disk: what is in documents is saved all the same.
            Ok(()) | Err(PhoneError::StorageFull) => {}
            Err(error) => return Err(error),
        }
        let fixes_left = self.loose_fixes().await?;
        let part = beside(path)?;
        let mut writing = Writing::begin(self, &part).await?;
        writing.report.fixes_left = fixes_left;
        let written = async {
            writing.all(self).await?;
            let report = writing.end().await?;
            tokio::fs::rename(&part, path).await?;
            Ok(report)
        }
        .await;
        if written.is_err() {
            tokio::fs::remove_file(&part).await?;
        }
        written
    }

    /// Hands in the rescue file at `path`, which another phone may have written: this one cannot read it.
    ///
    /// # Errors
    /// `NotFound` for no file; `Offline`; `SignedOut` with the word of why the server does not take it (`rescue-damaged`,
    /// `rescue-another-server`, `phone-revoked`).
    pub async fn deliver_rescue(&self, path: &Path) -> Result<Taken, PhoneError> {
        let file = tokio::fs::File::open(path).await?;
        let (phone, key, client) = {
            let store = self.store().await;
            let profile = store.profile()?;
            let client = Client::that_waits(&profile.server_url, &profile.pins, SILENCE)?;
            (profile.phone, store.signing_key.clone(), client)
        };
        let signed_in = self.sign_in(&client, phone, &key).await?;
        client.rescue(&signed_in.token, file).await
    }

    async fn loose_fixes(&self) -> Result<u32, PhoneError> {
        let mut store = self.store().await;
        let row = sqlx::query("select count(*) from fix")
            .fetch_one(&mut store.connection)
            .await?;
        Ok(row.get(0))
    }

    /// The documents with something that the server has not signed for, in the order they came to be here.
    async fn unconfirmed_documents(&self) -> Result<Vec<DocumentId>, PhoneError> {
        let mut store = self.store().await;
        let rows = sqlx::query(
            "select c.document_id from change c join document d on d.document_id = c.document_id \
             left join receipt r on r.document_id = c.document_id \
             where (c.own = 1 and (r.heads is null or r.heads <> d.heads)) \
             or c.server is null or c.server <> 'held' group by c.document_id order by min(c.position)",
        )
        .fetch_all(&mut store.connection)
        .await?;
        let mut documents: Vec<DocumentId> = rows
            .iter()
            .map(|row| row.get::<&str, _>(0).parse().map_err(PhoneError::internal))
            .collect::<Result<_, _>>()?;
        for (left_out, _, _) in store.left_out().await? {
            if store.is_named(left_out).await? && !documents.contains(&left_out) {
                documents.push(left_out);
            }
        }
        Ok(documents)
    }

    /// What a salvage kept of documents that it could not name.
    async fn nameless(&self) -> Result<Vec<(&'static str, Vec<u8>)>, PhoneError> {
        let mut store = self.store().await;
        let mut nameless = Vec::new();
        for (document, word, bytes) in store.left_out().await? {
            if !store.is_named(document).await? {
                nameless.push((word_of(&word), bytes));
            }
        }
        Ok(nameless)
    }
}

/// Where the file is written until it is whole.
fn beside(path: &Path) -> Result<PathBuf, PhoneError> {
    let mut name = path.file_name().ok_or(PhoneError::NotFound)?.to_owned();
    name.push(".part");
    Ok(path.with_file_name(name))
}

/// A file being written.
struct Writing {
    file: tokio::fs::File,
    sealer: Sealer,
    /// Sealed and not written yet.
    sealed: Vec<u8>,
    phone: PhoneId,
    key: SigningKey,
    items: usize,
    report: RescueReport,
}

impl Writing {
    /// Makes the file, and signs that this phone writes it.
    async fn begin(phone: &Phone, path: &Path) -> Result<Self, PhoneError> {
        let (id, to, key) = {
            let store = phone.store().await;
            let profile = store.profile()?;
            (profile.phone, profile.rescue_key, store.signing_key.clone())
        };
        let mut sealed = Vec::new();
        let mut sealer = Sealer::begin(&to, &mut rand::rng(), &mut sealed)?;
        let origin = Origin::sign(&key, sealer.header(), id, phone.now_ms());
        sealer.push(&Record::Origin(origin), &mut sealed)?;
        Ok(Self {
            file: tokio::fs::File::create(path).await?,
            sealer,
            sealed,
            phone: id,
            key,
            items: 0,
            report: RescueReport::default(),
        })
    }

    /// Text first, then files: what no longer fits is photos.
    async fn all(&mut self, phone: &Phone) -> Result<(), PhoneError> {
        for id in phone.unconfirmed_documents().await? {
            let unconfirmed = unconfirmed(&mut *phone.store().await, id).await?;
            self.document(unconfirmed).await?;
        }
        for (word, bytes) in phone.nameless().await? {
            self.refused(None, word, bytes).await?;
        }
        for file in phone.unsent_files().await? {
            self.attachment(&file).await?;
        }
        Ok(())
    }

    async fn document(&mut self, unconfirmed: Unconfirmed) -> Result<(), PhoneError> {
        let Unconfirmed {
            key,
            changes,
            refused,
        } = unconfirmed;
        let mut record = Vec::new();
        let mut bytes = 0;
        for (hash, change) in changes {
            if bytes + change.len() > RECORD_BYTES && !record.is_empty() {
                self.changes(&key, std::mem::take(&mut record)).await?;
                bytes = 0;
            }
            bytes += change.len();
            record.push((hash, change));
        }
        if !record.is_empty() {
            self.changes(&key, record).await?;
        }
        for (reason, bytes) in refused {
            self.refused(Some(WireKey::from(&key)), reason, bytes)
                .await?;
        }
        Ok(())
    }

    async fn refused(
        &mut self,
        key: Option<WireKey>,
        reason: &str,
        bytes: Vec<u8>,
    ) -> Result<(), PhoneError> {
        self.report.refused += 1;
        let reason = reason.to_owned();
        self.put(&Record::Refused { key, reason, bytes }, 1).await
    }

    /// Changes that the same seals cover: a record stands by itself.
    async fn changes(
        &mut self,
        key: &Key,
        changes: Vec<(Sha256, Vec<u8>)>,
    ) -> Result<(), PhoneError> {
        let count = changes.len();
        let seals = seals(&self.key, Signer::Phone(self.phone), key, &changes);
        let document = PushedDocument {
            key: WireKey::from(key),
            changes: changes.into_iter().map(|(_, bytes)| bytes).collect(),
            seals,
        };
        self.report.changes += u32::try_from(count).unwrap_or(u32::MAX);
        self.put(&Record::Changes(document), count).await
    }

    async fn attachment(&mut self, file: &Unsent) -> Result<(), PhoneError> {
        // The seal's tags, the lengths and CBOR's heads are far less than this.
        let room = file.size_bytes + file.size_bytes / 1_000 + PIECE_BYTES as u64;
        if self.report.size_bytes + room > RESCUE_LIMIT_BYTES || self.items >= ITEM_LIMIT {
            self.report.files_left += 1;
            return Ok(());
        }
        let (sha256, size_bytes) = (file.sha256, file.size_bytes);
        self.put(&Record::File { sha256, size_bytes }, 1).await?;
        let mut offset = 0;
        while offset < size_bytes {
            match file.read(offset, PIECE_BYTES).await {
                Ok(bytes) if !bytes.is_empty() => {
                    offset += bytes.len() as u64;
                    self.put(&Record::Bytes(bytes), 0).await?;
                }
                // One damaged file holds up nothing; the server refuses what lacks its end.
                _ => {
                    self.report.files_left += 1;
                    return Ok(());
                }
            }
        }
        self.report.files += 1;
        Ok(())
    }

    async fn put(&mut self, record: &Record, items: usize) -> Result<(), PhoneError> {
        self.items += items;
        self.sealer.push(record, &mut self.sealed)?;
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), PhoneError> {
        self.file.write_all(&self.sealed).await?;
        self.report.size_bytes += self.sealed.len() as u64;
        self.sealed.clear();
        Ok(())
    }

    /// Writes the last chunk; returns when all is on the disk.
    async fn end(mut self) -> Result<RescueReport, PhoneError> {
        self.sealer.end(&mut self.sealed);
        self.file.write_all(&self.sealed).await?;
        self.report.size_bytes += self.sealed.len() as u64;
        self.file.flush().await?;
        self.file.sync_all().await?;
        Ok(self.report)
    }
}

/// What of the document the server has not signed for: own changes that no receipt reaches, and whatever it is not known to hold.
async fn unconfirmed(store: &mut Store, id: DocumentId) -> Result<Unconfirmed, PhoneError> {
    let key = store.key(id).await?;
    let receipt = sqlx::query("select heads from receipt where document_id = $1")
        .bind(id.to_string())
        .fetch_optional(&mut store.connection)
        .await?;
    let receipted = receipt.map_or_else(Vec::new, |row| parse_hashes(row.get(0)));
    let rows = sqlx::query(
        "select own, server, bytes, hash from change where document_id = $1 order by position",
    )
    .bind(id.to_string())
    .fetch_all(&mut store.connection)
    .await?;
    let headers: Vec<Option<Header<'_>>> = rows
        .iter()
        .map(|row| header::read(row.get::<&[u8], _>(2)).ok())
        .collect();
    let covered = ancestry(receipted, headers.iter().flatten());
    let mut unconfirmed = Unconfirmed {
        key,
        changes: Vec::new(),
        refused: Vec::new(),
    };
    for (row, header) in rows.iter().zip(&headers) {
        let server: Option<&str> = row.get(1);
        let own: bool = row.get(0);
        let bytes = || row.get::<Vec<u8>, _>(2);
        match (header, server.and_then(Refusal::of_word)) {
            (_, Some(refusal)) => unconfirmed.refused.push((refusal.word(), bytes())),
            (None, None) => unconfirmed
                .refused
                .push((Refusal::Malformed.word(), bytes())),
            (Some(header), None) => {
                let held = server == Some("held") && !own;
                if !held && !covered.contains(&header.hash) {
                    unconfirmed.changes.push((header.hash, bytes()));
                }
            }
        }
    }
    for (document, word, bytes) in store.left_out().await? {
        if document == id {
            unconfirmed.refused.push((word_of(&word), bytes));
        }
    }
    Ok(unconfirmed)
}

/// The refusal's word, as the server that takes the file knows it.
fn word_of(word: &str) -> &'static str {
    Refusal::of_word(word).unwrap_or(Refusal::Malformed).word()
}

/// These changes and all that they were made on.
fn ancestry<'a>(
    heads: Vec<Sha256>,
    headers: impl Iterator<Item = &'a Header<'a>>,
) -> BTreeSet<Sha256> {
    let deps: BTreeMap<Sha256, &[Sha256]> = headers
        .map(|header| (header.hash, header.deps.as_slice()))
        .collect();
    let mut reached = BTreeSet::new();
    let mut open = heads;
    while let Some(hash) = open.pop() {
        if reached.insert(hash)
            && let Some(deps) = deps.get(&hash)
        {
            open.extend(deps.iter().copied());
        }
    }
    reached
}

/// A seal for each end of an actor's run: a change that no other of these follows. A run has a gap where one was refused.
fn seals(key: &SigningKey, signer: Signer, of: &Key, changes: &[(Sha256, Vec<u8>)]) -> Vec<Seal> {
    let headers: BTreeMap<Sha256, Header<'_>> = changes
        .iter()
        .filter_map(|(hash, bytes)| Some((*hash, header::read(bytes).ok()?)))
        .collect();
    let follows = |header: &Header<'_>, dep: &Sha256| {
        headers
            .get(dep)
            .is_some_and(|before| before.actor == header.actor && before.seq + 1 == header.seq)
    };
    let followed: BTreeSet<Sha256> = headers
        .values()
        .flat_map(|header| header.deps.iter().filter(|dep| follows(header, dep)))
        .copied()
        .collect();
    headers
        .keys()
        .filter(|hash| !followed.contains(hash))
        .map(|hash| of.seal(key, signer, *hash))
        .collect()
}

impl From<RescueError> for PhoneError {
    fn from(error: RescueError) -> Self {
        match error {
            RescueError::Disk(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

#[cfg(test)]
mod tests;
