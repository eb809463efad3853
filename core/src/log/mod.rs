//! The log: an append-only Merkle tree of what the server accepted, so that it cannot forget or rewrite unnoticed.
//!
//! [`arrival`] reads what a push brings, [`admission`] says what comes in, [`numbering`] gives it its place in a unit's feed, [`rights`] says who may read, [`paging`] what a reader gets of that; [`leaf`] is what one
//! entry of the log says, [`merkle`] the tree and its proofs, [`head`] the signed statement about its size and root. All of it is data in, data out: nodes are read through a closure and handed back to be stored, so that the same
//! code runs in the server's transaction, in an offline verifier and in a simulator.

pub mod admission;
pub mod arrival;
pub mod compare;
pub mod head;
pub mod leaf;
pub mod merkle;
pub mod numbering;
pub mod paging;
pub mod rights;
