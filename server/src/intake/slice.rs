//! A large push in slices, each a transaction of its own: whoever pushes one change waits for a slice at most, and not for another
//! phone's thousand documents (P9).
//!
//! A document is never cut: its changes and what is asked about it stay together. Nothing is lost by committing a push in parts,
//! for a push is no unit: what was stored before a later slice failed is held already when the phone brings it again.

use super::{PreparedDocument, PreparedPush, Written};
use kieumau_core::wire::ReceiptRequest;
use std::collections::BTreeMap;

impl PreparedPush {
    /// How much of a transaction it takes, in changes: each document and each hash that is asked about counts as one more.
    pub fn weight(&self) -> usize {
        let documents = self.documents.iter().map(weight_of);
        let asked = self.receipts.iter().map(weight_asked);
        documents.chain(asked).sum::<usize>() + self.refused.len()
    }

    /// The same in slices of about this weight; itself if it is no heavier.
    pub fn slices(self, size: usize) -> Vec<Self> {
        if self.weight() <= size {
            return vec![self];
        }
        let (carrier, unit) = (self.carrier, self.unit);
        let slice = |documents, receipts, refused| Self {
            carrier,
            unit,
            documents,
            receipts,
            refused,
        };
        let mut slices: Vec<Self> = cut(self.refused, size, |_| 1)
            .into_iter()
            .map(|refused| slice(Vec::new(), Vec::new(), refused))
            .collect();
        // What is asked about a document is asked once all that the push brings of it is there.
        let mut last = BTreeMap::new();
        for documents in cut(self.documents, size, weight_of) {
            let ids = documents.iter().map(|document| document.key.document());
            last.extend(ids.map(|id| (id, slices.len())));
            slices.push(slice(documents, Vec::new(), Vec::new()));
        }
        let mut others = Vec::new();
        for asked in self.receipts {
            match last.get(&asked.document).and_then(|at| slices.get_mut(*at)) {
                Some(slice) => slice.receipts.push(asked),
                None => others.push(asked),
            }
        }
        let others = cut(others, size, weight_asked).into_iter();
        slices.extend(others.map(|receipts| slice(Vec::new(), receipts, Vec::new())));
        slices
    }
}

impl Written {
    /// What was written of one more slice of the same push.
    pub fn append(&mut self, next: Self) {
        let Self { answer, receipts } = next;
        self.answer.changes.extend(answer.changes);
        let missing = answer.missing_attachments;
        self.answer.missing_attachments.extend(missing);
        self.answer.server_time_ms = answer.server_time_ms;
        self.receipts.extend(receipts);
    }
}

fn weight_of(document: &PreparedDocument) -> usize {
    1 + document.changes.len()
}

fn weight_asked(asked: &ReceiptRequest) -> usize {
    asked.heads.len() + asked.attachments.len()
}

/// `all` in the same order, in parts of at most this weight; what is heavier is a part of its own.
fn cut<T>(all: Vec<T>, size: usize, weight: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut parts: Vec<Vec<T>> = Vec::new();
    let mut left = 0;
    for one in all {
        let weight = weight(&one);
        match parts.last_mut() {
            Some(part) if weight <= left => part.push(one),
            _ => {
                parts.push(vec![one]);
                left = size;
            }
        }
        left = left.saturating_sub(weight);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::{PreparedChange, RefusedChange};
    use kieumau_core::{
        document::Key,
        hash::Sha256,
        id::UnitId,
        log::admission::{Candidate, Refusal},
    };
    use std::collections::BTreeSet;
    use uuid::Uuid;

    const UNIT: UnitId = UnitId::from_bytes([1; 16]);

    fn change(document: u128, number: u64) -> PreparedChange {
        let hash = Sha256::of(format!("{document} {number}").as_bytes());
        PreparedChange {
            candidate: Candidate {
                hash,
                actor: Vec::new(),
                seq: number,
                deps: Vec::new(),
            },
            written_at_s: 0,
            bytes: Vec::new(),
        }
    }

    fn document(name: u128, changes: u64) -> PreparedDocument {
        PreparedDocument {
            key: Key::patrol(UNIT, Uuid::from_u128(name)),
            changes: (0..changes).map(|number| change(name, number)).collect(),
            seals: Vec::new(),
            sealed: BTreeSet::new(),
        }
    }

    fn asked(name: u128, attachments: u8) -> ReceiptRequest {
        ReceiptRequest {
            document: Key::patrol(UNIT, Uuid::from_u128(name)).document(),
            heads: vec![Sha256::of(b"head")],
            attachments: (0..attachments).map(|n| Sha256::of(&[n])).collect(),
        }
    }

    fn push() -> PreparedPush {
        let refused = |n: u8| RefusedChange {
            document: None,
            hash: Sha256::of(&[n]),
            refusal: Refusal::Malformed,
            bytes: Vec::new(),
            seals: Vec::new(),
        };
        // Document 3 comes in two parts, and 90 to 99 are only asked about.
        let mut documents: Vec<_> = (0..20).map(|name| document(name, 3)).collect();
        documents.push(document(20, 200));
        documents.push(document(3, 1));
        let receipts = (0..21).chain(90..100).map(|name| asked(name, 4));
        PreparedPush {
            carrier: None,
            unit: UNIT,
            documents,
            receipts: receipts.collect(),
            refused: (0..30).map(refused).collect(),
        }
    }

    #[test]
    fn slices_hold_what_the_push_held_in_its_order_and_each_fits() {
        let whole = push();
        let names = |push: &PreparedPush| -> Vec<_> {
            let documents = push.documents.iter();
            documents
                .map(|of| (of.key.document(), of.changes.len()))
                .collect()
        };
        let refused =
            |push: &PreparedPush| -> Vec<_> { push.refused.iter().map(|of| of.hash).collect() };
        let slices = push().slices(20);
        assert!(slices.len() > 10);
        assert_eq!(
            slices.iter().flat_map(names).collect::<Vec<_>>(),
            names(&whole)
        );
        assert_eq!(
            slices.iter().flat_map(refused).collect::<Vec<_>>(),
            refused(&whole)
        );
        let asked: BTreeSet<_> = slices
            .iter()
            .flat_map(|of| &of.receipts)
            .map(|of| of.document)
            .collect();
        assert_eq!(asked.len(), whole.receipts.len(), "each is asked");
        assert_eq!(
            slices.iter().map(|of| of.receipts.len()).sum::<usize>(),
            asked.len(),
            "once"
        );
        for slice in &slices {
            let documents: usize = slice.documents.iter().map(weight_of).sum();
            assert!(documents <= 20 || slice.documents.len() == 1);
        }
        assert_eq!(push().slices(10_000).len(), 1, "a small one stays whole");
    }

    #[test]
    fn what_is_asked_about_a_document_is_asked_after_all_of_it() {
        let slices = push().slices(20);
        for (number, slice) in slices.iter().enumerate() {
            for asked in &slice.receipts {
                let later = slices[number + 1..].iter().flat_map(|of| &of.documents);
                assert!(
                    !later
                        .into_iter()
                        .any(|of| of.key.document() == asked.document)
                );
            }
        }
    }
}
