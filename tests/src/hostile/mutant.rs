//! Random changes of a change, from a seed.

use super::chunk::repair;
use rand::{RngExt as _, rngs::StdRng};

/// `bytes` with one to four of them changed, taken away, doubled or put in, beyond the first eight.
#[must_use]
pub fn bent(rng: &mut StdRng, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        if bytes.len() < 10 {
            break;
        }
        let at = rng.random_range(8..bytes.len());
        match rng.random_range(0..10) {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, rng.random()),
            2 => bytes.truncate(at),
            3..=5 => bytes[at] ^= 1 << rng.random_range(0..8),
            6 => bytes[at] = 0x7f,
            7 => bytes[at] = 0xff,
            _ => bytes[at] = rng.random(),
        }
    }
    bytes
}

/// The same with its checksum repaired, and beyond its header, so that only who reads the operations can tell.
#[must_use]
pub fn repaired(rng: &mut StdRng, bytes: &[u8], from: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(from..bytes.len());
        bytes[at] = match rng.random_range(0..4) {
            0 => 0x7f,
            1 => bytes[at].wrapping_add(1),
            2 => bytes[at] ^ (1 << rng.random_range(0..8)),
            _ => rng.random(),
        };
    }
    repair(&mut bytes);
    bytes
}
