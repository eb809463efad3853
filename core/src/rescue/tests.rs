//! What opens a rescue file and what does not: every cut, every flipped bit, another server's key, and records that no phone writes.

use super::{
    sealed::{HEADER_BYTES, Records, RescueKey, Sealer},
    *,
};
use crate::id::UnitId;
use proptest::prelude::*;

const NEEDLE: &[u8] = "Lấn chiếm vỉa hè".as_bytes();

fn key() -> RescueKey {
    RescueKey::from_bytes(&[5; 32])
}

fn name() -> WireKey {
    WireKey {
        kind: "patrol-log".to_owned(),
        unit: UnitId::from_bytes([1; 16]),
        name: "01930000-0000-7000-8000-000000000009".to_owned(),
    }
}

fn changes(bytes: Vec<u8>) -> Record {
    Record::Changes(PushedDocument {
        key: name(),
        changes: vec![bytes],
        seals: Vec::new(),
    })
}

/// A file of An's phone with these records after its origin.
fn file(records: &[Record]) -> Vec<u8> {
    let phone = SigningKey::from_bytes(&[7; 32]);
    let mut bytes = Vec::new();
    let mut sealer = Sealer::begin(&key().public(), &mut rand::rng(), &mut bytes).expect("a key");
    let origin = Origin::sign(&phone, sealer.header(), PhoneId::from_bytes([1; 16]), 7);
    for record in [&Record::Origin(origin)].into_iter().chain(records) {
        sealer.push(record, &mut bytes).expect("a short record");
    }
    sealer.end(&mut bytes);
    bytes
}

fn read(bytes: &[u8], key: &RescueKey) -> Result<Vec<Record>, RescueError> {
    let mut records = Records::open(bytes, key)?;
    let mut bounds = Bounds::default();
    let mut all = Vec::new();
    while let Some(record) = records.next_record()? {
        bounds.look(&record)?;
        all.push(record);
    }
    bounds.origin()?;
    Ok(all)
}

#[test]
fn records_of_any_length_come_back_and_lie_unreadable() {
    let records = [
        changes(NEEDLE.to_vec()),
        Record::Refused {
            key: Some(name()),
            reason: "sequence".to_owned(),
            bytes: NEEDLE.repeat(9_000),
        },
        Record::Refused {
            key: None,
            reason: "lacks-an-ancestor".to_owned(),
            bytes: vec![1],
        },
        Record::File {
            sha256: Sha256([3; 32]),
            size_bytes: 300_000,
        },
        Record::Bytes(NEEDLE.repeat(10_000)),
    ];
    let bytes = file(&records);
    assert!(bytes.len() > 4 * 65_536, "it runs over several chunks");
    assert!(!bytes.windows(NEEDLE.len()).any(|window| window == NEEDLE));
    assert_eq!(read(&bytes, &key()).expect("opens")[1..], records);
}

#[test]
fn a_file_whose_records_end_with_a_chunk_is_whole_and_without_that_chunk_it_is_not() {
    let short = |size: usize| file(&[changes(vec![1; size])]);
    // How long the bytes of one change must be for the records to fill exactly one chunk.
    let spare = HEADER_BYTES + 65_536 + 16 - short(60_000).len();
    let bytes = short(60_000 + spare);
    assert_eq!(bytes.len(), HEADER_BYTES + 65_536 + 16);
    assert!(read(&bytes, &key()).is_ok());
    let longer = file(&[changes(vec![1; 60_000 + spare]), changes(vec![2; 9])]);
    assert!(matches!(
        read(&longer[..bytes.len()], &key()),
        Err(RescueError::Damaged)
    ));
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let bytes = file(&[changes(NEEDLE.to_vec())]);
    assert!(read(&bytes, &key()).is_ok(), "the twin: whole it opens");
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length], &key()).is_err(), "cut at {length}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(read(&longer, &key()), Err(RescueError::Damaged)));
}

#[test]
fn a_flipped_bit_anywhere_is_refused_with_a_stable_word() {
    let bytes = file(&[changes(NEEDLE.to_vec())]);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let error = read(&flipped, &key()).expect_err("refused");
        let word = match at {
            0..14 => "not-a-rescue-file",
            14 => "rescue-version",
            15..47 => "rescue-another-server",
            _ => "rescue-damaged",
        };
        assert_eq!(error.word(), word, "at {at}");
    }
}

#[test]
fn another_servers_key_opens_nothing_whatever_the_header_says() {
    let mut bytes = file(&[changes(NEEDLE.to_vec())]);
    let other = RescueKey::from_bytes(&[6; 32]);
    assert_eq!(
        read(&bytes, &other).expect_err("refused").word(),
        "rescue-another-server"
    );
    bytes[15..47].copy_from_slice(Sha256::of(&other.public()).as_bytes());
    assert_eq!(
        read(&bytes, &other).expect_err("refused").word(),
        "rescue-damaged"
    );
}

#[test]
fn swapped_chunks_are_refused() {
    let mut bytes = file(&[changes(vec![1; 200_000])]);
    let chunk = 65_536 + 16;
    bytes[HEADER_BYTES..HEADER_BYTES + 2 * chunk].rotate_left(chunk);
    assert_eq!(
        read(&bytes, &key()).expect_err("refused").word(),
        "rescue-damaged"
    );
}

#[test]
fn an_origin_is_of_one_phone_and_one_file() {
    let phone = SigningKey::from_bytes(&[7; 32]);
    let origin = Origin::sign(&phone, &[1; HEADER_BYTES], PhoneId::from_bytes([1; 16]), 7);
    let by = phone.verifying_key();
    assert!(origin.is_by(&by, &[1; HEADER_BYTES]));
    assert!(!origin.is_by(&by, &[2; HEADER_BYTES]));
    let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
    assert!(!origin.is_by(&other, &[1; HEADER_BYTES]));
    for stolen in [
        Origin { at_ms: 8, ..origin },
        Origin {
            phone: PhoneId::from_bytes([2; 16]),
            ..origin
        },
    ] {
        assert!(!stolen.is_by(&by, &[1; HEADER_BYTES]));
    }
}

#[test]
fn records_that_no_phone_writes_are_refused_before_any_is_taken() {
    let attachment = |size_bytes| Record::File {
        sha256: Sha256([3; 32]),
        size_bytes,
    };
    let refused = |reason: &str, kind: &str| Record::Refused {
        key: Some(WireKey {
            kind: kind.to_owned(),
            ..name()
        }),
        reason: reason.to_owned(),
        bytes: vec![1],
    };
    let nothing = Record::Changes(PushedDocument {
        key: name(),
        changes: Vec::new(),
        seals: Vec::new(),
    });
    let bytes = |size| Record::Bytes(vec![1; size]);
    for wrong in [
        vec![nothing],
        vec![bytes(1)],
        vec![attachment(0)],
        vec![attachment(SIZE_LIMIT_BYTES + 1)],
        vec![attachment(2), bytes(3)],
        vec![attachment(2), bytes(0)],
        vec![attachment(2), changes(vec![1]), bytes(1)],
        vec![refused("because", "patrol-log")],
        vec![refused("sequence", "diary")],
    ] {
        let error = read(&file(&wrong), &key()).expect_err("refused");
        assert_eq!(error.word(), "rescue-malformed", "{wrong:?}");
    }
    // The twin: what differs from these in nothing else is taken.
    let right = [
        attachment(2),
        bytes(1),
        bytes(1),
        refused("sequence", "patrol-log"),
    ];
    assert!(read(&file(&right), &key()).is_ok());
}

#[test]
fn a_record_that_is_too_long_is_not_written() {
    let mut sealed = Vec::new();
    let mut sealer = Sealer::begin(&key().public(), &mut rand::rng(), &mut sealed).expect("a key");
    let long = Record::Bytes(vec![0; RECORD_LIMIT_BYTES]);
    assert!(matches!(
        sealer.push(&long, &mut sealed),
        Err(RescueError::TooLarge)
    ));
}

#[test]
fn items_are_counted_and_bounded() {
    let mut bounds = Bounds {
        origin: Some(Origin {
            phone: PhoneId::from_bytes([1; 16]),
            at_ms: 7,
            signature: [0; 64],
        }),
        items: ITEM_LIMIT - 1,
        ..Bounds::default()
    };
    bounds.look(&changes(vec![1])).expect("the last one");
    assert!(matches!(
        bounds.look(&changes(vec![1])),
        Err(RescueError::TooLarge)
    ));
}

proptest! {
    /// Whoever knows the public key can encipher anything: no bytes in the clear make reading panic or go on for ever.
    #[test]
    fn no_records_make_reading_panic(clear in prop::collection::vec(any::<u8>(), 0..600), length in any::<Option<u16>>()) {
        let mut bytes = Vec::new();
        let mut sealer = Sealer::begin(&key().public(), &mut rand::rng(), &mut bytes).expect("a key");
        if let Some(length) = length {
            sealer.push_raw(&u32::from(length).to_be_bytes(), &mut bytes);
        }
        sealer.push_raw(&clear, &mut bytes);
        sealer.end(&mut bytes);
        prop_assert!(read(&bytes, &key()).is_err());
    }

    #[test]
    fn no_bytes_make_opening_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let whole = file(&[changes(NEEDLE.to_vec())]);
        let mut bytes = whole.clone();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        prop_assert_eq!(read(&bytes, &key()).is_ok(), bytes == whole);
    }
}
