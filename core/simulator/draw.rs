//! Draws: every decision of the world comes from its one seed.
//!
//! A draw is named by where it is made (an event's number, a phone's request), so that an event that is left out while a trace is
//! being shrunk does not change what happens elsewhere.

use kieumau_core::hash::Sha256;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// A stream of decisions.
pub struct Draw(StdRng);

impl Draw {
    /// The stream of `seed` at this place.
    pub fn at(seed: u64, place: &str, numbers: [u64; 2]) -> Self {
        let [first, second] = numbers.map(u64::to_be_bytes);
        let parts: [&[u8]; 4] = [&seed.to_be_bytes(), place.as_bytes(), &first, &second];
        Self(StdRng::from_seed(Sha256::of_parts(&parts).0))
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound.max(1))
    }

    /// A number from `least` to `most`.
    pub fn within(&mut self, least: u64, most: u64) -> u64 {
        self.0.random_range(least..=most)
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// One of these, if there is any.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let place = self.below(of.len() as u64);
        of.get(usize::try_from(place).ok()?)
    }

    /// 0 to 1, for jitter.
    pub fn fraction(&mut self) -> f64 {
        self.0.random()
    }

    /// Random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.0.random())
    }

    /// So many random bytes.
    pub fn many(&mut self, count: u64) -> Vec<u8> {
        (0..count).map(|_| self.0.random()).collect()
    }
}
