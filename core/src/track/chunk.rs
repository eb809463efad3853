//! A chunk: up to sixty fixes as bytes, the form a track has inside its document.
//!
//! Version byte (1), number of fixes, then per fix the differences to the fix before (the first: to zero) of time,
//! latitude and longitude as zigzag varints, and accuracy + 1 as a varint (0 = unknown). Bytes in a document instead of
//! a list of maps, because a list costs three times the disk and six times the memory. A fix takes 7.6 bytes: measured
//! 2026-11-23 on a made-up walk with one every 5 s (the last test below), and the same on a real recording on foot.
//!
//! Other phones wrote what is read here, so reading is strict: one spelling per chunk, nothing after the last fix,
//! every value believable, and never room for more than sixty fixes.

use crate::{
    invalid::{Invalid, Rule},
    position::{BELIEVABLE_MS, Fix, Position},
};

/// The most fixes a chunk holds. At one fix every 5 s a chunk is five minutes of patrol, about 460 bytes.
pub const FIXES_PER_CHUNK: usize = 60;

const VERSION: u8 = 1;

/// The chunk of these fixes, which a [`Filter`](super::Filter) kept: it takes any value, but [`unpack`] refuses
/// those that no filter keeps.
///
/// # Panics
/// For more than [`FIXES_PER_CHUNK`] fixes: cut with `fixes.chunks(FIXES_PER_CHUNK)`.
#[must_use]
pub fn pack(fixes: &[Fix]) -> Vec<u8> {
    assert!(
        fixes.len() <= FIXES_PER_CHUNK,
        "a chunk holds {FIXES_PER_CHUNK} fixes"
    );
    let count = u8::try_from(fixes.len()).expect("sixty fits in a byte");
    let mut bytes = Vec::with_capacity(32 + 8 * fixes.len());
    bytes.extend([VERSION, count]);
    let mut last = [0_i64; 3];
    for fix in fixes {
        let values = [
            fix.at_ms,
            i64::from(fix.position.lat_e7),
            i64::from(fix.position.lon_e7),
        ];
        for (value, last) in values.into_iter().zip(last) {
            write_varint(&mut bytes, zigzag(value.wrapping_sub(last)));
        }
        write_varint(
            &mut bytes,
            fix.accuracy_dm.map_or(0, |dm| u64::from(dm) + 1),
        );
        last = values;
    }
    bytes
}

/// The fixes of a chunk.
///
/// # Errors
/// At `track`: `Malformed` for bytes that [`pack`] does not write, `OutOfTime` and `OffTheMap` for values that no
/// filter keeps.
pub fn unpack(bytes: &[u8]) -> Result<Vec<Fix>, Invalid> {
    let [VERSION, count, rest @ ..] = bytes else {
        return Err(malformed());
    };
    let count = usize::from(*count);
    if count > FIXES_PER_CHUNK {
        return Err(malformed());
    }
    let mut rest = rest;
    let mut fixes = Vec::with_capacity(count);
    let mut last = [0_i64; 3];
    for _ in 0..count {
        for value in &mut last {
            let delta = unzigzag(read_varint(&mut rest)?);
            *value = value.checked_add(delta).ok_or_else(malformed)?;
        }
        let accuracy = read_varint(&mut rest)?;
        fixes.push(believable(last, accuracy)?);
    }
    if rest.is_empty() {
        Ok(fixes)
    } else {
        Err(malformed())
    }
}

/// The fix of these numbers (time, latitude, longitude; accuracy + 1 or 0), if a filter could have kept it.
fn believable([at_ms, lat_e7, lon_e7]: [i64; 3], accuracy: u64) -> Result<Fix, Invalid> {
    if !BELIEVABLE_MS.contains(&at_ms) {
        return Err(Invalid::new("track", Rule::OutOfTime));
    }
    let off_the_map = || Invalid::new("track", Rule::OffTheMap);
    let position = Position {
        lat_e7: i32::try_from(lat_e7).map_err(|_| off_the_map())?,
        lon_e7: i32::try_from(lon_e7).map_err(|_| off_the_map())?,
    };
    Position::from_degrees(position.lat(), position.lon()).map_err(|_| off_the_map())?;
    let accuracy_dm = match accuracy.checked_sub(1) {
        None => None,
        Some(dm) => Some(u32::try_from(dm).map_err(|_| malformed())?),
    };
    Ok(Fix {
        at_ms,
        position,
        accuracy_dm,
    })
}

fn malformed() -> Invalid {
    Invalid::new("track", Rule::Malformed)
}

/// Small numbers of either sign become small numbers: 0, -1, 1, -2 … are 0, 1, 2, 3 …
fn zigzag(value: i64) -> u64 {
    value
        .unsigned_abs()
        .wrapping_shl(1)
        .wrapping_sub(u64::from(value < 0))
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Seven bits per byte, low ones first, the top bit says that more follow.
fn write_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while let low @ 0x80.. = value {
        bytes.push(low.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

/// Takes one varint off the front; `Malformed` if it is cut off, longer than 64 bits or longer than it need be.
fn read_varint(bytes: &mut &[u8]) -> Result<u64, Invalid> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(malformed)?;
        *bytes = rest;
        let low = u64::from(byte & 0x7f);
        // Of the tenth byte one bit is left; a closing zero would be a second spelling.
        if (shift == 63 && byte > 1) || (shift > 0 && byte == 0) {
            return Err(malformed());
        }
        value |= low << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(malformed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::tests::fix;
    use proptest::prelude::*;

    fn any_fix() -> impl Strategy<Value = Fix> {
        let place = (-900_000_000..=900_000_000, -1_800_000_000..=1_800_000_000)
            .prop_filter("0,0 is no place", |place| *place != (0, 0));
        (BELIEVABLE_MS, place, any::<Option<u32>>()).prop_map(
            |(at_ms, (lat_e7, lon_e7), accuracy_dm)| Fix {
                at_ms,
                position: Position { lat_e7, lon_e7 },
                accuracy_dm,
            },
        )
    }

    /// Walking 1.3 m/s, a fix every 5 s with some metres of noise, as a phone in a pocket gives them.
    fn walk() -> Vec<Fix> {
        let mut noise = 7_u64;
        (0..60)
            .map(|i| {
                noise = noise
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let metres = (noise >> 61) as f64 - 4.0;
                let mut fix = fix(5 * i, 6.5 * i as f64 + metres);
                fix.position.lon_e7 += i32::try_from(noise >> 54).expect("ten bits") - 512;
                fix.accuracy_dm = Some(60 + u32::try_from(noise >> 57).expect("seven bits"));
                fix
            })
            .collect()
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(fixes in prop::collection::vec(any_fix(), 0..=FIXES_PER_CHUNK)) {
            prop_assert_eq!(unpack(&pack(&fixes)), Ok(fixes));
        }

        #[test]
        fn random_bytes_are_refused_or_are_the_one_spelling_of_what_they_say(
            mut bytes in prop::collection::vec(any::<u8>(), 0..64),
            count in 0_u8..5,
        ) {
            if let [first, second, ..] = &mut bytes[..] {
                *first = VERSION;
                *second = count;
            }
            if let Ok(fixes) = unpack(&bytes) {
                prop_assert_eq!(pack(&fixes), bytes);
            }
        }

        #[test]
        fn a_chunk_with_one_byte_changed_never_has_a_second_spelling(at in 0_usize..400, byte: u8) {
            let mut bytes = pack(&walk());
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(fixes) = unpack(&bytes) {
                prop_assert_eq!(pack(&fixes), bytes);
            }
        }
    }

    #[test]
    fn a_chunk_cut_at_any_byte_or_with_one_more_is_refused() {
        let bytes = pack(&walk());
        for end in 0..bytes.len() {
            assert_eq!(unpack(&bytes[..end]), Err(malformed()), "cut at {end}");
        }
        assert_eq!(unpack(&[&bytes[..], &[0]].concat()), Err(malformed()));
        assert!(unpack(&bytes).is_ok());
    }

    #[test]
    fn a_number_spelt_longer_than_need_be_is_refused() {
        let bytes = pack(&[Fix {
            accuracy_dm: None,
            ..fix(0, 0.0)
        }]);
        let (&last, start) = bytes.split_last().expect("not empty");
        assert_eq!(last, 0, "accuracy unknown is the closing zero");
        assert_eq!(unpack(&[start, &[0x80, 0]].concat()), Err(malformed()));
        assert_eq!(
            unpack(&[start, &[0xff; 9], &[2]].concat()),
            Err(malformed())
        );
    }

    #[test]
    fn sixty_one_fixes_and_another_version_are_refused() {
        assert_eq!(unpack(&[VERSION, 61, 0, 0, 0, 0]), Err(malformed()));
        assert_eq!(unpack(&[2, 0]), Err(malformed()));
        assert_eq!(unpack(&[VERSION, 0]), Ok(vec![]));
    }

    #[test]
    fn a_place_off_the_map_and_a_time_before_2000_are_refused() {
        let refused = |change: fn(&mut Fix)| {
            let mut fix = fix(0, 0.0);
            change(&mut fix);
            unpack(&pack(&[fix])).map_err(|invalid| invalid.rule)
        };
        assert_eq!(
            refused(|fix| fix.position.lat_e7 = 900_000_001),
            Err(Rule::OffTheMap)
        );
        assert_eq!(
            refused(|fix| fix.position.lon_e7 = i32::MIN),
            Err(Rule::OffTheMap)
        );
        assert_eq!(
            refused(|fix| fix.position = Position {
                lat_e7: 0,
                lon_e7: 0
            }),
            Err(Rule::OffTheMap)
        );
        assert_eq!(
            refused(|fix| fix.at_ms = BELIEVABLE_MS.start - 1),
            Err(Rule::OutOfTime)
        );
        assert_eq!(refused(|fix| fix.at_ms = i64::MAX), Err(Rule::OutOfTime));
        assert!(refused(|_| ()).is_ok());
    }

    #[test]
    fn a_fix_of_a_walk_takes_less_than_eight_bytes() {
        let fixes = walk();
        let bytes = pack(&fixes).len();
        println!(
            "{bytes} bytes, {:.2} per fix",
            bytes as f64 / fixes.len() as f64
        );
        assert!(bytes < 8 * fixes.len(), "{bytes} bytes");
    }
}
