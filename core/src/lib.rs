//! The shared core of Kiểu Mẫu.
//!
//! In reading order: [`id`], [`invalid`] and [`position`] are the small words; the nouns of the work follow.

pub mod catalogue;
pub mod code;
pub mod criterion;
pub mod enrolment;
pub mod hash;
pub mod id;
pub mod invalid;
pub mod period;
pub mod person;
pub mod position;
pub mod problem;
pub mod token;
pub mod track;
pub mod track_file;
