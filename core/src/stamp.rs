//! What every recorded thing carries: who, when by which clock, and the randomness for its id. Arguments, all of them.

use crate::{
    id::PersonId,
    invalid::{Invalid, Rule},
};

/// The times that a clock can say, Unix milliseconds: from 1970 until the nanoseconds of a 64-bit clock run out, in April 2262. A phone
/// that is decades wrong is believed to have said so, and its record is kept; a time outside was never on any clock.
pub const SAYABLE_MS: std::ops::RangeInclusive<i64> = 0..=i64::MAX / 1_000_000;

/// Holds a recorded time to what a clock can say.
///
/// # Errors
/// `OutOfTime` at `field`.
pub fn time(field: &str, at_ms: i64) -> Result<(), Invalid> {
    if SAYABLE_MS.contains(&at_ms) {
        Ok(())
    } else {
        Err(Invalid::new(field, Rule::OutOfTime))
    }
}

/// Who records something, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The person the phone (or the page) is signed in for.
    pub by: PersonId,
    /// The recording device's clock, Unix milliseconds. Kept as it is, even from 1970: it orders nothing.
    pub at_ms: i64,
    /// Fresh randomness for the id of what is recorded.
    pub random: [u8; 10],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_decades_wrong_is_kept_and_what_no_clock_says_is_not() {
        let (in_1970, in_2100, in_2261) = (0, 4_102_444_800_000, 9_214_646_400_000);
        for said in [in_1970, in_2100, in_2261] {
            assert_eq!(time("at_ms", said), Ok(()));
        }
        for never in [i64::MIN, -1, 9_300_000_000_000, i64::MAX] {
            assert_eq!(
                time("at_ms", never),
                Err(Invalid::new("at_ms", Rule::OutOfTime))
            );
        }
    }
}
