//! The bytes between a phone and the server: what is pushed, answered and pulled. CBOR, arrays with fixed places.
//!
//! Both ends use these types; a place is never reused, new ones are appended. What one end cannot do without counts [`VERSION`] up:
//! a phone says which it speaks, and a server that does not speak it says who has to be upgraded.

use crate::{
    document::{Key, Kind},
    hash::Sha256,
    id::{DocumentId, PersonId, UnitId},
    invalid::Invalid,
    log::{
        admission::{Outcome, Refusal},
        head::Epoch,
    },
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
/// The most documents in one push, whether it brings changes of them or asks for receipts.
pub const PUSH_LIMIT_DOCUMENTS: usize = 10_000;
/// The most seals in one push.
pub const PUSH_LIMIT_SEALS: usize = 10_000;
/// The most hashes that one push may ask about, of heads and attachments together.
pub const PUSH_LIMIT_ASKED: usize = 50_000;
/// Path of push.
pub const PUSH: &str = "/v1/sync/push";
/// Path of pull.
pub const PULL: &str = "/v1/sync/pull";
/// Path of fetch.
pub const FETCH: &str = "/v1/sync/fetch";
/// The most documents in one fetch.
pub const FETCH_LIMIT_DOCUMENTS: usize = 1_000;
/// Path of compare.
pub const COMPARE: &str = "/v1/sync/compare";
/// The most documents in one comparison.
pub const COMPARE_LIMIT_DOCUMENTS: usize = 100_000;
/// The content coding of long answers, if the asker accepts it.
pub const ZSTD: &str = "zstd";
/// The longest answer to a pull or a fetch once inflated, bytes. A page is shorter; more is no page but a bomb.
pub const ANSWER_LIMIT_BYTES: usize = 64 << 20;
/// The window of a compressed answer, as a power of two: what it may make its reader hold.
pub const ZSTD_WINDOW_LOG: u32 = 23;

/// The version that this build speaks.
pub const VERSION: u32 = 1;
/// The oldest version that this build still understands from a phone.
pub const OLDEST: u32 = 1;
/// The header in which a phone says its [`VERSION`]. Who does not say it (a stock tus client) is served as far as it goes.
pub const VERSION_HEADER: &str = "kieumau-wire";

/// Who has to be upgraded before the two can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// The phone: its version is no longer understood.
    Phone,
    /// The server: it does not know the phone's version yet.
    Server,
}

impl Upgrade {
    /// The problem's stable word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Phone => "upgrade-needed",
            Self::Server => "server-older",
        }
    }

    /// Who has to be upgraded so that a phone of version `spoken` is understood by a server that knows `oldest` to `newest`.
    #[must_use]
    pub const fn needed(spoken: u32, oldest: u32, newest: u32) -> Option<Self> {
        if spoken < oldest {
            Some(Self::Phone)
        } else if spoken > newest {
            Some(Self::Server)
        } else {
            None
        }
    }
}

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
    /// What the phone knows of the server's backups, when it wants to hear of newer ones: it has copies that might go.
    #[n(3)]
    pub backups: Option<KnownBackups>,
}

/// What a phone knows of the server's backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct KnownBackups {
    /// The epoch; none before the first word of one.
    #[n(0)]
    pub epoch: Option<Epoch>,
    /// The leaves below this.
    #[n(1)]
    pub through: u64,
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
    /// What backups hold ([`crate::backed_up::BackedUp`], signed), if it was asked for and is news.
    #[n(5)]
    pub backed_up: Option<String>,
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
    /// Whether documents may come as snapshots where they come whole.
    #[n(2)]
    #[cbor(default)]
    #[serde(default, deserialize_with = "yes")]
    pub snapshots: bool,
}

/// Whatever stands there says yes.
fn yes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    String::deserialize(deserializer).map(|_| true)
}

/// Documents that a phone wants whole, whatever its cursor says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Fetch {
    /// Which, at most [`FETCH_LIMIT_DOCUMENTS`]. The answer is a sequence of [`Pulled`] in the order of their ids, whose `Cursor` is the id
    /// up to which they are done with, and says whether there are more.
    #[n(0)]
    pub documents: Vec<DocumentId>,
    /// As single changes, not as snapshots: for a snapshot that did not unfold.
    #[n(1)]
    pub singly: bool,
}

/// Everything a phone has, told by 24 bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Compare {
    /// See [`crate::log::compare::pack`]; at most [`COMPARE_LIMIT_DOCUMENTS`] pairs.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub documents: Vec<u8>,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Compared {
    /// The documents of which one side has something that the other may lack.
    #[n(0)]
    pub differing: Vec<DocumentId>,
    /// Where the feed ended when this was told: what differs lies before it.
    #[n(1)]
    pub cursor: String,
}

/// A document as it was at some heads, compact.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Snapshot {
    /// Its heads, ascending: everything below them is in it, and nothing else.
    #[n(0)]
    pub heads: Vec<Sha256>,
    /// How many changes that is, without the birth.
    #[n(1)]
    pub changes: u32,
    /// As Automerge saves it.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

// It holds what people wrote: never printed.
impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Snapshot({} changes, {} bytes)",
            self.changes,
            self.bytes.len()
        )
    }
}

impl After {
    /// As the query of [`PULL`].
    #[must_use]
    pub fn query(&self) -> String {
        let mut query = format!("cursor={}", self.cursor);
        if let Some(opening) = self.opening {
            query.push_str("&opening=");
            query.push_str(&hex::encode(opening));
        }
        if self.snapshots {
            query.push_str("&snapshots=1");
        }
        query
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
    /// The document last named, whole; changes after it came later.
    #[n(5)]
    Snapshot(#[n(0)] Snapshot),
}

impl std::fmt::Debug for Pulled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Document(key) => write!(f, "Document({key:?})"),
            Self::Change(bytes) => write!(f, "Change({} bytes)", bytes.len()),
            Self::Seal(seal) => write!(f, "Seal({:?})", seal.change),
            Self::Ungrant(document, _) => write!(f, "Ungrant({document})"),
            Self::Cursor(cursor, more) => write!(f, "Cursor({cursor}, {more})"),
            Self::Snapshot(snapshot) => snapshot.fmt(f),
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
                snapshots: true,
            }),
            backups: Some(KnownBackups {
                epoch: None,
                through: 7,
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

    #[test]
    fn who_is_behind_is_told_to_upgrade() {
        for (spoken, needed) in [
            (1, Some(Upgrade::Phone)),
            (2, None),
            (4, None),
            (5, Some(Upgrade::Server)),
        ] {
            assert_eq!(Upgrade::needed(spoken, 2, 4), needed, "{spoken}");
        }
        assert_eq!(Upgrade::needed(VERSION, OLDEST, VERSION), None);
    }
}
