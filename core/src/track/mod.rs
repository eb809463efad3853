//! A patrol's track (lộ trình): the fixes of one shift, what is kept of them, how they are stored and where they break off.
//!
//! [`filter`] decides which fixes are kept, [`chunk`] turns sixty of them into bytes for the document; this file says
//! where a track has gaps. It knows nothing of files (see `track_file`) and nothing of maps: a gap is the end of one
//! segment and the beginning of the next, and whoever draws it draws it dashed. A gap counts no metres, because nobody
//! saw the way that was taken there.

pub mod chunk;
pub mod filter;

pub use chunk::{FIXES_PER_CHUNK, pack, unpack};
pub use filter::{Dropped, Filter, Report, Rival, Source};

use crate::position::Fix;

/// A longer silence than this is a gap, milliseconds. A phone at rest still keeps a fix a minute
/// ([`filter::STILL_MS`]), so two minutes mean that one was missed: no signal, or the app was not running.
pub const GAP_MS: u64 = 120_000;

/// A longer way than this between neighbours is a gap, metres. It is a motorbike's minute at 30 km/h; over more than
/// that a straight line would claim streets nobody rode.
pub const GAP_M: f64 = 500.0;

/// The track cut at its gaps: runs of neighbours, in order, none empty. A run of one fix is a dot.
#[must_use]
pub fn segments(fixes: &[Fix]) -> Vec<&[Fix]> {
    fixes.chunk_by(|a, b| !is_gap(a, b)).collect()
}

/// The way travelled, metres: along the fixes, without the gaps.
#[must_use]
pub fn length_m(fixes: &[Fix]) -> f64 {
    fixes
        .windows(2)
        .filter(|pair| !is_gap(&pair[0], &pair[1]))
        .map(|pair| pair[0].position.distance_m(pair[1].position))
        .sum()
}

fn is_gap(a: &Fix, b: &Fix) -> bool {
    a.at_ms.abs_diff(b.at_ms) > GAP_MS || a.position.distance_m(b.position) > GAP_M
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::position::Position;

    /// Noon on the day of the first invented patrol, 2026-11-23 (+07:00).
    pub(crate) const NOON_MS: i64 = 1_795_410_000_000;

    /// A fix `seconds` after noon, `north_m` metres north of a corner in Vinh, exact to 8 m.
    pub(crate) fn fix(seconds: i64, north_m: f64) -> Fix {
        Fix {
            at_ms: NOON_MS + seconds * 1_000,
            position: Position::from_degrees(18.6734 + north_m / 111_195.0, 105.6813)
                .expect("on Earth"),
            accuracy_dm: Some(80),
        }
    }

    #[test]
    fn a_track_without_gaps_is_one_segment() {
        let fixes: Vec<_> = (0..10).map(|i| fix(i * 60, 40.0 * i as f64)).collect();
        assert_eq!(segments(&fixes), [&fixes[..]]);
        assert!((length_m(&fixes) - 360.0).abs() < 1.0);
    }

    #[test]
    fn a_track_breaks_off_after_two_minutes_of_silence() {
        let just = [fix(0, 0.0), fix(120, 10.0)];
        assert_eq!(segments(&just).len(), 1);
        let over = [fix(0, 0.0), fix(121, 10.0)];
        assert_eq!(segments(&over), [&over[..1], &over[1..]]);
        assert_eq!(length_m(&over), 0.0);
    }

    #[test]
    fn a_jump_of_more_than_500_m_is_a_gap_and_counts_no_metres() {
        let fixes = [
            fix(0, 0.0),
            fix(60, 100.0),
            fix(120, 620.0),
            fix(180, 650.0),
        ];
        assert_eq!(segments(&fixes), [&fixes[..2], &fixes[2..]]);
        assert!((length_m(&fixes) - 130.0).abs() < 1.0);
    }

    #[test]
    fn no_fixes_are_no_segments() {
        assert!(segments(&[]).is_empty());
        assert_eq!(length_m(&[]), 0.0);
    }
}
