//! How much one request carries: little on a line that breaks, much on one that holds.
//!
//! A request that breaks off costs all its bytes again. So it carries at most a quarter of what went through since the line broke
//! last, and does not grow while requests are slow: what is sent twice stays below a quarter of what is sent, plus the
//! smallest request per break, and at 2 kB/s a request still ends before the client's patience does (16 of 30 seconds).

use std::time::Duration;

/// Bytes that are dared on any line.
const SMALLEST: usize = 32 << 10;
/// A line that bears less in one request is slow: a photo of 4 MB takes more than thirty.
const SLOW: usize = 128 << 10;
/// A request that took longer is not made larger.
const QUICK: Duration = Duration::from_secs(5);

/// What this line was seen to bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    through: usize,
    size: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            through: 0,
            size: SMALLEST,
        }
    }
}

impl Pace {
    /// Bytes for the next request.
    pub(super) const fn size(self) -> usize {
        self.size
    }

    /// Whether the line has not shown yet that it bears more than the smallest piece of a photo.
    pub(super) const fn is_slow(self) -> bool {
        self.size < SLOW
    }

    /// A request with so many bytes went through.
    pub(super) fn went(&mut self, bytes: usize, took: Duration) {
        self.through = self.through.saturating_add(bytes);
        if took < QUICK {
            self.size = self.size.max(self.through / 4);
        }
    }

    /// The line broke.
    pub(super) fn broke(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_slow_line_is_asked_for_no_more() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            pace.went(SMALLEST, Duration::from_secs(16));
        }
        assert_eq!(pace.size(), SMALLEST);
        pace.went(SMALLEST, Duration::from_millis(100));
        assert!(pace.size() > SMALLEST);
        pace.broke();
        assert_eq!(pace, Pace::default());
    }

    proptest! {
        #[test]
        fn what_is_sent_twice_is_a_quarter_at_most_and_the_smallest_per_break(breaks in proptest::collection::vec(any::<bool>(), 1..200)) {
            let (mut pace, mut through, mut again, mut broken) = (Pace::default(), 0, 0, 0);
            for breaks in breaks {
                if breaks {
                    again += pace.size();
                    broken += 1;
                    pace.broke();
                } else {
                    through += pace.size();
                    pace.went(pace.size(), Duration::ZERO);
                }
            }
            prop_assert!(again <= through / 4 + broken * SMALLEST);
        }
    }
}
