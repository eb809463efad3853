//! What a line can do to a connection, drawn from a seed: the same seed is the same bad weather.
//!
//! A plan says it per connection in the order in which they are opened; behind its end the line is good. Places are bytes
//! since the plan began, not since the connection did, so that a cut can fall at any byte of a whole session.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{collections::VecDeque, fmt, time::Duration};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the phone.
    Up,
    /// To the phone.
    Down,
}

/// What happens to one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends after so many bytes this way.
    Cut(Way, u64),
    /// After so many bytes this way nothing passes in either, and nobody is told for so long.
    HalfOpen(Way, u64, Duration),
    /// Each piece comes so much later.
    Delay(Duration),
    /// So many bytes per second each way.
    Slow(u32),
    /// All that the phone says comes to the server once more, on a connection of its own whose answers nobody hears.
    Twice,
    /// The access token of this request, counted from 0 over the whole plan, is not one of the server's.
    BadToken(u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// How long a half-open line of a plan stays so before it ends: a real one's minutes, scaled.
const HALF_OPEN: Duration = Duration::from_millis(200);
/// Bytes per second of a slow line of a plan: 2 kB/s with time scaled a hundredfold.
const SLOW: u32 = 200_000;

/// The weather of `seed` over a session of about so many bytes each way: one to three faults, one per connection.
#[must_use]
pub fn plan(seed: u64, up_bytes: u64, down_bytes: u64) -> VecDeque<Fault> {
    let mut rng = StdRng::seed_from_u64(seed);
    let faults = rng.random_range(1..=3);
    let place = |rng: &mut StdRng| match rng.random_bool(0.6) {
        true => (Way::Up, rng.random_range(0..up_bytes)),
        false => (Way::Down, rng.random_range(0..down_bytes)),
    };
    (0..faults)
        .map(|_| {
            let (way, after) = place(&mut rng);
            match rng.random_range(0..10) {
                0..=4 => Fault::Cut(way, after),
                5 => Fault::HalfOpen(way, after, HALF_OPEN),
                6 => Fault::Delay(Duration::from_millis(rng.random_range(1..40))),
                7 => Fault::Slow(SLOW),
                _ => Fault::Twice,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_weather_and_another_one_is_not() {
        assert_eq!(plan(7, 1_000, 1_000), plan(7, 1_000, 1_000));
        let plans: Vec<_> = (0..50).map(|seed| plan(seed, 1_000, 1_000)).collect();
        assert!(plans.iter().any(|other| *other != plans[0]));
        assert!(plans.iter().all(|plan| (1..=3).contains(&plan.len())));
    }
}
