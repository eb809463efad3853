//! What every recorded thing carries: who, when by which clock, and the randomness for its id. Arguments, all of them.

use crate::id::PersonId;

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
