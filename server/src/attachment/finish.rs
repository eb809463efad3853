//! From a complete upload to an attachment, and the sweep of what was left lying.
//!
//! Three steps, each safe to die after: [`seal`] writes the sealed file to the object that bears the upload's name, [`commit`]
//! writes the row that says so and the log leaf, then the staged file goes. Until the commit the upload is resumable, and
//! resumed it seals anew into the same object, for the first key was never written; from it on the attachment is finished.
//!
//! Two uploads of one hash may end at once, each sealed under another key into another object. The row decides: who did not
//! insert it removes his own object. One that a crash kept from it is removed with his upload.

use super::{
    key_name, preview,
    staging::{self, HoldError, RemoveError, Staged, Upload},
    store::{Part, Sealing, StoreError},
};
use crate::{app::App, database::Tx, ledger, problem::Problem, row::parsed};
use kieumau_core::{
    attachment::MediaType,
    hash::Sha256,
    id::UnitId,
    invalid::{Invalid, Rule},
    log::leaf::Leaf,
};
use sha2::Digest as _;
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::AsyncWriteExt as _;

/// What is read of a staged file at a time.
const READ_BYTES: u64 = 256 << 10;
/// What no row knows is left alone for a day: it may be about to get its row.
const STRAY_MS: i64 = 24 * 3_600_000;

/// A complete upload, sealed into its object and not yet an attachment.
pub struct SealedUpload {
    pub(super) wrapped_key: Vec<u8>,
    media_type: MediaType,
    /// What the bytes are, whatever was announced.
    found: Sha256,
}

/// Why an upload did not become an attachment.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// It is none of the kinds we take.
    #[error(transparent)]
    WrongKind(#[from] Invalid),
    /// It is not the file that was announced.
    #[error("the file does not have the announced hash")]
    HashMismatch,
    /// Bytes.
    #[error("the file could not be sealed")]
    Store(#[from] StoreError),
    /// Rows.
    #[error("the attachment could not be written")]
    Row(#[from] sqlx::Error),
}

impl FinishError {
    /// Sending the same file again would end the same way.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::WrongKind(_) | Self::HashMismatch)
    }
}

impl From<FinishError> for Problem {
    fn from(error: FinishError) -> Self {
        match error {
            FinishError::WrongKind(Invalid {
                rule: Rule::WrongKind,
                ..
            }) => super::body::wrong_kind(),
            FinishError::WrongKind(invalid) => Self::invalid(invalid),
            FinishError::HashMismatch => Self::new(
                super::upload::checksum_mismatch(),
                "hash-mismatch",
                "The file is not the one that was announced. Begin anew.",
            ),
            error => Self::internal(error),
        }
    }
}

impl From<object_store::Error> for FinishError {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Makes the attachment out of an upload all of whose bytes are in `staged`. An upload that can never end well is removed.
///
/// # Errors
/// Why there is no attachment.
pub async fn finish(app: &App, upload: &mut Upload, mut staged: Staged) -> Result<(), Problem> {
    let received_at_ms = crate::clock::now_ms();
    match seal(app, upload, &mut staged).await {
        Ok(sealed) => match upload.preview_of {
            Some(of) => preview::commit(app, upload, of, &sealed, received_at_ms).await?,
            None => commit(app, upload, &sealed, received_at_ms).await?,
        },
        Err(error) => {
            if error.is_final() {
                upload.remove(app).await.map_err(Problem::internal)?;
            }
            return Err(error.into());
        }
    }
    staging::remove_file(app, upload.id)
        .await
        .map_err(Problem::internal)
}

/// Reads what was staged once, and both checks it and writes it anew, sealed, into the upload's object.
///
/// # Errors
/// Why it is not sealed; no row knows of what is then left.
pub async fn seal(
    app: &App,
    upload: &Upload,
    staged: &mut Staged,
) -> Result<SealedUpload, FinishError> {
    let sealed = write_sealed(app, upload, staged).await?;
    if sealed.found != upload.sha256 {
        return Err(FinishError::HashMismatch);
    }
    Ok(sealed)
}

/// Seals whatever file was staged, and says what it is.
async fn write_sealed(
    app: &App,
    upload: &Upload,
    staged: &mut Staged,
) -> Result<SealedUpload, FinishError> {
    let sniffed = upload.size_bytes.min(MediaType::SNIFFED_BYTES as u64);
    let head = staged
        .read(0, sniffed as usize)
        .await
        .map_err(StoreError::Disk)?;
    let media_type = MediaType::of(&head, upload.size_bytes)?;
    let (name, part) = match upload.preview_of {
        Some(_) if media_type != MediaType::Jpeg => {
            return Err(Invalid::new("attachment", Rule::WrongKind).into());
        }
        Some(of) => (preview::key_name(upload.unit, of), Part::Preview),
        None => (key_name(upload.unit, upload.sha256), Part::Original),
    };

    let (key, wrapped_key) = app.vault.new_key(&name);
    let mut writer = app.objects.writer(&upload.object()).await?;
    let mut chunks = Vec::new();
    let mut sealing = Sealing::begin(&key, part, &mut chunks);
    let mut hasher = sha2::Sha256::new();
    let mut offset = 0;
    while offset < upload.size_bytes {
        let size = READ_BYTES.min(upload.size_bytes - offset);
        let bytes = staged
            .read(offset, size as usize)
            .await
            .map_err(StoreError::Disk)?;
        hasher.update(&bytes);
        sealing.push(&bytes, &mut chunks);
        writer.put(std::mem::take(&mut chunks).into()).await?;
        offset += size;
    }
    sealing.end(&mut chunks);
    writer.put(chunks.into()).await?;
    writer.shutdown().await.map_err(StoreError::Disk)?;
    Ok(SealedUpload {
        wrapped_key,
        media_type,
        found: Sha256(hasher.finalize().into()),
    })
}

/// Writes the attachment's row and leaf, and completes the upload's offset: one transaction.
///
/// # Errors
/// What the database or the store says; the upload is then as it was.
pub async fn commit(
    app: &App,
    upload: &mut Upload,
    sealed: &SealedUpload,
    received_at_ms: i64,
) -> Result<(), FinishError> {
    let mut tx = app.database.begin().await?;
    let first = insert(&mut tx, upload, sealed, received_at_ms).await?;
    let preview = preview::give_way(&mut tx, upload.unit, upload.sha256).await?;
    if first {
        // The log last: whoever holds its end holds up everyone.
        let leaf = record_leaf(
            &mut tx,
            upload.unit,
            upload.sha256,
            upload.size_bytes,
            received_at_ms,
        )
        .await?;
        sqlx::query("update attachment set leaf = $3 where unit_id = $1 and sha256 = $2")
            .bind(upload.unit.to_string())
            .bind(upload.sha256.to_string())
            .bind(leaf)
            .execute(&mut *tx)
            .await?;
    }
    upload.complete(&mut tx).await?;
    tx.commit().await?;
    upload.offset_bytes = upload.size_bytes;
    if !first {
        app.objects.remove(&upload.object()).await?;
    }
    if let Some(object) = preview {
        app.objects.remove(&object).await?;
    }
    Ok(())
}

/// The attachment's row, unless the unit holds the file already; whether it was written.
async fn insert(
    tx: &mut Tx,
    upload: &Upload,
    sealed: &SealedUpload,
    received_at_ms: i64,
) -> Result<bool, sqlx::Error> {
    let thumbnail = match sealed.media_type {
        MediaType::Jpeg | MediaType::Png | MediaType::Webp => "waiting",
        MediaType::Pdf | MediaType::Video | MediaType::Sound => "none",
    };
    let done = sqlx::query(
        "insert into attachment (unit_id, sha256, size_bytes, media_type, object, wrapped_key, received_at_ms, received_from, leaf, thumbnail) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, -1, $9) on conflict do nothing",
    )
    .bind(upload.unit.to_string())
    .bind(upload.sha256.to_string())
    .bind(upload.size_bytes.cast_signed())
    .bind(sealed.media_type.word())
    .bind(upload.object())
    .bind(sealed.wrapped_key.clone())
    .bind(received_at_ms)
    .bind(upload.phone.to_string())
    .bind(thumbnail)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The log's leaf about an attachment; its position.
async fn record_leaf(
    tx: &mut Tx,
    unit: UnitId,
    sha256: Sha256,
    size_bytes: u64,
    received_at_ms: i64,
) -> Result<i64, sqlx::Error> {
    let leaf = Leaf::Attachment {
        unit,
        sha256,
        size_bytes,
        received_at_ms,
    };
    ledger::append(tx, &leaf).await
}

/// How much a sweep took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Uploads whose time was over.
    pub expired: usize,
    /// Staged files that no upload under way knows.
    pub strays: usize,
}

/// A sweep stopped; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// Rows.
    #[error("the rows of uploads could not be read")]
    Row(#[from] sqlx::Error),
    /// An upload.
    #[error(transparent)]
    Remove(#[from] RemoveError),
    /// Files.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes away uploads whose time is over at `now_ms` with what they wrote, and staged files that a crash left without a row.
///
/// # Errors
/// What the database or the disk says.
pub async fn sweep(app: &App, now_ms: i64) -> Result<Swept, SweepError> {
    let expired = sweep_expired(app, now_ms).await?;
    let stray = |since_ms: i64| since_ms < now_ms - STRAY_MS;
    let mut strays = 0;

    let folder = staging::folder(app);
    std::fs::create_dir_all(&folder).map_err(StoreError::Disk)?;
    let mut files = tokio::fs::read_dir(folder)
        .await
        .map_err(StoreError::Disk)?;
    while let Some(file) = files.next_entry().await.map_err(StoreError::Disk)? {
        let Some(id) = file.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let metadata = file.metadata().await.map_err(StoreError::Disk)?;
        let written = metadata.modified().map_err(StoreError::Disk)?;
        let since = written.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let known = Upload::find(app, id, i64::MIN).await?;
        if stray(since.as_millis() as i64) && known.is_none_or(|upload| upload.finished()) {
            staging::remove_file(app, id)
                .await
                .map_err(StoreError::Disk)?;
            strays += 1;
        }
    }
    Ok(Swept { expired, strays })
}

/// Removes the uploads whose time is over, but for those that are being written this moment.
async fn sweep_expired(app: &App, now_ms: i64) -> Result<usize, SweepError> {
    let rows = sqlx::query("select upload_id from upload where expires_at_ms <= $1 limit 1000")
        .bind(now_ms)
        .fetch_all(&app.database.read)
        .await?;
    let mut expired = 0;
    for row in rows {
        let Some(upload) = Upload::find(app, parsed(&row, "upload_id")?, i64::MIN).await? else {
            continue;
        };
        match Staged::hold(app, &upload).await {
            Err(HoldError::Busy) => {}
            // Whatever else keeps it from being held, its time is over.
            _held => {
                upload.remove(app).await?;
                expired += 1;
            }
        }
    }
    Ok(expired)
}

#[cfg(test)]
mod tests;
