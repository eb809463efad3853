//! A dossier's file from front to back: what is signed is kept, and of each attachment only its hash and its size, so that a file
//! of many gigabytes is written and believed in the memory that its changes take.
//!
//! Every length has one spelling, and nothing stands behind the last attachment.

use super::proof::{Broken, What};
use crate::hash::Sha256;
use sha2::Digest as _;
use std::io::{self, Read};

/// Bytes of an attachment that are hashed at a time.
const PIECE_BYTES: usize = 64 << 10;

/// The major types of CBOR that there are in a file.
const NUMBER: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;

/// A file, without the bytes of its attachments.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) version: u64,
    /// A [`super::Statement`] as a token of the log's key.
    pub(super) statement: String,
    /// [`super::Contents`]; the statement holds their hash.
    pub(super) contents: Vec<u8>,
    /// In the order of the file.
    pub(super) attachments: Vec<Attached>,
}

/// An attachment as it lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Of its bytes.
    pub sha256: Sha256,
    /// How many they are.
    pub size_bytes: u64,
}

/// Why a file was not believed.
#[derive(Debug, thiserror::Error)]
pub enum Unbelieved {
    /// It could not be read to its end.
    #[error("the file cannot be read")]
    Unreadable(#[source] io::Error),
    /// It does not hold.
    #[error(transparent)]
    Broken(#[from] Broken),
}

impl From<io::Error> for Unbelieved {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // A file that ends too early was read; it is cut.
            io::ErrorKind::UnexpectedEof => format().into(),
            _ => Self::Unreadable(error),
        }
    }
}

fn format() -> Broken {
    Broken::new(What::Format, "")
}

/// What stands before the attachments of a file that has `attachments` of them.
pub(super) fn front(version: u64, statement: &str, contents: &[u8], attachments: u64) -> Vec<u8> {
    let mut front = Vec::with_capacity(contents.len() + statement.len() + 64);
    minicbor::Encoder::new(&mut front)
        .array(4)
        .and_then(|to| to.u64(version))
        .and_then(|to| to.str(statement))
        .and_then(|to| to.bytes(contents))
        .and_then(|to| to.array(attachments))
        .expect("writing to memory does not fail");
    front
}

/// What stands in a file directly before the bytes of an attachment.
#[must_use]
pub fn before_attachment(size_bytes: u64) -> Vec<u8> {
    let mut head = Vec::with_capacity(9);
    minicbor::Encoder::new(&mut head)
        .bytes_len(size_bytes)
        .expect("writing to memory does not fail");
    head
}

impl Parts {
    /// Reads a whole file.
    pub(super) fn read(file: &mut impl Read) -> Result<Self, Unbelieved> {
        let mut parts = Self::read_front(file)?;
        for _ in 0..head(file, ARRAY)? {
            parts.attachments.push(attachment(file)?);
        }
        ended(file)?;
        Ok(parts)
    }

    /// Reads what stands before the attachments, of which each was seen elsewhere.
    pub(super) fn beside(mut front: &[u8], attachments: Vec<Attached>) -> Result<Self, Broken> {
        let read = |file: &mut &[u8]| {
            let parts = Self::read_front(file)?;
            let count = head(file, ARRAY)?;
            ended(file)?;
            Ok((parts, count))
        };
        // Memory is read to its end.
        let (parts, count) = read(&mut front).map_err(|error: Unbelieved| match error {
            Unbelieved::Broken(broken) => broken,
            Unbelieved::Unreadable(_) => format(),
        })?;
        if count != attachments.len() as u64 {
            return Err(format());
        }
        Ok(Self {
            attachments,
            ..parts
        })
    }

    fn read_front(file: &mut impl Read) -> Result<Self, Unbelieved> {
        if head(file, ARRAY)? != 4 {
            return Err(format().into());
        }
        let version = head(file, NUMBER)?;
        let size_bytes = head(file, TEXT)?;
        let statement = bytes(file, size_bytes)?;
        let size_bytes = head(file, BYTES)?;
        Ok(Self {
            version,
            statement: String::from_utf8(statement).map_err(|_| format())?,
            contents: bytes(file, size_bytes)?,
            attachments: Vec::new(),
        })
    }
}

/// The number, or the length, that begins an item of this major type.
fn head(file: &mut impl Read, major: u8) -> Result<u64, Unbelieved> {
    let mut first = [0];
    file.read_exact(&mut first)?;
    let [first] = first;
    if first >> 5 != major {
        return Err(format().into());
    }
    let (length, least) = match first & 0b1_1111 {
        small @ 0..24 => return Ok(small.into()),
        24 => (1, 24),
        25 => (2, 1 << 8),
        26 => (4, 1 << 16),
        27 => (8, 1 << 32),
        _ => return Err(format().into()),
    };
    let mut number = [0; 8];
    file.read_exact(&mut number[8 - length..])?;
    let number = u64::from_be_bytes(number);
    if number < least {
        // The same number has a shorter spelling.
        return Err(format().into());
    }
    Ok(number)
}

/// The next `size_bytes` of the file. What claims to be long costs nothing until it is.
fn bytes(file: &mut impl Read, size_bytes: u64) -> Result<Vec<u8>, Unbelieved> {
    let mut bytes = Vec::new();
    file.take(size_bytes).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size_bytes {
        Ok(bytes)
    } else {
        Err(format().into())
    }
}

fn attachment(file: &mut impl Read) -> Result<Attached, Unbelieved> {
    let size_bytes = head(file, BYTES)?;
    let mut left = size_bytes;
    let mut hasher = sha2::Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    while left > 0 {
        let length = left.min(PIECE_BYTES as u64) as usize;
        file.read_exact(&mut piece[..length])?;
        hasher.update(&piece[..length]);
        left -= length as u64;
    }
    Ok(Attached {
        sha256: Sha256(hasher.finalize().into()),
        size_bytes,
    })
}

fn ended(file: &mut impl Read) -> Result<(), Unbelieved> {
    let mut behind = Vec::new();
    match file.take(1).read_to_end(&mut behind)? {
        0 => Ok(()),
        _ => Err(format().into()),
    }
}
