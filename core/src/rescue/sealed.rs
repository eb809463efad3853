//! How a rescue file lies on a disk: HPKE (RFC 9180, base mode, X25519, HKDF-SHA256, ChaCha20-Poly1305) in chunks of 64 KiB, to the
//! server's rescue key. Whoever carries the file, the phone that wrote it among them, cannot open it.
//!
//! HPKE counts the chunks itself, so that none can be swapped or dropped; whether a chunk is the last is its associated
//! data, so that a cut between two chunks is found too (RFC 9180 leaves that to the application, section 9.7.4).
//!
//! Layout: magic (14 bytes), version (1), SHA-256 of the server's public key (32), encapsulated key (32), chunks. In the clear, a
//! record is its length (32 bits, big-endian) and that many bytes of CBOR; records run on over the borders of chunks.

use super::{RECORD_LIMIT_BYTES, Record, RescueError};
use crate::hash::Sha256;
use hpke::{
    Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _,
    aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305},
    kdf::HkdfSha256,
    kem::X25519HkdfSha256,
    rand_core::CryptoRng,
};
use std::io::Read;
use zeroize::Zeroizing;

/// Bytes of the header, by which the phone's signature names the file.
pub const HEADER_BYTES: usize = PREFIX_BYTES + 32;

const MAGIC: &[u8; 14] = b"kieumau-rescue";
const VERSION: u8 = 1;
/// Magic, version, and the fingerprint of the server's key.
const PREFIX_BYTES: usize = MAGIC.len() + 1 + 32;
/// Bytes of records in one chunk.
const CHUNK_BYTES: usize = 64 << 10;
const TAG_BYTES: usize = 16;
const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
const LENGTH_BYTES: usize = 4;

type Kem = X25519HkdfSha256;
type PublicKey = <Kem as hpke::Kem>::PublicKey;
type PrivateKey = <Kem as hpke::Kem>::PrivateKey;
type EncappedKey = <Kem as hpke::Kem>::EncappedKey;

/// The header up to the encapsulated key; bound into every chunk as HPKE's `info`.
fn prefix(to: &[u8; 32]) -> Vec<u8> {
    [&MAGIC[..], &[VERSION], Sha256::of(to).as_bytes()].concat()
}

/// The server's private key for rescue files (X25519).
pub struct RescueKey {
    private: PrivateKey,
    public: [u8; 32],
}

// A private key is never printed.
impl std::fmt::Debug for RescueKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RescueKey(…)")
    }
}

impl RescueKey {
    /// The key of these 32 secret bytes.
    #[must_use]
    pub fn from_bytes(secret: &[u8; 32]) -> Self {
        let private = PrivateKey::from_bytes(secret).expect("any 32 bytes are an X25519 key");
        let public = Kem::sk_to_pk(&private).to_bytes().into();
        Self { private, public }
    }

    /// The public half: what phones encipher to.
    #[must_use]
    pub const fn public(&self) -> [u8; 32] {
        self.public
    }
}

/// Writes a rescue file from front to back, into memory that the caller empties to the disk.
pub struct Sealer {
    context: AeadCtxS<ChaCha20Poly1305, HkdfSha256, Kem>,
    open: Zeroizing<Vec<u8>>,
    header: [u8; HEADER_BYTES],
}

impl Sealer {
    /// Begins a file that only the owner of `to` can read, and writes its header to `sealed`.
    ///
    /// # Errors
    /// `AnotherServer` for bytes that are nobody's key.
    pub fn begin(
        to: &[u8; 32],
        random: &mut impl CryptoRng,
        sealed: &mut Vec<u8>,
    ) -> Result<Self, RescueError> {
        let prefix = prefix(to);
        let key = PublicKey::from_bytes(to).map_err(|_| RescueError::AnotherServer)?;
        let (encapped, context) =
            hpke::setup_sender_with_rng::<_, _, Kem>(&OpModeS::Base, &key, &prefix, random)
                .map_err(|_| RescueError::AnotherServer)?;
        let mut header = [0; HEADER_BYTES];
        header[..PREFIX_BYTES].copy_from_slice(&prefix);
        header[PREFIX_BYTES..].copy_from_slice(&encapped.to_bytes());
        sealed.extend_from_slice(&header);
        Ok(Self {
            context,
            open: Zeroizing::new(Vec::with_capacity(CHUNK_BYTES)),
            header,
        })
    }

    /// The file's header, for the phone to sign.
    #[must_use]
    pub const fn header(&self) -> &[u8; HEADER_BYTES] {
        &self.header
    }

    /// Takes one record; writes to `sealed` the chunks that are known not to be the last.
    ///
    /// # Errors
    /// `TooLarge` for a record beyond [`RECORD_LIMIT_BYTES`]; nothing of it is then in the file.
    pub fn push(&mut self, record: &Record, sealed: &mut Vec<u8>) -> Result<(), RescueError> {
        let bytes =
            Zeroizing::new(minicbor::to_vec(record).expect("writing to memory does not fail"));
        if bytes.len() > RECORD_LIMIT_BYTES {
            return Err(RescueError::TooLarge);
        }
        let length = u32::try_from(bytes.len()).expect("records are short");
        self.take(&length.to_be_bytes(), sealed);
        self.take(&bytes, sealed);
        Ok(())
    }

    /// Bytes that are no record, for tests of those who read them.
    #[cfg(test)]
    pub(super) fn push_raw(&mut self, bytes: &[u8], sealed: &mut Vec<u8>) {
        self.take(bytes, sealed);
    }

    fn take(&mut self, mut bytes: &[u8], sealed: &mut Vec<u8>) {
        while !bytes.is_empty() {
            if self.open.len() == CHUNK_BYTES {
                self.chunk(false, sealed);
            }
            let room = CHUNK_BYTES - self.open.len();
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
        let chunk = self
            .context
            .seal(&self.open, &[u8::from(last)])
            .expect("a file has far fewer chunks than HPKE counts");
        sealed.extend_from_slice(&chunk);
        self.open.clear();
    }
}

/// Reads a rescue file record by record, with one chunk and one record in memory.
pub struct Records<R> {
    source: R,
    context: AeadCtxR<ChaCha20Poly1305, HkdfSha256, Kem>,
    header: [u8; HEADER_BYTES],
    /// The next chunk, still sealed; empty after the last.
    next: Vec<u8>,
    ended: bool,
    clear: Zeroizing<Vec<u8>>,
    /// Bytes of `clear` that were given out.
    read: usize,
}

impl<R: Read> Records<R> {
    /// Opens the file in `source` with the server's `key`.
    ///
    /// # Errors
    /// `NotRescue`, `Version`, `AnotherServer`, `Damaged`, `Disk`.
    pub fn open(mut source: R, key: &RescueKey) -> Result<Self, RescueError> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        (&mut source)
            .take(HEADER_BYTES as u64)
            .read_to_end(&mut header)?;
        let prefix = prefix(&key.public);
        let begins = |length: usize| header.get(..length) == prefix.get(..length);
        if !begins(MAGIC.len()) {
            return Err(RescueError::NotRescue);
        }
        if header.get(MAGIC.len()).is_some_and(|it| *it != VERSION) {
            return Err(RescueError::Version);
        }
        let header: [u8; HEADER_BYTES] = header.try_into().map_err(|_| RescueError::Damaged)?;
        if header[..PREFIX_BYTES] != prefix {
            return Err(RescueError::AnotherServer);
        }
        let encapped =
            EncappedKey::from_bytes(&header[PREFIX_BYTES..]).map_err(|_| RescueError::Damaged)?;
        let context = hpke::setup_receiver(&OpModeR::Base, &key.private, &encapped, &prefix)
            .map_err(|_| RescueError::Damaged)?;
        let next = sealed_chunk(&mut source)?;
        Ok(Self {
            source,
            context,
            header,
            next,
            ended: false,
            clear: Zeroizing::new(Vec::new()),
            read: 0,
        })
    }

    /// The file's header, which the phone signed.
    pub const fn header(&self) -> &[u8; HEADER_BYTES] {
        &self.header
    }

    /// The next record; none after the last.
    ///
    /// # Errors
    /// `Damaged` for a chunk that was changed or cut off, `Malformed` for what is no record, `Disk`.
    pub fn next_record(&mut self) -> Result<Option<Record>, RescueError> {
        if !self.fill(LENGTH_BYTES)? {
            let whole = self.read == self.clear.len();
            return if whole {
                Ok(None)
            } else {
                Err(RescueError::Malformed)
            };
        }
        let length = self.clear[self.read..]
            .first_chunk::<LENGTH_BYTES>()
            .map_or(usize::MAX, |length| u32::from_be_bytes(*length) as usize);
        if length > RECORD_LIMIT_BYTES || !self.fill(LENGTH_BYTES + length)? {
            return Err(RescueError::Malformed);
        }
        let from = self.read + LENGTH_BYTES;
        let bytes = &self.clear[from..from + length];
        let mut decoder = minicbor::Decoder::new(bytes);
        let record = decoder.decode().map_err(|_| RescueError::Malformed)?;
        if decoder.position() != length {
            return Err(RescueError::Malformed);
        }
        self.read = from + length;
        Ok(Some(record))
    }

    /// Opens chunks until `wanted` bytes are in the clear; false if the file ends before.
    fn fill(&mut self, wanted: usize) -> Result<bool, RescueError> {
        while self.clear.len() - self.read < wanted {
            if self.ended {
                return Ok(false);
            }
            let following = if self.next.len() == SEALED_CHUNK_BYTES {
                sealed_chunk(&mut self.source)?
            } else {
                Vec::new()
            };
            self.ended = following.is_empty();
            let opened = self
                .context
                .open(&self.next, &[u8::from(self.ended)])
                .map(Zeroizing::new)
                .map_err(|_| RescueError::Damaged)?;
            self.next = following;
            self.clear.drain(..self.read);
            self.read = 0;
            self.clear.extend_from_slice(&opened);
        }
        Ok(true)
    }
}

fn sealed_chunk(source: &mut impl Read) -> Result<Vec<u8>, RescueError> {
    let mut sealed = Vec::with_capacity(SEALED_CHUNK_BYTES);
    source
        .take(SEALED_CHUNK_BYTES as u64)
        .read_to_end(&mut sealed)?;
    Ok(sealed)
}
