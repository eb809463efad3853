//! Bytes that nobody honest sends, made by code so that each can be explained: [`chunk`] takes a change apart and puts it together
//! again with its hash repaired, [`corpus`] is every known way to hurt who reads one, [`mutant`] is a random one.

pub mod chunk;
pub mod corpus;
pub mod mutant;
