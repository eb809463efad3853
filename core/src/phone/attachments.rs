//! Photos and files: an encrypted file of our own, known by its SHA-256, on the disk before the document names it.
//!
//! They cross the border as paths, never as bytes. If the phone dies between the file and the row, an encrypted file that no row
//! names is left over, the officer's original is untouched, and the next opening sweeps.

use super::{
    Phone,
    error::PhoneError,
    preview,
    sealed_file::{self, FileKey},
    store::Also,
};
use crate::{
    attachment::{Attachment, MediaType, SIZE_LIMIT_BYTES},
    document::Kind,
    evidence::EvidenceFile,
    hash::Sha256,
    id::{AttachmentId, DocumentId, PersonId},
    invalid::{Invalid, Rule},
    patrol::PatrolLog,
};
use sha2::Digest as _;
use sqlx::{Row as _, Sqlite, SqliteConnection, Transaction};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Random bytes of a sealed file's name.
const NAME_BYTES: usize = 16;

/// An attachment as the phone holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// What it is.
    pub media_type: String,
    /// The server has it whole.
    pub received: bool,
    /// This phone still has its copy: see [`Phone::let_go`].
    pub on_phone: bool,
    /// There is a small picture of it: see [`Phone::preview`].
    pub preview: bool,
}

/// An attachment as a document names it: on which of its records it hangs, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachmentView {
    /// Its id, to withdraw it.
    pub attachment: AttachmentId,
    /// The observation or the piece of evidence it hangs on; none for the document itself.
    pub item: Option<String>,
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// What it is.
    pub media_type: String,
    /// Who attached it.
    pub attached_by: PersonId,
    /// When, Unix milliseconds.
    pub attached_at_ms: i64,
    /// When it was withdrawn as a slip, Unix milliseconds: it is no longer shown.
    pub withdrawn_at_ms: Option<i64>,
}

impl AttachmentView {
    /// Of all that a document names.
    pub(super) fn of(attachments: BTreeMap<AttachmentId, Attachment>) -> Vec<Self> {
        let view = |(attachment, of): (AttachmentId, Attachment)| Self {
            attachment,
            item: of.item,
            sha256: of.sha256,
            size_bytes: of.size_bytes.unsigned_abs(),
            media_type: of.media_type,
            attached_by: of.attached_by,
            attached_at_ms: of.attached_at_ms,
            withdrawn_at_ms: of.withdrawn_at_ms,
        };
        attachments.into_iter().map(view).collect()
    }
}

/// A sealed file that no document names yet.
pub(super) struct NewFile {
    sha256: Sha256,
    size_bytes: u64,
    media_type: MediaType,
    key: FileKey,
    name: String,
    preview: Option<Preview>,
    /// The copy that is here already is whole: it stays, and this one is swept.
    here_already: bool,
}

/// The small picture beside a sealed photo, sealed too.
struct Preview {
    size_bytes: u64,
    key: FileKey,
    name: String,
}

impl NewFile {
    /// The names of what lies on the disk for it.
    fn names(&self) -> impl Iterator<Item = &str> {
        let preview = self.preview.as_ref().map(|preview| preview.name.as_str());
        [self.name.as_str()].into_iter().chain(preview)
    }

    /// Names the file in the transaction that makes a document name it.
    pub(super) async fn put(
        &self,
        tx: &mut Transaction<'_, Sqlite>,
        document: DocumentId,
    ) -> Result<(), PhoneError> {
        self.hold(tx).await?;
        sqlx::query("insert into attachment_use (document_id, sha256) values ($1, $2) on conflict do nothing")
            .bind(document.to_string())
            .bind(self.sha256.to_string())
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Names the file, of which a document speaks already.
    pub(super) async fn hold(&self, tx: &mut Transaction<'_, Sqlite>) -> Result<(), PhoneError> {
        sqlx::query(
            "insert into attachment (sha256, size_bytes, media_type, file_key, file_name, \
             preview_key, preview_name, preview_size_bytes) values ($1, $2, $3, $4, $5, $6, $7, $8) \
             on conflict (sha256) do update set file_key = excluded.file_key, file_name = excluded.file_name, \
             preview_key = coalesce(excluded.preview_key, preview_key), \
             preview_name = coalesce(excluded.preview_name, preview_name), \
             preview_size_bytes = coalesce(excluded.preview_size_bytes, preview_size_bytes), let_go_at_ms = null \
             where let_go_at_ms is not null or not $9",
        )
        .bind(self.sha256.to_string())
        .bind(i64::try_from(self.size_bytes).map_err(PhoneError::internal)?)
        .bind(self.media_type.word())
        .bind(self.key.to_vec())
        .bind(&self.name)
        .bind(self.preview.as_ref().map(|preview| preview.key.to_vec()))
        .bind(self.preview.as_ref().map(|preview| &preview.name))
        .bind(self.preview.as_ref().map(|preview| preview.size_bytes.cast_signed()))
        .bind(self.here_already)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

/// A file that waits for the server.
pub(super) struct Unsent {
    pub(super) sha256: Sha256,
    pub(super) size_bytes: u64,
    pub(super) upload_url: Option<String>,
    key: FileKey,
    path: PathBuf,
}

/// A small picture that waits for the server.
pub(super) struct UnsentPreview {
    /// The photo's hash.
    pub(super) of: Sha256,
    /// The small picture, under the photo's hash.
    pub(super) file: Unsent,
}

impl Unsent {
    /// Up to `most` bytes from `offset` on.
    pub(super) async fn read(&self, offset: u64, most: usize) -> Result<Vec<u8>, PhoneError> {
        let (path, key, size) = (self.path.clone(), self.key.clone(), self.size_bytes);
        blocking(move || sealed_file::read(&path, &key, size, offset, most)).await
    }
}

impl Phone {
    /// Hangs the file at `path` on a document, or on the observation or the piece of evidence `item` in it. Attached again, it
    /// takes the place of a copy that was let go or is damaged.
    /// Returns when the sealed copy and the record are on the disk; the file at `path` is no longer needed then.
    ///
    /// # Errors
    /// `Invalid` at `attachment` for an empty, too large, or unknown kind of file, at `item` for no such item;
    /// `NotFound` for no file or no document; `StorageFull`.
    pub async fn attach(
        &self,
        document: DocumentId,
        item: Option<String>,
        path: &Path,
    ) -> Result<Sha256, PhoneError> {
        let (from, to) = (path.to_owned(), self.files());
        let mut file = blocking(move || seal_into(&to, &from)).await?;
        file.here_already = self.has_whole(file.sha256).await?;
        let sha256 = file.sha256;
        let sealed: Vec<PathBuf> = file.names().map(|name| self.files().join(name)).collect();
        let attached = self.hang(document, item, file).await;
        // Only where a rule was broken is it certain that nothing names the sealed copy.
        if matches!(attached, Err(PhoneError::Invalid(_) | PhoneError::NotFound)) {
            for sealed in sealed {
                tokio::fs::remove_file(sealed).await?;
            }
        }
        attached.map(|()| sha256)
    }

    /// Whether there is a copy of the file here that reads as what it was.
    pub(super) async fn has_whole(&self, sha256: Sha256) -> Result<bool, PhoneError> {
        let row = {
            let mut store = self.store().await;
            sqlx::query(
                "select sha256, size_bytes, file_key, file_name, upload_url from attachment \
                 where sha256 = $1 and let_go_at_ms is null",
            )
            .bind(sha256.to_string())
            .fetch_optional(&mut store.connection)
            .await?
        };
        let Some(row) = row else { return Ok(false) };
        let file = unsent(&row, &self.files())?;
        let read = file.read(0, usize::MAX).await;
        Ok(read.is_ok_and(|bytes| Sha256::of(&bytes) == sha256))
    }

    /// Makes the document name the sealed file.
    async fn hang(
        &self,
        document: DocumentId,
        item: Option<String>,
        file: NewFile,
    ) -> Result<(), PhoneError> {
        let sha256 = file.sha256;
        let mut store = self.store().await;
        let stamp = self.stamp(store.profile()?.person);
        let key = store.key(document).await?;
        let attachment = Attachment {
            item,
            sha256,
            size_bytes: i64::try_from(file.size_bytes).map_err(PhoneError::internal)?,
            media_type: file.media_type.word().to_owned(),
            attached_at_ms: stamp.at_ms,
            attached_by: stamp.by,
            withdrawn_at_ms: None,
        };
        let also = Also::Attachment(file);
        match key.kind {
            Kind::PatrolLog => {
                let attach = |log: &mut PatrolLog| log.attach(stamp, attachment);
                store.edit(&key, stamp.at_ms, also, attach).await?;
            }
            Kind::EvidenceFile => {
                let attach = |file: &mut EvidenceFile| file.attach(stamp, attachment);
                store.edit(&key, stamp.at_ms, also, attach).await?;
            }
            Kind::Review | Kind::Reference => {
                return Err(Invalid::new("document", Rule::WrongKind).into());
            }
        }
        Ok(())
    }

    /// Withdraws a file that was attached by mistake: the document goes on saying that it was attached, and it is no longer shown.
    ///
    /// # Errors
    /// `Invalid` at `attachment`: `Unknown` for none of that id, `Already` when it is withdrawn; `NotFound` for no document.
    pub async fn withdraw_attachment(
        &self,
        document: DocumentId,
        attachment: AttachmentId,
    ) -> Result<(), PhoneError> {
        let mut store = self.store().await;
        let stamp = self.stamp(store.profile()?.person);
        let key = store.key(document).await?;
        match key.kind {
            Kind::PatrolLog => {
                let withdraw = |log: &mut PatrolLog| log.withdraw_attachment(stamp, attachment);
                store.edit(&key, stamp.at_ms, Also::Nothing, withdraw).await
            }
            Kind::EvidenceFile => {
                let withdraw =
                    |file: &mut EvidenceFile| file.withdraw_attachment(stamp, attachment);
                store.edit(&key, stamp.at_ms, Also::Nothing, withdraw).await
            }
            Kind::Review | Kind::Reference => Err(Invalid::new("document", Rule::WrongKind).into()),
        }
    }

    /// What is known here of an attachment.
    ///
    /// # Errors
    /// `NotFound` for one that was attached on another phone.
    pub async fn attachment(&self, sha256: Sha256) -> Result<Attached, PhoneError> {
        let mut store = self.store().await;
        let row = sqlx::query(
            "select size_bytes, media_type, received_at_ms is not null, let_go_at_ms is null, preview_name is not null \
             from attachment where sha256 = $1",
        )
        .bind(sha256.to_string())
        .fetch_one(&mut store.connection)
        .await?;
        Ok(Attached {
            sha256,
            size_bytes: row.get::<i64, _>(0).unsigned_abs(),
            media_type: row.get(1),
            received: row.get(2),
            on_phone: row.get(3),
            preview: row.get(4),
        })
    }

    /// A path where the file lies in the clear, to be shown now. Emptied at the next opening.
    ///
    /// # Errors
    /// `NotFound` for one that was attached on another phone or that this phone let go ([`Phone::download`] brings it); `Internal`
    /// for one that was changed on the disk.
    pub async fn viewable(&self, sha256: Sha256) -> Result<PathBuf, PhoneError> {
        let row = {
            let mut store = self.store().await;
            sqlx::query("select sha256, size_bytes, file_key, file_name, upload_url, media_type from attachment where sha256 = $1")
                .bind(sha256.to_string())
                .fetch_one(&mut store.connection)
                .await?
        };
        let ending = row.get::<&str, _>(5).rsplit('/').next().unwrap_or("bin");
        let name = format!("{sha256}.{ending}");
        self.show(unsent(&row, &self.files())?, name).await
    }

    /// A path where the small picture of a photo lies in the clear, to be shown now: a labelled JPEG of at most 40 KB.
    ///
    /// # Errors
    /// `NotFound` for what has none; `Internal` for one that was changed on the disk.
    pub async fn preview(&self, sha256: Sha256) -> Result<PathBuf, PhoneError> {
        let row = {
            let mut store = self.store().await;
            sqlx::query(
                "select sha256, preview_size_bytes, preview_key, preview_name, null from attachment \
                 where sha256 = $1 and preview_name is not null",
            )
            .bind(sha256.to_string())
            .fetch_one(&mut store.connection)
            .await?
        };
        let name = format!("{sha256}.preview.jpeg");
        self.show(unsent(&row, &self.files())?, name).await
    }

    /// Lays the file in the clear under `name`.
    async fn show(&self, file: Unsent, name: String) -> Result<PathBuf, PhoneError> {
        let folder = self.config.folder.join("viewable");
        let path = folder.join(name);
        let shown = path.clone();
        blocking(move || {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(
                &path,
                sealed_file::read(&file.path, &file.key, file.size_bytes, 0, usize::MAX)?,
            )?;
            Ok(())
        })
        .await?;
        Ok(shown)
    }

    /// The small picture of a photo of which the server has neither.
    pub(super) async fn unsent_preview(&self) -> Result<Option<UnsentPreview>, PhoneError> {
        let mut store = self.store().await;
        let row = sqlx::query(
            "select sha256, preview_size_bytes, preview_key, preview_name, null from attachment \
             where received_at_ms is null and let_go_at_ms is null and preview_name is not null \
             and preview_sent_at_ms is null and preview_size_bytes * 4 < size_bytes order by sha256 limit 1",
        )
        .fetch_optional(&mut store.connection)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let file = unsent(&row, &self.files())?;
        Ok(Some(UnsentPreview {
            of: file.sha256,
            file,
        }))
    }

    /// Files that the server is not known to have.
    pub(super) async fn unsent_files(&self) -> Result<Vec<Unsent>, PhoneError> {
        let mut store = self.store().await;
        let rows = sqlx::query(
            "select sha256, size_bytes, file_key, file_name, upload_url from attachment \
             where received_at_ms is null and let_go_at_ms is null order by sha256",
        )
        .fetch_all(&mut store.connection)
        .await?;
        rows.iter().map(|row| unsent(row, &self.files())).collect()
    }

    pub(super) fn files(&self) -> PathBuf {
        self.config.folder.join("files")
    }
}

fn unsent(row: &sqlx::sqlite::SqliteRow, files: &Path) -> Result<Unsent, PhoneError> {
    let key: [u8; 32] = row
        .get::<Vec<u8>, _>(2)
        .try_into()
        .map_err(|_| PhoneError::internal("a file key is not 32 bytes"))?;
    Ok(Unsent {
        sha256: row
            .get::<&str, _>(0)
            .parse()
            .map_err(PhoneError::internal)?,
        size_bytes: row.get::<i64, _>(1).unsigned_abs(),
        upload_url: row.get(4),
        key: Zeroizing::new(key),
        path: files.join(row.get::<&str, _>(3)),
    })
}

/// Removes what was shown in the clear. Copies, not records: the sealed files stay.
pub(super) fn forget_viewable(folder: &Path) -> Result<(), PhoneError> {
    match std::fs::remove_dir_all(folder.join("viewable")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Removes sealed files that are certainly nobody's. The database is open and so locked, and no [`Phone`] uses it yet: whoever
/// wrote a file that is here now and that no row names died before its row, or was dropped and will never write one.
///
/// # Errors
/// `Internal` when the folder or the database cannot be read. A file that cannot be removed harms nobody and stays.
pub(super) async fn sweep(
    folder: &Path,
    connection: &mut SqliteConnection,
) -> Result<(), PhoneError> {
    let files = folder.join("files");
    // The rows that named a file may lie among what is set aside.
    if folder.join(super::damage::FOLDER).try_exists()? {
        return Ok(());
    }
    let here: Vec<String> = match std::fs::read_dir(&files) {
        Ok(entries) => entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| is_ours(name))
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let named: BTreeSet<String> = sqlx::query(
        "select file_name from attachment where let_go_at_ms is null \
         union all select preview_name from attachment where preview_name is not null",
    )
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| row.get(0))
    .collect();
    for name in orphans(here, &named) {
        std::fs::remove_file(files.join(name)).ok();
    }
    Ok(())
}

/// A name as [`seal`] draws it. What is called otherwise was not put there by us.
fn is_ours(name: &str) -> bool {
    name.len() == 2 * NAME_BYTES && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn orphans(here: Vec<String>, named: &BTreeSet<String>) -> impl Iterator<Item = String> {
    here.into_iter().filter(|name| !named.contains(name))
}

/// Writes everything of `from` to a sealed file of its own in `files`: its key and its name.
fn seal(
    files: &Path,
    from: impl Read,
    saw: impl FnMut(&[u8]),
) -> Result<(FileKey, String), PhoneError> {
    let key: FileKey = Zeroizing::new(rand::random());
    let name = hex::encode(rand::random::<[u8; NAME_BYTES]>());
    sealed_file::write(from, &files.join(&name), &key, saw)?;
    Ok((key, name))
}

/// Copies the file at `from` into a sealed file in `files`, and looks at what it is on the way.
fn seal_into(files: &Path, from: &Path) -> Result<NewFile, PhoneError> {
    std::fs::create_dir_all(files)?;
    let mut head = [0; MediaType::SNIFFED_BYTES];
    let source = std::fs::File::open(from)?;
    let size_bytes = source.metadata()?.len();
    let sniffed = Read::read(&mut &source, &mut head)?;
    let media_type = MediaType::of(&head[..sniffed], size_bytes)?;
    let mut hasher = sha2::Sha256::new();
    let mut seen = 0;
    let whole = head[..sniffed].chain(source.take(SIZE_LIMIT_BYTES + 1));
    let (key, name) = seal(files, whole, |chunk| {
        hasher.update(chunk);
        seen += chunk.len() as u64;
    })?;
    let sha256 = Sha256(hasher.finalize().into());
    let preview = preview::make(from, sha256)
        .map(|jpeg| {
            let (key, name) = seal(files, jpeg.as_slice(), |_| {})?;
            let size_bytes = jpeg.len() as u64;
            Ok::<_, PhoneError>(Preview {
                size_bytes,
                key,
                name,
            })
        })
        .transpose()?;
    std::fs::File::open(files)?.sync_all()?;
    // The file may have grown while it was read: what was sealed is what counts.
    MediaType::of(&head[..sniffed], seen)?;
    Ok(NewFile {
        sha256,
        size_bytes: seen,
        media_type,
        key,
        name,
        preview,
        here_already: false,
    })
}

/// Seals a file that the server gave into `files`. The small picture of a photo is for slow lines: one that came over a line needs none.
pub(super) fn seal_given(
    files: &Path,
    sha256: Sha256,
    bytes: &[u8],
) -> Result<NewFile, PhoneError> {
    std::fs::create_dir_all(files)?;
    let size_bytes = bytes.len() as u64;
    let media_type = MediaType::of(bytes, size_bytes)?;
    let (key, name) = seal(files, bytes, |_| {})?;
    std::fs::File::open(files)?.sync_all()?;
    Ok(NewFile {
        sha256,
        size_bytes,
        media_type,
        key,
        name,
        preview: None,
        here_already: false,
    })
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PhoneError> + Send + 'static,
) -> Result<T, PhoneError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(PhoneError::internal)?
}

#[cfg(test)]
mod tests;
