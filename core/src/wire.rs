//! The bytes between a phone and the server: what is pushed, answered and pulled. CBOR, arrays with fixed places.
//!
//! Both ends use these types; a place is never reused, new ones are appended. The version is in the path (`/v1/`).

use crate::{
    document::{Key, Kind},
    hash::Sha256,
    id::{DocumentId, PersonId, UnitId},
    invalid::Invalid,
    log::admission::{Outcome, Refusal},
    seal::Seal,
};
use minicbor::{Decode, Encode};
use serde::Deserialize;

/// The media type of a CBOR sequence (RFC 8742).
pub const CBOR_SEQUENCE: &str = "application/cbor-seq";
/// The media type of one CBOR item.
pub const CBOR: &str = "application/cbor";
/// The largest push, bytes.
pub const PUSH_LIMIT_BYTES: usize = 8 << 20;
/// The longest page that a push's answer brings, bytes; a longer one is pulled, which compresses it.
pub const PUSHED_PAGE_LIMIT_BYTES: usize = 64 << 10;
/// The most changes in one push.
pub const PUSH_LIMIT_CHANGES: usize = 10_000;
/// Path of push.
pub const PUSH: &str = "/v1/sync/push";
/// Path of pull.
pub const PULL: &str = "/v1/sync/pull";

/// Names a document on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WireKey {
    /// The kind's word.
    #[n(0)]
    pub kind: String,
    /// The unit.
    #[n(1)]
    pub unit: UnitId,
    /// The natural key.
    #[n(2)]
    pub name: String,
}

impl From<&Key> for WireKey {
    fn from(key: &Key) -> Self {
        Self {
            kind: key.kind.word().to_owned(),
            unit: key.unit,
            name: key.name.clone(),
        }
    }
}

impl WireKey {
    /// The key, if it is one.
    ///
    /// # Errors
    /// `Unknown` at `kind`, `Malformed` at `key`.
    pub fn key(&self) -> Result<Key, Invalid> {
        Key::parse(self.kind.parse::<Kind>()?, self.unit, &self.name)
    }
}

/// What a phone pushes: changes and seals of any documents, and what it wants receipts for.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Push {
    /// Per document, its new changes.
    #[n(0)]
    pub documents: Vec<PushedDocument>,
    /// What the phone wants to hear that the server holds.
    #[n(1)]
    pub receipts: Vec<ReceiptRequest>,
    /// Where the phone is in its feeds, when the answer shall bring the next page.
    #[n(2)]
    pub after: Option<After>,
}

/// New changes of one document.
#[derive(Clone, PartialEq, Encode, Decode)]
pub struct PushedDocument {
    /// Which document.
    #[n(0)]
    pub key: WireKey,
    /// Uncompressed change chunks, in any order.
    #[cbor(n(1), with = "bytes_list")]
    pub changes: Vec<Vec<u8>>,
    /// Seals that cover them.
    #[n(2)]
    pub seals: Vec<Seal>,
}

impl std::fmt::Debug for PushedDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PushedDocument({:?}, {} changes, {} seals)",
            self.key,
            self.changes.len(),
            self.seals.len()
        )
    }
}

/// "Do you hold all of this?"
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReceiptRequest {
    /// Which document.
    #[n(0)]
    pub document: DocumentId,
    /// Its heads on the phone.
    #[n(1)]
    pub heads: Vec<Sha256>,
    /// The attachments it names.
    #[n(2)]
    pub attachments: Vec<Sha256>,
}

/// The answer to a push. Written after the transaction is on the disk.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Pushed {
    /// What became of each change that was not simply taken.
    #[n(0)]
    pub changes: Vec<ChangeOutcome>,
    /// Signed receipts (compact JWS), for what the server holds whole.
    #[n(1)]
    pub receipts: Vec<String>,
    /// Attachments asked about that are not here yet.
    #[n(2)]
    pub missing_attachments: Vec<Sha256>,
    /// The server's time, Unix milliseconds.
    #[n(3)]
    pub server_time_ms: i64,
    /// The feed's next page, as a pull would give it (a sequence of [`Pulled`]), if it was asked for and is short.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub page: Option<Vec<u8>>,
}

/// What became of one change.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChangeOutcome {
    /// Which change (the hash of its bytes, if they were not a change).
    #[n(0)]
    pub hash: Sha256,
    /// `held`, `waiting`, or a refusal's word.
    #[n(1)]
    pub word: String,
}

impl ChangeOutcome {
    /// None for a change that was taken now: the rule needs no words.
    #[must_use]
    pub fn of(hash: Sha256, outcome: Outcome) -> Option<Self> {
        let word = match outcome {
            Outcome::Accepted => return None,
            Outcome::Held => "held",
            Outcome::Waiting => "waiting",
            Outcome::Refused(refusal) => refusal.word(),
        };
        Some(Self {
            hash,
            word: word.to_owned(),
        })
    }

    /// A change that is no change.
    #[must_use]
    pub fn refused(hash: Sha256, refusal: Refusal) -> Self {
        Self {
            hash,
            word: refusal.word().to_owned(),
        }
    }

    /// Whether the server has it, or will take it when its ancestor comes.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        matches!(self.word.as_str(), "held" | "waiting")
    }
}

/// Where a phone is, in the query of a pull and inside a push.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Deserialize)]
pub struct After {
    /// The last cursor it was given; empty before the first.
    #[n(0)]
    pub cursor: String,
    /// The random bytes of its present opening: it is not sent what it wrote in it. Hexadecimal in a query.
    #[cbor(n(1), with = "opening")]
    #[serde(default, deserialize_with = "opening::from_query")]
    pub opening: Option<[u8; 8]>,
}

impl After {
    /// As the query of [`PULL`].
    #[must_use]
    pub fn query(&self) -> String {
        let cursor = &self.cursor;
        match self.opening {
            Some(opening) => format!("cursor={cursor}&opening={}", hex::encode(opening)),
            None => format!("cursor={cursor}"),
        }
    }
}

/// One item of a pull's sequence. The last is always `Cursor`: a sequence without it was cut, and is applied up to the cut
/// but not moved past.
#[derive(Clone, PartialEq, Encode, Decode)]
pub enum Pulled {
    /// The document that the changes after this item belong to.
    #[n(0)]
    Document(#[n(0)] WireKey),
    /// A change of the document last named.
    #[n(1)]
    Change(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// A seal of the document last named.
    #[n(2)]
    Seal(#[n(0)] Seal),
    /// The reader may no longer read this document.
    #[n(3)]
    Ungrant(#[n(0)] DocumentId, #[n(1)] PersonId),
    /// Where to go on, and whether there is more now.
    #[n(4)]
    Cursor(#[n(0)] String, #[n(1)] bool),
}

/// The items of a page; none for one that ends inside an item or holds what is no item: it is as good as no answer.
#[must_use]
pub fn sequence(page: &[u8]) -> Option<Vec<Pulled>> {
    let mut decoder = minicbor::Decoder::new(page);
    let mut items = Vec::new();
    while decoder.position() < page.len() {
        items.push(decoder.decode().ok()?);
    }
    Some(items)
}

impl std::fmt::Debug for Pulled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Document(key) => write!(f, "Document({key:?})"),
            Self::Change(bytes) => write!(f, "Change({} bytes)", bytes.len()),
            Self::Seal(seal) => write!(f, "Seal({:?})", seal.change),
            Self::Ungrant(document, _) => write!(f, "Ungrant({document})"),
            Self::Cursor(cursor, more) => write!(f, "Cursor({cursor}, {more})"),
        }
    }
}

/// Eight bytes or nothing: as a byte string in CBOR, as digits in a query.
mod opening {
    use minicbor::{Decoder, Encoder, bytes::ByteSlice};
    use serde::{Deserialize as _, Deserializer, de::Error as _};

    pub(super) fn encode<C, W: minicbor::encode::Write>(
        opening: &Option<[u8; 8]>,
        e: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        let bytes: Option<&ByteSlice> = opening.as_ref().map(|bytes| bytes[..].into());
        e.encode_with(bytes, context)?;
        Ok(())
    }

    pub(super) fn decode<C>(
        d: &mut Decoder<'_>,
        context: &mut C,
    ) -> Result<Option<[u8; 8]>, minicbor::decode::Error> {
        let bytes: Option<&ByteSlice> = d.decode_with(context)?;
        bytes
            .map(|bytes| <[u8; 8]>::try_from(&bytes[..]))
            .transpose()
            .map_err(|_| minicbor::decode::Error::message("an opening has 8 bytes"))
    }

    pub(super) fn from_query<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<[u8; 8]>, D::Error> {
        let mut bytes = [0; 8];
        hex::decode_to_slice(String::deserialize(deserializer)?, &mut bytes)
            .map_err(D::Error::custom)?;
        Ok(Some(bytes))
    }
}

/// A list of byte strings: without this each byte of a change would be an item of its own.
mod bytes_list {
    use minicbor::{Decoder, Encoder, bytes::ByteVec};

    pub(super) fn encode<C, W: minicbor::encode::Write>(
        list: &[Vec<u8>],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(list.len() as u64)?;
        for bytes in list {
            e.bytes(bytes)?;
        }
        Ok(())
    }

    pub(super) fn decode<C>(
        d: &mut Decoder<'_>,
        context: &mut C,
    ) -> Result<Vec<Vec<u8>>, minicbor::decode::Error> {
        d.array_iter_with::<C, ByteVec>(context)?
            .map(|bytes| bytes.map(Vec::from))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_survives_the_wire_and_a_cut_one_does_not() {
        let key = WireKey {
            kind: "patrol-log".into(),
            unit: UnitId::from_bytes([1; 16]),
            name: "x".into(),
        };
        let push = Push {
            documents: vec![PushedDocument {
                key,
                changes: vec![vec![1, 2, 3], vec![]],
                seals: vec![],
            }],
            receipts: vec![],
            after: Some(After {
                cursor: "x".into(),
                opening: Some([7; 8]),
            }),
        };
        let bytes = minicbor::to_vec(&push).expect("encodes");
        assert_eq!(minicbor::decode::<Push>(&bytes).expect("decodes"), push);
        for cut in 0..bytes.len() {
            assert!(
                minicbor::decode::<Push>(&bytes[..cut]).is_err(),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_change_of_a_kilobyte_costs_a_kilobyte() {
        let change = Pulled::Change(vec![0xff; 1_000]);
        assert!(minicbor::to_vec(&change).expect("encodes").len() < 1_010);
    }
}
