//! How an attachment lies in the store: 19 random bytes of nonce, then STREAM chunks of 64 KiB of XChaCha20-Poly1305 under the
//! attachment's own key. A chunk's nonce says its place and whether it is the last, so that chunks cannot be swapped, dropped
//! or cut off, and any one of them opens alone: a range of a 64 MiB file costs the chunks it touches.
//!
//! The thumbnail lies beside it under the same key: erasing the key erases both.

use super::objects::Objects;
use crate::vault::{Key, Sealed};
use aead_stream::{NewStream as _, StreamBE32, StreamPrimitive as _};
use axum::body::Bytes;
use chacha20poly1305::XChaCha20Poly1305;
use futures_util::{Stream, stream};
use object_store::{GetOptions, GetRange, ObjectStoreExt as _, path::Path};
use std::ops::Range;

/// Bytes of the file in one sealed chunk.
const CHUNK_BYTES: u64 = 64 << 10;
const TAG_BYTES: u64 = 16;
const NONCE_BYTES: u64 = 19;
const SEALED_CHUNK_BYTES: u64 = CHUNK_BYTES + TAG_BYTES;
/// What a download reads and opens at a time: 8 chunks.
const PIECE_BYTES: u64 = 8 * CHUNK_BYTES;

type Cipher = StreamBE32<XChaCha20Poly1305>;

/// Bytes could not be kept or given back.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk.
    #[error("the disk failed")]
    Disk(#[from] std::io::Error),
    /// The object store.
    #[error("the object store failed")]
    Object(#[from] object_store::Error),
    /// Changed, cut, or under another key.
    #[error(transparent)]
    Sealed(#[from] Sealed),
}

/// Which file of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// As the phone sent it.
    Original,
    /// The small picture of it.
    Thumbnail,
    /// The small picture that came before it, in an object of its own.
    Preview,
}

impl Part {
    /// Sealed into each chunk, so that one file is never taken for the other.
    const fn word(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Thumbnail => "thumbnail",
            Self::Preview => "preview",
        }
    }

    /// What its object is called, beside the original's `object`.
    pub fn name(self, object: &str) -> String {
        match self {
            Self::Original | Self::Preview => object.to_owned(),
            Self::Thumbnail => format!("{object}.thumbnail"),
        }
    }
}

/// Seals a file from front to back.
pub struct Sealing {
    cipher: Cipher,
    part: Part,
    position: u32,
    open: Vec<u8>,
}

impl Sealing {
    /// Begins, and writes the nonce to `sealed`.
    pub fn begin(key: &Key, part: Part, sealed: &mut Vec<u8>) -> Self {
        let mut nonce = [0; NONCE_BYTES as usize];
        rand::fill(&mut nonce);
        sealed.extend_from_slice(&nonce);
        Self {
            cipher: Cipher::new((&**key).into(), (&nonce).into()),
            part,
            position: 0,
            open: Vec::new(),
        }
    }

    /// Takes more of the file; writes to `sealed` the chunks that are known not to be the last.
    pub fn push(&mut self, mut bytes: &[u8], sealed: &mut Vec<u8>) {
        while !bytes.is_empty() {
            if self.open.len() == CHUNK_BYTES as usize {
                self.chunk(false, sealed);
            }
            let room = CHUNK_BYTES as usize - self.open.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.open.extend_from_slice(now);
            bytes = later;
        }
    }

    /// Writes the last chunk to `sealed`.
    pub fn end(mut self, sealed: &mut Vec<u8>) {
        self.chunk(true, sealed);
    }

    fn chunk(&mut self, last: bool, sealed: &mut Vec<u8>) {
        self.cipher
            .encrypt_in_place(
                self.position,
                last,
                self.part.word().as_bytes(),
                &mut self.open,
            )
            .expect("a chunk is far below the cipher's limit");
        sealed.append(&mut self.open);
        self.position += 1;
    }
}

/// Seals `bytes` whole, for what is small.
pub fn seal(key: &Key, part: Part, bytes: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    let mut sealing = Sealing::begin(key, part, &mut sealed);
    sealing.push(bytes, &mut sealed);
    sealing.end(&mut sealed);
    sealed
}

/// A sealed file, open for reading.
pub struct Reading {
    objects: Objects,
    path: Path,
    cipher: Cipher,
    part: Part,
    sealed_bytes: u64,
}

impl Reading {
    /// Opens this part of the attachment whose original is called `object`: one request.
    ///
    /// # Errors
    /// What the store says; `Sealed` for a file that is too short to be one.
    pub async fn open(
        objects: &Objects,
        object: &str,
        key: &Key,
        part: Part,
    ) -> Result<Self, StoreError> {
        let path = Path::from(part.name(object));
        let head = GetOptions {
            range: Some(GetRange::Bounded(0..NONCE_BYTES)),
            ..GetOptions::default()
        };
        let head = objects.store().get_opts(&path, head).await?;
        let sealed_bytes = head.meta.size;
        if sealed_bytes < NONCE_BYTES + TAG_BYTES {
            return Err(Sealed.into());
        }
        let nonce = head.bytes().await?;
        let nonce: [u8; NONCE_BYTES as usize] = (&*nonce).try_into().map_err(|_| Sealed)?;
        Ok(Self {
            cipher: Cipher::new((&**key).into(), (&nonce).into()),
            objects: objects.clone(),
            path,
            part,
            sealed_bytes,
        })
    }

    fn chunks(&self) -> u64 {
        (self.sealed_bytes - NONCE_BYTES).div_ceil(SEALED_CHUNK_BYTES)
    }

    /// The file's size when open, bytes.
    pub fn size_bytes(&self) -> u64 {
        (self.sealed_bytes - NONCE_BYTES).saturating_sub(self.chunks() * TAG_BYTES)
    }

    /// These bytes of the file; reads and opens only the chunks they lie in. A range beyond the end is cut at the end.
    ///
    /// # Errors
    /// What the store says; `Sealed` if a chunk was changed, moved, or its followers cut off.
    pub async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let end = range.end.min(self.size_bytes());
        if range.start >= end {
            return Ok(Vec::new());
        }
        let (first, last) = (range.start / CHUNK_BYTES, (end - 1) / CHUNK_BYTES);
        let from = NONCE_BYTES + first * SEALED_CHUNK_BYTES;
        let until = (NONCE_BYTES + (last + 1) * SEALED_CHUNK_BYTES).min(self.sealed_bytes);
        let sealed = self
            .objects
            .store()
            .get_range(&self.path, from..until)
            .await?;
        let mut opened = Vec::with_capacity(sealed.len());
        for (chunk, position) in sealed.chunks(SEALED_CHUNK_BYTES as usize).zip(first..) {
            let mut bytes = chunk.to_vec();
            let place = u32::try_from(position).map_err(|_| Sealed)?;
            self.cipher
                .decrypt_in_place(
                    place,
                    position + 1 == self.chunks(),
                    self.part.word().as_bytes(),
                    &mut bytes,
                )
                .map_err(|_| Sealed)?;
            opened.append(&mut bytes);
        }
        let skipped = (range.start - first * CHUNK_BYTES) as usize;
        opened.truncate((end - first * CHUNK_BYTES) as usize);
        opened.drain(..skipped);
        Ok(opened)
    }

    /// These bytes of the file, piece by piece, as fast as they are taken.
    pub fn pieces(self, range: Range<u64>) -> impl Stream<Item = Result<Bytes, StoreError>> {
        stream::try_unfold((self, range), |(reading, range)| async move {
            if range.start >= range.end {
                return Ok(None);
            }
            // Up to the next border between pieces, so that no chunk is opened twice.
            let border = (range.start / PIECE_BYTES + 1) * PIECE_BYTES;
            let until = border.min(range.end);
            let bytes = reading.read(range.start..until).await?;
            Ok(Some((Bytes::from(bytes), (reading, until..range.end))))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::Key;
    use futures_util::TryStreamExt as _;

    fn key(seed: u8) -> Key {
        Key::new([seed; 32])
    }

    fn text(size: usize) -> Vec<u8> {
        (0..size).map(|at| (at * 31 % 251) as u8).collect()
    }

    async fn reading(sealed: Vec<u8>, key: &Key, part: Part) -> Result<Reading, StoreError> {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let objects = Objects::open(None, folder).expect("a store");
        let name = part.name("one");
        objects.create(&name, sealed).await.expect("kept");
        Reading::open(&objects, "one", key, part).await
    }

    #[tokio::test]
    async fn a_file_of_any_size_comes_back_whole_and_lies_unreadable() {
        for size in [1, 65_535, 65_536, 65_537, 131_072, 1_000_000] {
            let file = text(size);
            let sealed = seal(&key(1), Part::Original, &file);
            assert!(!sealed.windows(64).any(|window| file.starts_with(window)));
            let reading = reading(sealed, &key(1), Part::Original)
                .await
                .expect("open");
            assert_eq!(reading.size_bytes(), size as u64);
            let pieces: Vec<Bytes> = reading
                .pieces(0..size as u64)
                .try_collect()
                .await
                .expect("every piece opens");
            assert_eq!(pieces.concat(), file);
        }
    }

    #[tokio::test]
    async fn a_range_opens_only_the_chunks_it_touches() {
        let file = text(300_000);
        let mut sealed = seal(&key(1), Part::Original, &file);
        // The first chunk is destroyed: who reads behind it never notices.
        sealed[NONCE_BYTES as usize + 5] ^= 1;
        let reading = reading(sealed, &key(1), Part::Original)
            .await
            .expect("open");
        let behind = reading.read(65_536..200_001).await.expect("whole chunks");
        assert_eq!(behind, file[65_536..200_001]);
        assert!(matches!(
            reading.read(65_535..65_540).await,
            Err(StoreError::Sealed(Sealed))
        ));
    }

    #[tokio::test]
    async fn a_cut_a_swap_another_key_and_another_part_do_not_open() {
        let file = text(200_000);
        let sealed = seal(&key(1), Part::Original, &file);
        let chunk = SEALED_CHUNK_BYTES as usize;
        let start = NONCE_BYTES as usize;
        // Cut exactly between two chunks: each that is left is genuine, but the last of them does not say so.
        let cut = sealed[..start + 2 * chunk].to_vec();
        let mut swapped = sealed.clone();
        swapped[start..start + 2 * chunk].rotate_left(chunk);
        for (sealed, key, part) in [
            (cut, key(1), Part::Original),
            (swapped, key(1), Part::Original),
            (sealed.clone(), key(2), Part::Original),
            (sealed.clone(), key(1), Part::Thumbnail),
        ] {
            let reading = reading(sealed, &key, part).await.expect("a file");
            assert!(reading.read(0..file.len() as u64).await.is_err());
        }
        let whole = reading(sealed, &key(1), Part::Original)
            .await
            .expect("a file");
        assert_eq!(whole.read(0..200_000).await.expect("untouched"), file);
    }
}
