//! Receipts: the server's signed word that it holds a document up to certain heads, and certain files.
//!
//! A phone shows *Đã gửi* only when a receipt covers the document's present heads **and** every attachment. The verifier of a
//! dossier asks [`Receipt::covers`]; the phone compares the same hashes as its rows hold them. A receipt says *received*, not *understood* and not *true*. It is
//! bound to the log by epoch, leaf and root, so that a server which later denies it contradicts its own tree.

use crate::{
    hash::Sha256,
    id::{DocumentId, PhoneId},
    jws::{self, JwsError},
    log::head::{Epoch, TreeHead},
    wire::ReceiptRequest,
};
use ed25519_dalek::{SigningKey, VerifyingKey};
use minicbor::{Decode, Encode};
use std::collections::BTreeSet;

/// The type of a signed receipt.
pub const TYP: &str = "kieumau-receipt+jws";

/// The most heads and attachments, together, that one receipt names.
pub const MAX_HASHES: usize = 512;

/// The longest receipt that is read, bytes. More than other tokens may have: each hash costs 46 bytes of base64url.
const MAX_BYTES: usize = 32 << 10;

/// What the server holds. `heads` and `attachments` ascend and name nothing twice.
///
/// The token's payload is this as CBOR, not JSON: hashes stand in it as bytes, because every push brings a receipt. A number is
/// never reused.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Receipt {
    /// The document.
    #[n(0)]
    pub document: DocumentId,
    /// Its heads; held with their whole ancestry.
    #[n(1)]
    pub heads: Vec<Sha256>,
    /// The SHA-256 of each file that is held whole.
    #[n(2)]
    pub attachments: Vec<Sha256>,
    /// The log's epoch, which leaf and size count in.
    #[n(3)]
    pub epoch: Epoch,
    /// The newest leaf that brought any of this.
    #[n(4)]
    pub leaf_index: u64,
    /// The log's size when the receipt was given, above `leaf_index`.
    #[n(5)]
    pub tree_size: u64,
    /// The root of the tree of that size.
    #[n(6)]
    pub root: Sha256,
    /// When: Unix milliseconds, the server's clock.
    #[n(7)]
    pub received_at_ms: i64,
    /// The phone that asked.
    #[n(8)]
    pub phone: PhoneId,
}

/// Why there is no receipt, or why one is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ReceiptError {
    /// The token is not the server's.
    #[error(transparent)]
    Token(#[from] JwsError),
    /// More than [`MAX_HASHES`].
    #[error("receipt-too-many")]
    TooMany,
    /// No heads, hashes out of order or one twice, or a leaf beyond the tree: nothing a server says.
    #[error("receipt-malformed")]
    Malformed,
}

impl Receipt {
    /// What a server may say about what `phone` asks, when its log stands at `head`: nothing unless every head and every file is
    /// held. `placed` and `filed` say in which leaf; what stood in an epoch before stands under leaf 0.
    #[must_use]
    pub fn of(
        asked: &ReceiptRequest,
        placed: impl Fn(&Sha256) -> Option<u64>,
        filed: impl Fn(&Sha256) -> Option<u64>,
        (head, phone): (&TreeHead, PhoneId),
    ) -> Option<Self> {
        if asked.heads.is_empty() {
            return None;
        }
        let leaves = asked.heads.iter().map(placed);
        let files = asked.attachments.iter().map(filed);
        let newest = leaves
            .chain(files)
            .try_fold(0, |newest: u64, leaf| Some(newest.max(leaf?)))?;
        Some(Self {
            document: asked.document,
            heads: sorted(&asked.heads),
            attachments: sorted(&asked.attachments),
            epoch: head.epoch,
            leaf_index: newest,
            tree_size: head.size,
            root: head.root,
            received_at_ms: head.at_ms,
            phone,
        })
    }

    /// The receipt as a token, signed by the receipt key.
    ///
    /// # Errors
    /// `TooMany`, `Malformed`: what [`Receipt::verify`] would refuse is not signed.
    pub fn sign(&self, key: &SigningKey) -> Result<String, ReceiptError> {
        self.check()?;
        let kid = jws::kid(&key.verifying_key());
        Ok(jws::sign_payload(key, TYP, &kid, &self.payload()))
    }

    /// What is signed: its one encoding.
    pub(crate) fn payload(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("writing to memory does not fail")
    }

    /// One receipt per as many attachments as fit beside the heads: together they cover all of them. One without any for a
    /// document that has none; no receipt at all when the heads alone are too many.
    #[must_use]
    pub fn parts(self) -> Vec<Self> {
        let room = MAX_HASHES.saturating_sub(self.heads.len());
        if room == 0 {
            return Vec::new();
        }
        if self.attachments.is_empty() {
            return vec![self];
        }
        let part = |attachments: &[Sha256]| Self {
            attachments: attachments.to_vec(),
            ..self.clone()
        };
        self.attachments.chunks(room).map(part).collect()
    }

    /// The receipt that `token` says, if the key that `key` finds under its name signed it.
    ///
    /// # Errors
    /// Any: the token is then worth nothing.
    pub fn verify(
        token: &str,
        key: impl FnOnce(&str) -> Option<VerifyingKey>,
    ) -> Result<Self, ReceiptError> {
        let payload = jws::verify_payload(MAX_BYTES, token, TYP, key)?;
        let receipt: Self =
            minicbor::decode(&payload).map_err(|_| ReceiptError::Token(JwsError::Claims))?;
        if receipt.payload() != payload {
            return Err(ReceiptError::Malformed);
        }
        receipt.check()?;
        Ok(receipt)
    }

    fn check(&self) -> Result<(), ReceiptError> {
        if self.heads.len() + self.attachments.len() > MAX_HASHES {
            return Err(ReceiptError::TooMany);
        }
        let ascending = |hashes: &[Sha256]| hashes.is_sorted_by(|a, b| a < b);
        if self.heads.is_empty()
            || !ascending(&self.heads)
            || !ascending(&self.attachments)
            || self.leaf_index >= self.tree_size
        {
            return Err(ReceiptError::Malformed);
        }
        Ok(())
    }

    /// Whether this says that the document is held at exactly these heads, with all these attachments (it may hold more
    /// of them). The order of either does not matter.
    #[must_use]
    pub fn covers(&self, document: DocumentId, heads: &[Sha256], attachments: &[Sha256]) -> bool {
        let mut heads = heads.to_vec();
        heads.sort_unstable();
        heads.dedup();
        self.document == document
            && self.heads == heads
            && attachments
                .iter()
                .all(|attachment| self.attachments.binary_search(attachment).is_ok())
    }
}

fn sorted(hashes: &[Sha256]) -> Vec<Sha256> {
    let distinct: BTreeSet<Sha256> = hashes.iter().copied().collect();
    distinct.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> DocumentId {
        DocumentId::from_bytes([1; 16])
    }

    fn hash(number: u8) -> Sha256 {
        Sha256([number; 32])
    }

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[1; 32])
    }

    fn receipt() -> Receipt {
        Receipt {
            document: document(),
            heads: vec![hash(1), hash(2)],
            attachments: vec![hash(7), hash(8)],
            epoch: Epoch([5; 16]),
            leaf_index: 41,
            tree_size: 42,
            root: hash(9),
            received_at_ms: 1_772_323_200_000,
            phone: PhoneId::from_bytes([3; 16]),
        }
    }

    #[test]
    fn a_receipt_is_given_when_every_head_and_every_file_is_held() {
        let asked = ReceiptRequest {
            document: document(),
            heads: vec![hash(2), hash(1)],
            attachments: vec![hash(8), hash(7), hash(8)],
        };
        let head = TreeHead {
            epoch: Epoch([5; 16]),
            size: 42,
            root: hash(9),
            at_ms: 1_772_323_200_000,
        };
        let given = |held: &[(u8, u64)]| {
            let leaf = |of: &Sha256| {
                let found = held.iter().find(|(number, _)| hash(*number) == *of);
                found.map(|(_, leaf)| *leaf)
            };
            Receipt::of(&asked, leaf, leaf, (&head, receipt().phone))
        };
        assert_eq!(given(&[(1, 41), (2, 3), (7, 0), (8, 5)]), Some(receipt()));
        assert_eq!(
            given(&[(1, 41), (7, 0), (8, 5)]),
            None,
            "a head is not held"
        );
        assert_eq!(
            given(&[(1, 41), (2, 3), (7, 0)]),
            None,
            "a file is not held"
        );
    }

    fn read(token: &str) -> Result<Receipt, ReceiptError> {
        Receipt::verify(token, |_| Some(key().verifying_key()))
    }

    #[test]
    fn a_receipt_is_read_back_as_it_was_given() {
        let token = receipt().sign(&key()).expect("well formed");
        assert_eq!(read(&token), Ok(receipt()));
    }

    #[test]
    fn a_receipt_by_another_key_or_of_another_type_is_refused() {
        let other = SigningKey::from_bytes(&[2; 32]);
        let token = receipt().sign(&other).expect("well formed");
        assert_eq!(read(&token), Err(ReceiptError::Token(JwsError::Signature)));
        let token = jws::sign_payload(&key(), crate::log::head::TYP, "a", &receipt().payload());
        assert_eq!(read(&token), Err(ReceiptError::Token(JwsError::Type)));
    }

    #[test]
    fn a_receipt_covers_exactly_its_heads_in_any_order() {
        let covers = |heads: &[Sha256]| receipt().covers(document(), heads, &[]);
        assert!(covers(&[hash(1), hash(2)]));
        assert!(covers(&[hash(2), hash(1)]));
        assert!(!covers(&[hash(1)]), "one head was merged away");
        assert!(
            !covers(&[hash(1), hash(2), hash(3)]),
            "one was written since"
        );
        assert!(!covers(&[hash(1), hash(3)]));
        assert!(!covers(&[]));
    }

    #[test]
    fn a_receipt_covers_every_attachment_or_nothing() {
        let heads = [hash(1), hash(2)];
        let covers = |attachments: &[Sha256]| receipt().covers(document(), &heads, attachments);
        assert!(covers(&[]));
        assert!(covers(&[hash(8)]));
        assert!(covers(&[hash(8), hash(7)]));
        assert!(!covers(&[hash(7), hash(6)]), "one photo has not arrived");
        let fewer = Receipt {
            attachments: vec![hash(7)],
            ..receipt()
        };
        assert!(!fewer.covers(document(), &heads, &[hash(7), hash(8)]));
    }

    #[test]
    fn a_receipt_for_another_document_covers_nothing() {
        let other = DocumentId::from_bytes([2; 16]);
        assert!(!receipt().covers(other, &[hash(1), hash(2)], &[]));
    }

    #[test]
    fn what_no_server_says_is_neither_signed_nor_believed() {
        let malformed = [
            Receipt {
                heads: Vec::new(),
                ..receipt()
            },
            Receipt {
                heads: vec![hash(2), hash(1)],
                ..receipt()
            },
            Receipt {
                attachments: vec![hash(7), hash(7)],
                ..receipt()
            },
            Receipt {
                leaf_index: 42,
                ..receipt()
            },
        ];
        for receipt in malformed {
            assert_eq!(receipt.sign(&key()), Err(ReceiptError::Malformed));
            let token = jws::sign_payload(&key(), TYP, "a", &receipt.payload());
            assert_eq!(read(&token), Err(ReceiptError::Malformed));
        }
    }

    #[test]
    fn a_receipt_with_as_many_hashes_as_allowed_is_read_and_one_more_is_refused() {
        let numbered = |count: usize| {
            let mut hashes: Vec<_> = (0..count).map(|n| Sha256::of(&n.to_be_bytes())).collect();
            hashes.sort_unstable();
            hashes
        };
        let full = Receipt {
            attachments: numbered(MAX_HASHES - 2),
            ..receipt()
        };
        let token = full.sign(&key()).expect("well formed");
        assert!(
            token.len() > jws::MAX_TOKEN_BYTES,
            "it needs the longer limit"
        );
        assert_eq!(read(&token), Ok(full));
        let over = Receipt {
            attachments: numbered(MAX_HASHES - 1),
            ..receipt()
        };
        assert_eq!(over.sign(&key()), Err(ReceiptError::TooMany));
        let parts = over.clone().parts();
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| part.sign(&key()).is_ok()));
        let covered: Vec<_> = parts.into_iter().flat_map(|p| p.attachments).collect();
        assert_eq!(covered, over.attachments);
    }

    #[test]
    fn a_receipt_for_one_head_is_short_and_has_one_spelling() {
        let token = Receipt {
            heads: vec![hash(1)],
            attachments: vec![],
            ..receipt()
        }
        .sign(&key())
        .expect("well formed");
        assert!(token.len() <= 365, "{}", token.len());
        let mut payload = receipt().payload();
        payload.push(0);
        let longer = jws::sign_payload(&key(), TYP, "a", &payload);
        assert_eq!(read(&longer), Err(ReceiptError::Malformed));
    }

    #[test]
    fn a_document_with_more_heads_than_a_receipt_names_gets_none() {
        let heads = (0..MAX_HASHES)
            .map(|n| Sha256::of(&n.to_be_bytes()))
            .collect();
        assert_eq!(Receipt { heads, ..receipt() }.parts(), []);
    }
}
