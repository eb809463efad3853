//! Compare: which documents differ between a phone and the server, told by 24 bytes each. The self-heal after a restored backup on
//! either side, and once a day for what nobody thought of.
//!
//! A pair is a document's id and eight bytes of the hash of its heads in their one spelling. Eight bytes hide an accident once in 10^19
//! pairs; whoever could make two sets of heads collide on purpose writes both documents already. Data in, data out.

use crate::{hash::Sha256, id::DocumentId};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of one pair.
pub const PAIR_BYTES: usize = 16 + DIGEST_BYTES;
const DIGEST_BYTES: usize = 8;

/// What stands for a document's heads.
pub type Digest = [u8; DIGEST_BYTES];

/// What stands for these heads: ascending hashes as text, a space between two, which is how both sides keep them.
#[must_use]
pub fn digest(heads: &str) -> Digest {
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&Sha256::of(heads.as_bytes()).as_bytes()[..DIGEST_BYTES]);
    digest
}

/// Pairs as they travel.
#[must_use]
pub fn pack(pairs: impl IntoIterator<Item = (DocumentId, Digest)>) -> Vec<u8> {
    let mut packed = Vec::new();
    for (document, digest) in pairs {
        packed.extend_from_slice(document.as_bytes());
        packed.extend_from_slice(&digest);
    }
    packed
}

/// Pairs that travelled; none if the bytes are none.
#[must_use]
pub fn unpack(packed: &[u8]) -> Option<BTreeMap<DocumentId, Digest>> {
    if !packed.len().is_multiple_of(PAIR_BYTES) {
        return None;
    }
    packed
        .chunks_exact(PAIR_BYTES)
        .map(|pair| {
            let (id, digest) = pair.split_at(16);
            Some((DocumentId::from_slice(id)?, digest.try_into().ok()?))
        })
        .collect()
}

/// A document as the server has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held<'a> {
    /// Which.
    pub document: DocumentId,
    /// Heads of what it accepted.
    pub heads: &'a str,
    /// Heads of what it serves; empty if nothing yet. A phone has what it wrote itself before it is served.
    pub checked_heads: &'a str,
    /// The phone's person may read it.
    pub readable: bool,
}

/// The documents of which one side has something that the other may lack: named with other heads than are held, not held at all, or
/// readable and not named.
#[must_use]
pub fn differing<'a>(
    named: &BTreeMap<DocumentId, Digest>,
    held: impl IntoIterator<Item = Held<'a>>,
) -> BTreeSet<DocumentId> {
    let mut differing: BTreeSet<DocumentId> = named.keys().copied().collect();
    for held in held {
        let same = match named.get(&held.document) {
            Some(theirs) => *theirs == digest(held.heads) || *theirs == digest(held.checked_heads),
            None => !held.readable || held.checked_heads.is_empty(),
        };
        if same {
            differing.remove(&held.document);
        } else {
            differing.insert(held.document);
        }
    }
    differing
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn document(number: u8) -> DocumentId {
        DocumentId::from_bytes([number; 16])
    }

    fn held<'a>(number: u8, heads: &'a str, checked_heads: &'a str) -> Held<'a> {
        Held {
            document: document(number),
            heads,
            checked_heads,
            readable: true,
        }
    }

    #[test]
    fn what_one_side_may_lack_differs_and_nothing_else() {
        let named: BTreeMap<_, _> = [(1, "a"), (2, "b"), (3, "c"), (4, "gone")]
            .map(|(number, heads)| (document(number), digest(heads)))
            .into();
        let unreadable = Held {
            readable: false,
            ..held(6, "f", "f")
        };
        let differing = differing(
            &named,
            [
                held(1, "a", "a"),
                // Not checked yet: the phone wrote it.
                held(2, "b", ""),
                held(3, "c d", "c d"),
                held(5, "e", "e"),
                unreadable,
                held(7, "unchecked", ""),
            ],
        );
        assert_eq!(differing, [3, 4, 5].map(document).into());
    }

    #[test]
    fn a_pair_costs_24_bytes() {
        let packed = pack((0..100).map(|number| (document(number), digest("heads"))));
        assert_eq!(packed.len(), 2_400);
        assert_eq!(unpack(&packed).map(|pairs| pairs.len()), Some(100));
        assert_eq!(unpack(&packed[..2_399]), None);
    }

    proptest! {
        /// Whatever two sides hold: what is not told to differ is the same on both, and what is the same is not told.
        #[test]
        fn all_that_differs_is_told(
            phone in prop::collection::btree_map(0u8..20, 0u8..4, 0..20),
            server in prop::collection::btree_map(0u8..20, 0u8..4, 0..20),
        ) {
            let named = phone.iter().map(|(of, heads)| (document(*of), digest(&heads.to_string()))).collect();
            let texts: Vec<(u8, String)> = server.iter().map(|(of, heads)| (*of, heads.to_string())).collect();
            let told = differing(&named, texts.iter().map(|(of, heads)| held(*of, heads, heads)));
            for number in 0..20 {
                prop_assert_eq!(told.contains(&document(number)), phone.get(&number) != server.get(&number));
            }
        }
    }
}
