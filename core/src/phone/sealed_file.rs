//! A file on the phone's disk that only this database opens: STREAM over XChaCha20-Poly1305, chunks of 64 KiB with a last-chunk
//! flag, so that a cut, swapped or changed chunk is found, and any offset can be read without the rest.
//!
//! Each file has a key of its own and is written once, so the stream's nonce can be constant.

use super::error::PhoneError;
use aead_stream::{NewStream as _, StreamBE32, StreamPrimitive as _};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use std::{
    fs::File,
    io::{Read, Seek as _, SeekFrom, Write as _},
    path::Path,
};
use zeroize::Zeroizing;

/// Bytes of a chunk before it is sealed.
const CHUNK: usize = 64 << 10;
/// Bytes that sealing adds to a chunk.
const TAG: usize = 16;

/// A file's own key.
pub(super) type FileKey = Zeroizing<[u8; 32]>;

fn stream(key: &FileKey) -> StreamBE32<XChaCha20Poly1305> {
    StreamBE32::from_aead(XChaCha20Poly1305::new((&**key).into()), &Default::default())
}

/// Writes everything of `from` to a new file at `path`, sealed, and syncs it to the disk. `saw` hears each chunk in the clear.
///
/// # Errors
/// What the disk says.
pub(super) fn write(
    mut from: impl Read,
    path: &Path,
    key: &FileKey,
    mut saw: impl FnMut(&[u8]),
) -> Result<(), PhoneError> {
    let stream = stream(key);
    let mut file = File::options().write(true).create_new(true).open(path)?;
    let mut chunk = next_chunk(&mut from)?;
    for position in 0.. {
        let following = if chunk.len() == CHUNK { next_chunk(&mut from)? } else { Zeroizing::new(Vec::new()) };
        let last = following.is_empty();
        saw(&chunk);
        let sealed = stream
            .encrypt(position, last, chunk.as_slice())
            .map_err(|_| PhoneError::internal("a chunk could not be sealed"))?;
        file.write_all(&sealed)?;
        if last {
            break;
        }
        chunk = following;
    }
    file.sync_all()?;
    Ok(())
}

fn next_chunk(from: &mut impl Read) -> Result<Zeroizing<Vec<u8>>, PhoneError> {
    let mut chunk = Zeroizing::new(Vec::with_capacity(CHUNK));
    from.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)?;
    Ok(chunk)
}

/// Reads up to `most` bytes of the clear text from `offset` on, of a file whose clear text has `size` bytes.
///
/// # Errors
/// `NotFound` if the file vanished; `Internal` if it was changed.
pub(super) fn read(path: &Path, key: &FileKey, size: u64, offset: u64, most: usize) -> Result<Vec<u8>, PhoneError> {
    let damaged = || PhoneError::internal("a sealed file was changed or cut");
    let stream = stream(key);
    let mut file = File::open(path)?;
    let chunks = size.div_ceil(CHUNK as u64).max(1);
    let mut read = Vec::new();
    let mut skip = usize::try_from(offset % CHUNK as u64).map_err(|_| damaged())?;
    for number in offset / CHUNK as u64..chunks {
        if read.len() >= most {
            break;
        }
        let position = u32::try_from(number).map_err(|_| damaged())?;
        let mut sealed = Vec::with_capacity(CHUNK + TAG);
        file.seek(SeekFrom::Start(number * (CHUNK + TAG) as u64))?;
        file.by_ref().take((CHUNK + TAG) as u64).read_to_end(&mut sealed)?;
        let clear = stream.decrypt(position, number + 1 == chunks, sealed.as_slice()).map_err(|_| damaged())?;
        read.extend_from_slice(clear.get(skip..).ok_or_else(damaged)?);
        skip = 0;
    }
    read.truncate(most);
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed(folder: &Path, clear: &[u8]) -> (std::path::PathBuf, FileKey) {
        let key: FileKey = Zeroizing::new([7; 32]);
        let path = folder.join("file");
        write(clear, &path, &key, |_| {}).expect("written");
        (path, key)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_part_of_any_size_reads_back(size in 0usize..200_000, from in 0.0f64..1.0, most in 1usize..100_000) {
            let clear: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let folder = tempfile::tempdir().expect("a folder");
            let (path, key) = sealed(folder.path(), &clear);
            let offset = (size as f64 * from) as usize;
            let part = read(&path, &key, size as u64, offset as u64, most).expect("reads");
            prop_assert_eq!(&part[..], &clear[offset..size.min(offset + most)]);
        }
    }

    #[test]
    fn a_changed_byte_and_a_cut_chunk_are_found() {
        let clear = vec![1; 3 * CHUNK];
        let folder = tempfile::tempdir().expect("a folder");
        let (path, key) = sealed(folder.path(), &clear);
        let bytes = std::fs::read(&path).expect("reads");
        assert!(!bytes.windows(64).any(|window| window == [1; 64]), "the clear text is not on the disk");
        let mut changed = bytes.clone();
        changed[CHUNK + TAG + 5] ^= 1;
        std::fs::write(&path, &changed).expect("writes");
        assert!(read(&path, &key, clear.len() as u64, 0, usize::MAX).is_err());
        std::fs::write(&path, &bytes[..2 * (CHUNK + TAG)]).expect("writes");
        assert!(read(&path, &key, 2 * CHUNK as u64, 0, usize::MAX).is_err(), "a cut file claims to be shorter");
    }
}
