//! The header of one uncompressed Automerge change: who, which number, after what; and the hash that names it.
//!
//! Holds a bounded reader of exactly one change chunk (type 1). It never looks at operations: those are only measured
//! as "the rest", because parsing them is what hostile bytes attack (56 bytes keep Automerge busy for 10 s), and that
//! belongs to a worker process. Whether the change may be admitted (previous own change present, actor of an enrolled
//! phone) is decided elsewhere. Numbers must be in their shortest form, so that one change has one spelling, and
//! nothing is allocated that the input's own length has not paid for.
//!
//! Layout: <https://automerge.org/automerge-binary-format-spec/#_change_chunk>.

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
mod tests {
    use super::*;
    use automerge::{
        ActorId, AutoCommit, ROOT, transaction::CommitOptions, transaction::Transactable,
    };
    use proptest::prelude::*;
    use std::sync::LazyLock;
    use std::time::{Duration, Instant};

    /// One step in the life of two copies of a document.
    #[derive(Clone, Debug)]
    enum Step {
        Put {
            copy: bool,
            key: String,
            value: i64,
        },
        Commit {
            copy: bool,
            time: i64,
            message: Option<String>,
        },
        Merge {
            into: bool,
        },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step =
            prop_oneof![
                (any::<bool>(), "[a-c]{1,3}", any::<i64>())
                    .prop_map(|(copy, key, value)| Step::Put { copy, key, value }),
                (
                    any::<bool>(),
                    -MAX_TIME_S..=MAX_TIME_S,
                    proptest::option::of("\\PC{0,20}")
                )
                    .prop_map(|(copy, time, message)| Step::Commit {
                        copy,
                        time,
                        message
                    }),
                any::<bool>().prop_map(|into| Step::Merge { into }),
            ];
        proptest::collection::vec(step, 1..40)
    }

    fn changes(actors: [Vec<u8>; 2], steps: Vec<Step>) -> Vec<automerge::Change> {
        let mut copies = actors.map(|actor| AutoCommit::new().with_actor(ActorId::from(actor)));
        for step in steps {
            match step {
                Step::Put { copy, key, value } => {
                    copies[usize::from(copy)]
                        .put(ROOT, key, value)
                        .expect("a root key");
                }
                Step::Commit {
                    copy,
                    time,
                    message,
                } => {
                    let mut options = CommitOptions::default().with_time(time);
                    options.message = message;
                    copies[usize::from(copy)].commit_with(options);
                }
                Step::Merge { into } => {
                    let mut from = copies[usize::from(!into)].fork();
                    copies[usize::from(into)]
                        .merge(&mut from)
                        .expect("a copy of the same document");
                }
            }
        }
        let [mut here, mut there] = copies;
        here.merge(&mut there).expect("a copy of the same document");
        here.get_changes(&[])
    }

    /// A change with two dependencies, another actor and a message.
    static SAMPLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let put = |copy| Step::Put {
            copy,
            key: "a".to_owned(),
            value: 7,
        };
        let commit = |copy| Step::Commit {
            copy,
            time: -90,
            message: Some("ca tối".to_owned()),
        };
        let steps = vec![
            put(false),
            commit(false),
            put(true),
            commit(true),
            Step::Merge { into: false },
            put(false),
            commit(false),
        ];
        let changes = changes([vec![1; 24], vec![2; 24]], steps);
        let last = changes
            .iter()
            .find(|change| change.deps().len() == 2)
            .expect("a change after the merge");
        last.raw_bytes().to_vec()
    });

    fn repair_checksum(bytes: &mut [u8]) {
        let hash = Sha256::of(&bytes[HASHED_FROM..]);
        bytes[4..HASHED_FROM].copy_from_slice(&hash.as_bytes()[..4]);
    }

    /// A chunk with these contents and a right length and checksum.
    fn chunk(body: &[u8]) -> Vec<u8> {
        assert!(body.len() < 128, "the length is written as one byte");
        let mut bytes = [
            &MAGIC[..],
            &[0; 4],
            &[CHUNK_TYPE_CHANGE, body.len() as u8],
            body,
        ]
        .concat();
        repair_checksum(&mut bytes);
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_header_says_what_automerge_says(
            one in proptest::collection::vec(any::<u8>(), 1..=64),
            other in proptest::collection::vec(any::<u8>(), 1..=64),
            steps in steps(),
        ) {
            prop_assume!(one != other);
            for change in changes([one, other], steps) {
                let header = read(change.raw_bytes()).expect("Automerge wrote it");
                prop_assert_eq!(header.hash, change.hash().into());
                prop_assert_eq!(header.actor, change.actor_id().to_bytes());
                prop_assert_eq!(header.seq, change.seq());
                prop_assert_eq!(header.start_op, change.start_op().get());
                prop_assert_eq!(header.time_s, change.timestamp());
                let deps: Vec<Sha256> = change.deps().iter().map(|dep| (*dep).into()).collect();
                prop_assert_eq!(header.deps, deps);
                prop_assert_eq!(header.other_actors, change.other_actor_ids().len() as u64);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn whatever_is_accepted_has_the_hash_it_is_named_by(
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            repaired in any::<bool>(),
            cut in proptest::option::of(any::<prop::sample::Index>()),
        ) {
            let mut bytes = SAMPLE.clone();
            for (at, value) in edits {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if repaired && bytes.len() > HASHED_FROM {
                repair_checksum(&mut bytes);
            }
            if let Ok(header) = read(&bytes) {
                prop_assert_eq!(header.hash, Sha256::of(&bytes[HASHED_FROM..]));
                prop_assert_eq!(&header.hash.as_bytes()[..4], &bytes[4..HASHED_FROM]);
                prop_assert!(header.deps.len() <= MAX_DEPENDENCIES);
            }
        }

        #[test]
        fn a_number_has_one_spelling(bytes in proptest::collection::vec(any::<u8>(), 1..12)) {
            let mut reader = Reader(&bytes);
            if let Ok(value) = reader.unsigned() {
                prop_assert_eq!(unsigned_leb128(value), &bytes[..bytes.len() - reader.0.len()]);
            }
            let mut reader = Reader(&bytes);
            if let Ok(value) = reader.signed() {
                prop_assert_eq!(signed_leb128(value), &bytes[..bytes.len() - reader.0.len()]);
            }
        }

        #[test]
        fn every_number_is_read_back(unsigned in any::<u64>(), signed in any::<i64>(), shift in 0..64_u32) {
            let (unsigned, signed) = (unsigned >> shift, signed >> shift);
            prop_assert_eq!(Reader(&unsigned_leb128(unsigned)).unsigned(), Ok(unsigned));
            prop_assert_eq!(Reader(&signed_leb128(signed)).signed(), Ok(signed));
        }
    }

    fn unsigned_leb128(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    fn signed_leb128(mut value: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !(-64..64).contains(&value) {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8 & 0x7f);
        bytes
    }

    #[test]
    fn a_change_cut_at_any_byte_is_refused() {
        assert_eq!(read(&SAMPLE).map(|header| header.deps.len()), Ok(2));
        for length in 0..SAMPLE.len() {
            assert!(read(&SAMPLE[..length]).is_err(), "cut at {length}");
        }
        let longer = [&SAMPLE[..], &[0]].concat();
        assert_eq!(read(&longer), Err(HeaderError::Length));
    }

    #[test]
    fn a_flipped_bit_is_caught_by_the_checksum_and_by_nothing_else() {
        let mut bytes = SAMPLE.clone();
        *bytes.last_mut().expect("not empty") ^= 1;
        assert_eq!(read(&bytes), Err(HeaderError::Checksum));
        repair_checksum(&mut bytes);
        let named_otherwise = read(&bytes).expect("operations are not looked at").hash;
        assert_ne!(named_otherwise, read(&SAMPLE).expect("untouched").hash);
    }

    #[test]
    fn a_document_a_compressed_change_and_other_bytes_are_not_changes() {
        for (at, value) in [(0, b'P'), (8, 0), (8, 2), (8, 3)] {
            let mut bytes = SAMPLE.clone();
            bytes[at] = value;
            repair_checksum(&mut bytes);
            assert_eq!(read(&bytes), Err(HeaderError::NotAChange));
        }
    }

    #[test]
    fn each_field_has_its_limit() {
        let ok = [0, 1, 9, 1, 1, 0, 0, 0, 0];
        assert!(read(&chunk(&ok)).is_ok());
        let at = |index: usize, value: u8| {
            let mut body = ok;
            body[index] = value;
            read(&chunk(&body)).map(|header| header.seq)
        };
        assert_eq!(at(0, 65), Err(HeaderError::Dependencies));
        assert_eq!(at(0, 64), Err(HeaderError::Length));
        assert_eq!(at(1, 0), Err(HeaderError::Actor));
        assert_eq!(at(1, 65), Err(HeaderError::Actor));
        assert_eq!(at(3, 0), Err(HeaderError::Counter));
        assert_eq!(at(4, 0), Err(HeaderError::Counter));
        assert_eq!(at(6, 3), Err(HeaderError::Length));
        assert_eq!(at(7, 2), Err(HeaderError::Actor));
        let message = [0, 1, 9, 1, 1, 0, 1, 0xff, 0, 0];
        assert_eq!(read(&chunk(&message)), Err(HeaderError::Message));
        let beyond_32_bits = [&[0, 1, 9][..], &unsigned_leb128(1 << 32), &[1, 0, 0, 0, 0]].concat();
        assert_eq!(read(&chunk(&beyond_32_bits)), Err(HeaderError::Counter));
        let overlong = [0, 1, 9, 0x81, 0, 1, 0, 0, 0, 0];
        assert_eq!(read(&chunk(&overlong)), Err(HeaderError::Number));
        assert_eq!(
            read(&vec![0; MAX_CHANGE_BYTES + 1]),
            Err(HeaderError::TooLarge)
        );
    }

    #[test]
    fn a_time_is_read_up_to_the_year_9999_and_not_beyond() {
        let at = |time_s: i64| {
            let body = [&[0, 1, 9, 1, 1][..], &signed_leb128(time_s), &[0, 0, 0]].concat();
            read(&chunk(&body)).map(|header| header.time_s)
        };
        for time_s in [0, -1, MAX_TIME_S, -MAX_TIME_S] {
            assert_eq!(at(time_s), Ok(time_s));
        }
        for time_s in [MAX_TIME_S + 1, -MAX_TIME_S - 1, i64::MAX, i64::MIN] {
            assert_eq!(at(time_s), Err(HeaderError::Time));
        }
    }

    #[test]
    fn dependencies_ascend_and_none_comes_twice() {
        let with = |first: u8, second: u8| {
            let rest = [1, 9, 1, 1, 0, 0, 0, 0];
            let body = [&[2][..], &[first; 32], &[second; 32], &rest].concat();
            read(&chunk(&body)).map(|header| header.deps.len())
        };
        assert_eq!(with(1, 2), Ok(2));
        assert_eq!(with(2, 1), Err(HeaderError::Dependencies));
        assert_eq!(with(1, 1), Err(HeaderError::Dependencies));
    }

    #[test]
    fn a_bomb_of_operations_costs_nothing() {
        // One run-length column (action) that claims 2^60 operations, in 32 bytes: a parser counts to the end of it.
        let run = signed_leb128(1 << 60);
        let columns = [&[1, 0x42, run.len() as u8 + 1][..], &run, &[1]].concat();
        let bytes = chunk(&[&[0, 1, 9, 1, 1, 0, 0, 0][..], &columns].concat());
        let start = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(
                read(&bytes).map(|header| header.operations.len()),
                Ok(columns.len())
            );
        }
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "a millisecond each would already be too long"
        );
    }
}
