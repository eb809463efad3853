//! The header of one uncompressed Automerge change: who, which number, after what; and the hash that names it.
//!
//! Holds a bounded reader of exactly one change chunk (type 1). It never looks at operations: those are only measured
//! as "the rest", because parsing them is what hostile bytes attack (56 bytes keep Automerge busy for 10 s), and that
//! belongs to a worker process. Whether the change may be admitted (previous own change present, actor of an enrolled
//! phone) is decided elsewhere. Numbers must be in their shortest form, so that one change has one spelling, and
//! nothing is allocated that the input's own length has not paid for.
//!
//! Layout: <https://automerge.org/automerge-binary-format-spec/>.

use crate::hash::Sha256;
use std::fmt;

/// The largest change that is read, bytes.
pub const MAX_CHANGE_BYTES: usize = 1 << 20;

/// The most dependencies a change may name.
pub const MAX_DEPENDENCIES: usize = 64;

/// The longest actor id, bytes. A phone's is 24 (its id and 8 random bytes); genesis and layers use fixed ones.
pub const MAX_ACTOR_BYTES: usize = 64;

/// The furthest a change's time may lie from 1970 on either side: the year 9999, Unix seconds. A phone's clock may be
/// wrong; but Automerge keeps times as differences, which overflow between the ends of 64 bits.
pub const MAX_TIME_S: i64 = 253_402_300_799;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHUNK_TYPE_CHANGE: u8 = 1;
/// Magic (4) and checksum (4); the hash covers everything after them.
const HASHED_FROM: usize = 8;

/// What a change says about itself, borrowed from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The SHA-256 that names the change.
    pub hash: Sha256,
    /// The actor that made it, 1 to [`MAX_ACTOR_BYTES`] bytes.
    pub actor: &'a [u8],
    /// Its number among the actor's changes, from 1.
    pub seq: u64,
    /// The counter of its first operation, from 1.
    pub start_op: u64,
    /// When the actor says it was made: Unix seconds, within [`MAX_TIME_S`] of 1970. Proves nothing.
    pub time_s: i64,
    /// The changes it was made on top of, ascending, none twice.
    pub deps: Vec<Sha256>,
    /// The other actors that its operations mention.
    pub other_actors: u64,
    /// Column metadata, operations and extra bytes: unread.
    pub operations: &'a [u8],
}

/// Why bytes are not the header of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderError {
    /// More than [`MAX_CHANGE_BYTES`].
    TooLarge,
    /// Not a chunk of Automerge, or not of an uncompressed change.
    NotAChange,
    /// The bytes end inside a field, or the chunk's own length is not the number of bytes there are.
    Length,
    /// The checksum is not that of the bytes.
    Checksum,
    /// A number that does not fit, or is written longer than it needs to be.
    Number,
    /// More than [`MAX_DEPENDENCIES`], out of order, or one twice.
    Dependencies,
    /// An actor id that is empty or longer than [`MAX_ACTOR_BYTES`].
    Actor,
    /// A sequence number or operation counter of zero, or beyond the 32 bits that Automerge counts in.
    Counter,
    /// A time further than [`MAX_TIME_S`] from 1970.
    Time,
    /// A message that is not UTF-8.
    Message,
}

impl HeaderError {
    /// The stable word that travels in answers and is kept with quarantined bytes.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::TooLarge => "change-too-large",
            Self::NotAChange => "not-a-change",
            Self::Length => "change-length",
            Self::Checksum => "change-checksum",
            Self::Number => "change-number",
            Self::Dependencies => "change-dependencies",
            Self::Actor => "change-actor",
            Self::Counter => "change-counter",
            Self::Time => "change-time",
            Self::Message => "change-message",
        }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl std::error::Error for HeaderError {}

/// Reads the header of the one change that `bytes` are.
///
/// # Errors
/// The first rule that the bytes break.
pub fn read(bytes: &[u8]) -> Result<Header<'_>, HeaderError> {
    if bytes.len() > MAX_CHANGE_BYTES {
        return Err(HeaderError::TooLarge);
    }
    let mut reader = Reader(bytes);
    if reader.take(4)? != MAGIC {
        return Err(HeaderError::NotAChange);
    }
    let checksum = reader.take(4)?;
    if reader.byte()? != CHUNK_TYPE_CHANGE {
        return Err(HeaderError::NotAChange);
    }
    if reader.length()? != reader.0.len() {
        return Err(HeaderError::Length);
    }
    // The hash is over type, length and data; the length has one spelling, so that is the rest of the bytes as it is.
    let hash = Sha256::of(&bytes[HASHED_FROM..]);
    if checksum != &hash.as_bytes()[..4] {
        return Err(HeaderError::Checksum);
    }

    let deps = reader.dependencies()?;
    let actor = reader.actor()?;
    let seq = reader.counter()?;
    let start_op = reader.counter()?;
    let time_s = reader.signed()?;
    if time_s.unsigned_abs() > MAX_TIME_S.unsigned_abs() {
        return Err(HeaderError::Time);
    }
    let message_bytes = reader.length()?;
    std::str::from_utf8(reader.take(message_bytes)?).map_err(|_| HeaderError::Message)?;
    let other_actors = reader.unsigned()?;
    // Each costs at least two bytes, so a huge count runs out of input, not of time.
    for _ in 0..other_actors {
        reader.actor()?;
    }
    Ok(Header {
        hash,
        actor,
        seq,
        start_op,
        time_s,
        deps,
        other_actors,
        operations: reader.0,
    })
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], HeaderError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(HeaderError::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, HeaderError> {
        Ok(self.take(1)?[0])
    }

    /// Unsigned LEB128 in its shortest form.
    fn unsigned(&mut self) -> Result<u64, HeaderError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            // The tenth byte has room for one bit.
            if shift == 63 && byte > 1 {
                return Err(HeaderError::Number);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let overlong = byte == 0 && shift > 0;
                return if overlong {
                    Err(HeaderError::Number)
                } else {
                    Ok(value)
                };
            }
        }
        Err(HeaderError::Number)
    }

    /// Signed LEB128 in its shortest form.
    fn signed(&mut self) -> Result<i64, HeaderError> {
        let mut value = 0;
        let mut previous = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            // The tenth byte may only repeat the sign.
            if shift == 63 && byte != 0 && byte != 0x7f {
                return Err(HeaderError::Number);
            }
            value |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let negative = byte & 0x40 != 0;
                let repeats_the_sign =
                    (byte == 0 && previous & 0x40 == 0) || (byte == 0x7f && previous & 0x40 != 0);
                if shift > 0 && repeats_the_sign {
                    return Err(HeaderError::Number);
                }
                if negative && shift < 57 {
                    value |= -1 << (shift + 7);
                }
                return Ok(value);
            }
            previous = byte;
        }
        Err(HeaderError::Number)
    }

    /// A length in bytes that the input can still hold.
    fn length(&mut self) -> Result<usize, HeaderError> {
        usize::try_from(self.unsigned()?).map_err(|_| HeaderError::Length)
    }

    /// A counter from 1. Automerge cuts both of its counters to 32 bits, so a larger one would alias a small one.
    fn counter(&mut self) -> Result<u64, HeaderError> {
        let value = self.unsigned()?;
        if value == 0 || value > u64::from(u32::MAX) {
            return Err(HeaderError::Counter);
        }
        Ok(value)
    }

    fn actor(&mut self) -> Result<&'a [u8], HeaderError> {
        let length = self.length()?;
        if length == 0 || length > MAX_ACTOR_BYTES {
            return Err(HeaderError::Actor);
        }
        self.take(length)
    }

    fn dependencies(&mut self) -> Result<Vec<Sha256>, HeaderError> {
        let count = self.length()?;
        if count > MAX_DEPENDENCIES {
            return Err(HeaderError::Dependencies);
        }
        let deps: Vec<Sha256> = self
            .take(count * 32)?
            .chunks_exact(32)
            .filter_map(Sha256::from_slice)
            .collect();
        if deps.is_sorted_by(|a, b| a < b) {
            Ok(deps)
        } else {
            Err(HeaderError::Dependencies)
        }
    }
}

#[cfg(test)]
mod tests;
