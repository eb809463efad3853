//! The shared core of Kiểu Mẫu.
//!
//! In reading order: [`id`], [`invalid`] and [`position`] are the small words; the nouns of the work follow.

pub mod hash;
pub mod header;
pub mod id;
pub mod invalid;
pub mod jws;
pub mod log;
pub mod position;
pub mod receipt;
pub mod seal;
