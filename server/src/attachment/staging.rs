//! An upload under way: its row, and what has arrived of it in `data/uploads/ID`.
//!
//! The bytes are never plain on the disk: the file is their ChaCha20 stream at the same offset, under a key of the upload's
//! own, wrapped in the row. A stream cipher because any offset can be where the line broke; nothing vouches for the bytes
//! here, the SHA-256 at the end does. Only what a phone sends a second time lies twice under the same piece of stream.
//!
//! The order is: bytes, fdatasync, then the row's offset. `offset_bytes = size_bytes` is written only in the transaction that
//! writes the attachment, so that a complete offset *means* a finished attachment, whatever crashed before.

use super::{objects::object_name, store::StoreError};
use crate::{
    app::App,
    database::Tx,
    row::{parsed, parsed_or_null},
    vault::{Key, Sealed},
};
use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit as _, StreamCipher as _, StreamCipherSeek as _},
};
use kieumau_core::{
    hash::Sha256,
    id::{PhoneId, UnitId},
};
use sqlx::Row as _;
use std::{fmt, fs::TryLockError, io, path::PathBuf, str::FromStr};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
};
use uuid::Uuid;

/// An upload is forgotten this long after its last byte, milliseconds: 7 days.
pub const LIFE_MS: i64 = 7 * 24 * 3_600_000;
/// Unfinished uploads of one phone; of more, those touched longest ago give way.
pub const UNFINISHED_LIMIT: i64 = 64;

/// The unguessable name of an upload: a random UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadId(Uuid);

impl UploadId {
    /// A fresh one.
    pub fn fresh() -> Self {
        let mut random = [0; 16];
        rand::fill(&mut random);
        Self(uuid::Builder::from_random_bytes(random).into_uuid())
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for UploadId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(text).map(Self)
    }
}

/// The row of an upload.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Its name.
    pub id: UploadId,
    /// The unit that will hold the file.
    pub unit: UnitId,
    /// Whose upload it is; nobody else's.
    pub phone: PhoneId,
    /// The hash the phone announced.
    pub sha256: Sha256,
    /// The photo that it is a preview of; none for an attachment.
    pub preview_of: Option<Sha256>,
    /// The size the phone announced.
    pub size_bytes: u64,
    /// What has arrived for good.
    pub offset_bytes: u64,
    /// When it is forgotten.
    pub expires_at_ms: i64,
    wrapped_key: Vec<u8>,
}

impl Upload {
    /// A new upload of `phone`; the caller inserts it.
    pub fn new(app: &App, unit: UnitId, phone: PhoneId, sha256: Sha256, size_bytes: u64) -> Self {
        let id = UploadId::fresh();
        let (_, wrapped_key) = app.vault.new_key(&key_name(id));
        Self {
            id,
            unit,
            phone,
            sha256,
            preview_of: None,
            size_bytes,
            offset_bytes: 0,
            expires_at_ms: crate::clock::now_ms() + LIFE_MS,
            wrapped_key,
        }
    }

    /// All is here and the attachment is written.
    pub const fn finished(&self) -> bool {
        self.offset_bytes == self.size_bytes
    }

    /// Writes the row.
    ///
    /// # Errors
    /// What the database says.
    pub async fn insert(&self, app: &App) -> Result<(), sqlx::Error> {
        let mut tx = app.database.begin().await?;
        sqlx::query(
            "insert into upload (upload_id, unit_id, sha256, size_bytes, offset_bytes, wrapped_key, phone_id, expires_at_ms, \
             preview_of) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(self.id.to_string())
        .bind(self.unit.to_string())
        .bind(self.sha256.to_string())
        .bind(self.size_bytes.cast_signed())
        .bind(self.offset_bytes.cast_signed())
        .bind(self.wrapped_key.clone())
        .bind(self.phone.to_string())
        .bind(self.expires_at_ms)
        .bind(self.preview_of.map(|of| of.to_string()))
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// The upload called `id`; none if there is no such, or it has expired.
    ///
    /// # Errors
    /// What the database says; `Decode` for a row that holds no ids.
    pub async fn find(app: &App, id: UploadId, now_ms: i64) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query(
            "select unit_id, phone_id, sha256, preview_of, size_bytes, offset_bytes, expires_at_ms, wrapped_key from upload \
             where upload_id = $1 and expires_at_ms > $2",
        )
        .bind(id.to_string())
        .bind(now_ms)
        .fetch_optional(&app.database.read)
        .await?;
        row.map(|row| {
            Ok(Self {
                id,
                unit: parsed(&row, "unit_id")?,
                phone: parsed(&row, "phone_id")?,
                sha256: parsed(&row, "sha256")?,
                preview_of: parsed_or_null(&row, "preview_of")?,
                size_bytes: row.try_get::<i64, _>("size_bytes")?.cast_unsigned(),
                offset_bytes: row.try_get::<i64, _>("offset_bytes")?.cast_unsigned(),
                expires_at_ms: row.try_get("expires_at_ms")?,
                wrapped_key: row.try_get("wrapped_key")?,
            })
        })
        .transpose()
    }

    /// Says that everything up to `offset_bytes`, which must be on the disk and short of the end, has arrived for good.
    ///
    /// # Errors
    /// What the database says; `RowNotFound` if the upload was removed or counted further meanwhile.
    pub async fn count(&mut self, app: &App, offset_bytes: u64) -> Result<(), sqlx::Error> {
        debug_assert!(offset_bytes < self.size_bytes);
        let expires_at_ms = crate::clock::now_ms() + LIFE_MS;
        let mut tx = app.database.begin().await?;
        let counted = sqlx::query(
            "update upload set offset_bytes = $3, expires_at_ms = $4 where upload_id = $1 and offset_bytes = $2",
        )
        .bind(self.id.to_string())
        .bind(self.offset_bytes.cast_signed())
        .bind(offset_bytes.cast_signed())
        .bind(expires_at_ms)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if counted == 0 {
            return Err(sqlx::Error::RowNotFound);
        }
        tx.commit().await?;
        self.offset_bytes = offset_bytes;
        self.expires_at_ms = expires_at_ms;
        Ok(())
    }

    /// Says, in the transaction that writes what it became, that all of it is here.
    ///
    /// # Errors
    /// What the database says; `RowNotFound` if it was removed meanwhile.
    pub(super) async fn complete(&self, tx: &mut Tx) -> Result<(), sqlx::Error> {
        let completed =
            sqlx::query("update upload set offset_bytes = size_bytes where upload_id = $1")
                .bind(self.id.to_string())
                .execute(&mut **tx)
                .await?
                .rows_affected();
        match completed {
            0 => Err(sqlx::Error::RowNotFound),
            _ => Ok(()),
        }
    }

    /// What its sealed file is called in the store.
    pub fn object(&self) -> String {
        object_name(self.unit, self.sha256, self.id)
    }

    /// Removes the object unless an attachment is made of it, the row, then the file. A crash between the last two leaves a
    /// file without a row, which the sweep removes.
    ///
    /// # Errors
    /// What the database or the disk says.
    pub async fn remove(&self, app: &App) -> Result<(), RemoveError> {
        let held = sqlx::query(
            "select object from attachment where object = $1 union all select object from preview where object = $1",
        )
        .bind(self.object())
        .fetch_optional(&app.database.read)
        .await?;
        if held.is_none() {
            app.objects.remove(&self.object()).await?;
        }
        let mut tx = app.database.begin().await?;
        sqlx::query("delete from upload where upload_id = $1")
            .bind(self.id.to_string())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        remove_file(app, self.id).await?;
        Ok(())
    }

    /// The key of what lies in its file.
    fn key(&self, app: &App) -> Result<Key, Sealed> {
        app.vault.key(&key_name(self.id), &self.wrapped_key)
    }
}

/// The uploads of `phone` beyond the limit, those touched longest ago.
///
/// # Errors
/// What the database says.
pub async fn beyond_the_limit(app: &App, phone: PhoneId) -> Result<Vec<UploadId>, sqlx::Error> {
    let rows = sqlx::query(
        "select upload_id from upload where phone_id = $1 and offset_bytes < size_bytes \
         order by expires_at_ms desc, upload_id limit 1000 offset $2",
    )
    .bind(phone.to_string())
    .bind(UNFINISHED_LIMIT)
    .fetch_all(&app.database.read)
    .await?;
    rows.iter().map(|row| parsed(row, "upload_id")).collect()
}

/// An upload could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Its row.
    #[error("the row of an upload could not be removed")]
    Row(#[from] sqlx::Error),
    /// Its file.
    #[error("the file of an upload could not be removed")]
    File(#[from] io::Error),
    /// Its object.
    #[error("the object of an upload could not be removed")]
    Object(#[from] StoreError),
}

fn key_name(id: UploadId) -> String {
    format!("upload/{id}")
}

/// The folder of the files of uploads under way.
pub fn folder(app: &App) -> PathBuf {
    app.config.data.join("uploads")
}

/// Removes the file of an upload, if it is there.
///
/// # Errors
/// What the disk says.
pub async fn remove_file(app: &App, id: UploadId) -> io::Result<()> {
    match tokio::fs::remove_file(folder(app).join(id.to_string())).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Makes the empty file of a new upload; its name is on the disk when this returns.
///
/// # Errors
/// What the disk says.
pub async fn create_file(app: &App, id: UploadId) -> io::Result<()> {
    let folder = folder(app);
    tokio::fs::create_dir_all(&folder).await?;
    let path = folder.join(id.to_string());
    File::create_new(path).await?.sync_all().await?;
    File::open(folder).await?.sync_all().await
}

/// The file of an upload, held by whoever writes it: one at a time, in all processes of this machine.
pub struct Staged {
    file: File,
    cipher: ChaCha20,
}

/// Why a file could not be held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Somebody else holds it.
    #[error("the upload is being written")]
    Busy,
    /// It is not there, or shorter than its row says.
    #[error("the file of an upload is gone")]
    Gone,
    /// The disk.
    #[error("the disk failed")]
    Disk(#[from] io::Error),
    /// The key does not open.
    #[error(transparent)]
    Sealed(#[from] Sealed),
}

impl Staged {
    /// Holds the file until dropped. The row may have changed before it was held: read it again.
    ///
    /// # Errors
    /// Why it could not be held.
    pub async fn hold(app: &App, upload: &Upload) -> Result<Self, HoldError> {
        let key = upload.key(app)?;
        let path = folder(app).join(upload.id.to_string());
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => HoldError::Gone,
                _ => HoldError::Disk(error),
            })?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => HoldError::Busy,
            TryLockError::Error(error) => HoldError::Disk(error),
        })?;
        if file.metadata()?.len() < upload.offset_bytes {
            return Err(HoldError::Gone);
        }
        // The key is the upload's alone; its random id is nonce enough.
        let nonce: [u8; 12] = *upload
            .id
            .0
            .as_bytes()
            .first_chunk()
            .expect("a UUID has 16 bytes");
        Ok(Self {
            file: File::from_std(file),
            cipher: ChaCha20::new((&*key).into(), &nonce.into()),
        })
    }

    /// Writes these bytes of the upload at `offset_bytes`; leaves the buffer empty. Not on the disk before [`Staged::sync`].
    ///
    /// # Errors
    /// What the disk says.
    pub async fn write(&mut self, offset_bytes: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
        self.cipher.seek(offset_bytes);
        self.cipher.apply_keystream(bytes);
        self.file.seek(io::SeekFrom::Start(offset_bytes)).await?;
        self.file.write_all(bytes).await?;
        self.file.flush().await?;
        bytes.clear();
        Ok(())
    }

    /// Returns when everything written is on the disk.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data().await
    }

    /// Exactly `size` bytes of the upload from `offset_bytes` on.
    ///
    /// # Errors
    /// What the disk says; `UnexpectedEof` if they are not there.
    pub async fn read(&mut self, offset_bytes: u64, size: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; size];
        self.file.seek(io::SeekFrom::Start(offset_bytes)).await?;
        self.file.read_exact(&mut bytes).await?;
        self.cipher.seek(offset_bytes);
        self.cipher.apply_keystream(&mut bytes);
        Ok(bytes)
    }
}
