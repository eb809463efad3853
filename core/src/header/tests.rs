//! The reader against changes that Automerge itself wrote, and against bytes that nobody would write by accident.

use super::*;
use automerge::{ActorId, AutoCommit, ROOT, transaction::CommitOptions, transaction::Transactable};
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
    let step = prop_oneof![
        (any::<bool>(), "[a-c]{1,3}", any::<i64>()).prop_map(|(copy, key, value)| Step::Put {
            copy,
            key,
            value
        }),
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
