//! The mobile contract: `kieumau_core::phone` for Kotlin, Swift and Python, by uniffi.
//!
//! In reading order: [`contract`] is the page an app is written against, records, enums and errors; [`phone`] is the one
//! object, each method one call of the core; `crossing` turns the core's types into the contract's. Nothing here knows a
//! rule: what is refused is refused by the core, in the core's words.

pub mod contract;
mod crossing;
pub mod phone;

uniffi::setup_scaffolding!();
