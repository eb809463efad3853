//! Leaves: what one entry of the log says, and its one encoding.
//!
//! A leaf names things by id and hash and never holds what they say, so that a document can be erased while the log that
//! it was received stays whole. Numbers in `#[n]` are the format: a leaf that was written once is verified for ever, so a
//! number is never reused and a field never changes its meaning; a new fact is a new kind of leaf.

use super::{head::TreeHead, merkle};
use crate::{
    hash::Sha256,
    id::{DocumentId, PersonId, PhoneId, UnitId},
    log::head::Epoch,
};
use minicbor::{Decode, Encode};

/// What a server's key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum KeyPurpose {
    /// Tree heads.
    #[n(0)]
    Log,
    /// Receipts.
    #[n(1)]
    Receipt,
    /// Seals of the server's own changes.
    #[n(2)]
    Seal,
    /// Rescue files: phones encipher to it, and nothing is signed with it.
    #[n(3)]
    Rescue,
}

/// One entry of the log. Times are Unix milliseconds of the server's clock.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Leaf {
    /// Changes of one document that were accepted together.
    #[n(0)]
    Batch {
        /// Their document.
        #[n(0)]
        document: DocumentId,
        /// Their hashes, in the order of their numbers.
        #[n(1)]
        changes: Vec<Sha256>,
        /// The SHA-256 of each seal that came with them, in its one encoding.
        #[n(2)]
        seals: Vec<Sha256>,
        /// When they came.
        #[n(3)]
        received_at_ms: i64,
    },
    /// A phone was enrolled: from here on its key speaks for this person.
    #[n(1)]
    Enrolled {
        /// The phone.
        #[n(0)]
        phone: PhoneId,
        /// Who holds it.
        #[n(1)]
        person: PersonId,
        /// The unit that enrolled it.
        #[n(2)]
        unit: UnitId,
        /// Its Ed25519 public key.
        #[cbor(n(3), with = "minicbor::bytes")]
        public_key: [u8; 32],
        /// When.
        #[n(4)]
        at_ms: i64,
    },
    /// A phone was revoked: what is not in the log by here is quarantined.
    #[n(2)]
    Revoked {
        /// The phone.
        #[n(0)]
        phone: PhoneId,
        /// When.
        #[n(1)]
        at_ms: i64,
    },
    /// The server has this key from here on.
    #[n(3)]
    ServerKey {
        /// What it is for.
        #[n(0)]
        purpose: KeyPurpose,
        /// The public key: Ed25519, or X25519 for rescue files.
        #[cbor(n(1), with = "minicbor::bytes")]
        public_key: [u8; 32],
        /// When.
        #[n(2)]
        at_ms: i64,
    },
    /// The first leaf of an epoch.
    #[n(4)]
    Epoch {
        /// The epoch that starts.
        #[n(0)]
        epoch: Epoch,
        /// The last head known of the epoch before; none for the first of all.
        #[n(1)]
        previous: Option<TreeHead>,
    },
    /// A whole attachment was received.
    #[n(5)]
    Attachment {
        /// The unit that holds it.
        #[n(0)]
        unit: UnitId,
        /// Of the whole file.
        #[n(1)]
        sha256: Sha256,
        /// Of the whole file.
        #[n(2)]
        size_bytes: u64,
        /// When its last byte came.
        #[n(3)]
        received_at_ms: i64,
    },
    /// A document's key was destroyed; its hashes stay in the leaves before.
    #[n(6)]
    Erased {
        /// The document.
        #[n(0)]
        document: DocumentId,
    },
    /// Changes of one document that were accepted together although their phone had been revoked: a chief looked into them and let
    /// them in.
    #[n(7)]
    Admitted {
        /// Their document.
        #[n(0)]
        document: DocumentId,
        /// Their hashes, in the order of their numbers.
        #[n(1)]
        changes: Vec<Sha256>,
        /// The SHA-256 of each seal that came with them, in its one encoding.
        #[n(2)]
        seals: Vec<Sha256>,
        /// When they were let in.
        #[n(3)]
        admitted_at_ms: i64,
        /// By whom.
        #[n(4)]
        by: PersonId,
    },
}

/// The bytes are not a leaf, or not in its one encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a leaf in its one encoding")]
pub struct NotALeaf;

impl Leaf {
    /// The document and the changes of it that came into the log by this leaf; none if it is about something else.
    #[must_use]
    pub fn batch(&self) -> Option<(DocumentId, &[Sha256])> {
        match self {
            Self::Batch {
                document, changes, ..
            }
            | Self::Admitted {
                document, changes, ..
            } => Some((*document, changes)),
            _ => None,
        }
    }

    /// Its one encoding (CBOR).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("writing to memory does not fail")
    }

    /// The leaf in `bytes`.
    ///
    /// # Errors
    /// Also for another spelling of the same leaf: its hash would differ.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotALeaf> {
        let leaf: Self = minicbor::decode(bytes).map_err(|_| NotALeaf)?;
        if leaf.encode() == bytes {
            Ok(leaf)
        } else {
            Err(NotALeaf)
        }
    }

    /// Its hash in the tree.
    #[must_use]
    pub fn hash(&self) -> Sha256 {
        merkle::leaf_hash(&self.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The byte, so many times.
    fn of(byte: &str, count: usize) -> String {
        byte.repeat(count)
    }

    /// A batch and an admission of the same changes.
    fn of_changes(document: DocumentId) -> [(Leaf, String); 2] {
        let batch = Leaf::Batch {
            document,
            changes: vec![Sha256([0x11; 32]), Sha256([0x22; 32])],
            seals: vec![Sha256([0x33; 32])],
            received_at_ms: 1_700_000_000_000,
        };
        let changes = format!("825820{}5820{}", of("11", 32), of("22", 32));
        let seals = format!("815820{}", of("33", 32));
        let batch_bytes = format!("82008450{}{changes}{seals}1b0000018bcfe56800", of("d0", 16));

        let admitted = Leaf::Admitted {
            document,
            changes: vec![Sha256([0x11; 32]), Sha256([0x22; 32])],
            seals: vec![Sha256([0x33; 32])],
            admitted_at_ms: 3,
            by: PersonId::from_bytes([0x0a; 16]),
        };
        let by = of("0a", 16);
        let admitted_bytes = format!("82078550{}{changes}{seals}0350{by}", of("d0", 16));
        [(batch, batch_bytes), (admitted, admitted_bytes)]
    }

    /// Each kind of leaf, and its encoding: CBOR's heads as written, the bytes that they announce as `(byte, count)`.
    fn one_of_each() -> [(Leaf, String); 9] {
        let document = DocumentId::from_bytes([0xd0; 16]);
        let (phone, unit) = (
            PhoneId::from_bytes([0xf0; 16]),
            UnitId::from_bytes([0x0e; 16]),
        );
        let epoch = Epoch([0xe1; 16]);
        let [batch, admitted] = of_changes(document);
        let enrolled = Leaf::Enrolled {
            phone,
            person: PersonId::from_bytes([0x0a; 16]),
            unit,
            public_key: [0x55; 32],
            at_ms: -1,
        };
        let ids = format!("50{}50{}50{}", of("f0", 16), of("0a", 16), of("0e", 16));
        let enrolled_bytes = format!("820185{ids}5820{}20", of("55", 32));

        let server_key = Leaf::ServerKey {
            purpose: KeyPurpose::Receipt,
            public_key: [0x55; 32],
            at_ms: 24,
        };
        let head = TreeHead {
            epoch: Epoch([0xe0; 16]),
            size: 300,
            root: Sha256([0x44; 32]),
            at_ms: 1,
        };
        let head_bytes = format!("8450{}19012c5820{}01", of("e0", 16), of("44", 32));
        let attachment = Leaf::Attachment {
            unit,
            sha256: Sha256([0x66; 32]),
            size_bytes: 1 << 20,
            received_at_ms: 2,
        };
        let attachment_bytes = format!("82058450{}5820{}1a0010000002", of("0e", 16), of("66", 32));
        [
            batch,
            (enrolled, enrolled_bytes),
            (
                Leaf::Revoked { phone, at_ms: 9 },
                format!("82028250{}09", of("f0", 16)),
            ),
            (server_key, format!("820383015820{}1818", of("55", 32))),
            (
                Leaf::Epoch {
                    epoch,
                    previous: None,
                },
                format!("82048150{}", of("e1", 16)),
            ),
            (
                Leaf::Epoch {
                    epoch,
                    previous: Some(head),
                },
                format!("82048250{}{head_bytes}", of("e1", 16)),
            ),
            (attachment, attachment_bytes),
            (
                Leaf::Erased { document },
                format!("82068150{}", of("d0", 16)),
            ),
            admitted,
        ]
    }

    #[test]
    fn each_leaf_is_written_as_it_was_first_released() {
        for (leaf, written) in one_of_each() {
            assert_eq!(hex::encode(leaf.encode()), written);
            assert_eq!(Leaf::decode(&leaf.encode()), Ok(leaf));
        }
    }

    #[test]
    fn a_leaf_cut_or_lengthened_is_refused() {
        for (leaf, _) in one_of_each() {
            let bytes = leaf.encode();
            for length in 0..bytes.len() {
                assert_eq!(Leaf::decode(&bytes[..length]), Err(NotALeaf));
            }
            assert_eq!(Leaf::decode(&[&bytes[..], &[0xf6]].concat()), Err(NotALeaf));
        }
    }

    #[test]
    fn a_leaf_spelled_otherwise_is_refused_and_the_comparison_is_what_refuses_it() {
        // The outer array's length of 2 written in two bytes.
        let leaf = one_of_each()[2].0.clone();
        let respelled = [&[0x98, 2], &leaf.encode()[1..]].concat();
        assert_eq!(minicbor::decode::<Leaf>(&respelled).ok(), Some(leaf));
        assert_eq!(Leaf::decode(&respelled), Err(NotALeaf));
    }

    #[test]
    fn a_leaf_is_hashed_as_rfc_6962_says() {
        let leaf = one_of_each()[7].0.clone();
        assert_eq!(
            leaf.hash(),
            Sha256::of(&[&[0], &leaf.encode()[..]].concat())
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic_and_what_decodes_is_itself_again(
            kind in 0..9_usize,
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut bytes = one_of_each()[kind].0.encode();
            for (at, value) in edits {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Ok(leaf) = Leaf::decode(&bytes) {
                prop_assert_eq!(leaf.encode(), bytes);
            }
        }
    }
}
