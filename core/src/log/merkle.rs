//! The Merkle tree of RFC 6962 (hashing) and its proofs (verified as in RFC 9162, section 2.1).
//!
//! A tree of any size is a row of perfect subtrees, one per set bit of its size; [`Frontier`] holds their roots, which is
//! all that appending needs. Nodes are addressed by (level, index): level 0 are leaf hashes, node (l, i) covers the leaves
//! `i·2^l` up to `(i+1)·2^l`. Only perfect nodes are ever stored, and a perfect node never changes, so the table of nodes
//! is append-only like the log itself.

use crate::hash::Sha256;

/// The hash of a leaf with these contents.
#[must_use]
pub fn leaf_hash(contents: &[u8]) -> Sha256 {
    Sha256::of_parts(&[&[0], contents])
}

fn node_hash(left: &Sha256, right: &Sha256) -> Sha256 {
    Sha256::of_parts(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// A perfect subtree's root and its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The power of two of its leaves: 0 is a leaf.
    pub level: u8,
    /// Its place among the nodes of its level, from 0.
    pub index: u64,
    /// Its hash.
    pub hash: Sha256,
}

/// Why there is no proof, or why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MerkleError {
    /// A leaf beyond the tree, or an older tree that is larger than the newer.
    #[error("no such leaf or tree")]
    OutOfRange,
    /// The store does not hold a node that a tree of this size has.
    #[error("node {index} of level {level} is missing")]
    Missing {
        /// Its level.
        level: u8,
        /// Its index.
        index: u64,
    },
    /// Too short, too long, or it leads to another root.
    #[error("the proof does not lead to the root")]
    Proof,
}

/// The right edge of a tree: the roots of its perfect subtrees, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Sha256>,
}

impl Frontier {
    /// The frontier of a stored tree of `size` leaves.
    ///
    /// # Errors
    /// `Missing` names the first node that `node` does not have.
    pub fn load(size: u64, node: impl Fn(u8, u64) -> Option<Sha256>) -> Result<Self, MerkleError> {
        let roots = perfect_roots(0, size, node)?;
        Ok(Self { size, roots })
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of its perfect subtrees, in the order of [`perfect_nodes`].
    #[must_use]
    pub fn roots(&self) -> &[Sha256] {
        &self.roots
    }

    /// Appends a leaf; returns the nodes that are now complete (the leaf itself first), to be stored.
    pub fn push(&mut self, leaf_hash: Sha256) -> Vec<Node> {
        let mut node = Node {
            level: 0,
            index: self.size,
            hash: leaf_hash,
        };
        let mut completed = vec![node];
        // An odd index is a right child: its left sibling is the last root.
        while node.index % 2 == 1
            && let Some(left) = self.roots.pop()
        {
            node = Node {
                level: node.level + 1,
                index: node.index / 2,
                hash: node_hash(&left, &node.hash),
            };
            completed.push(node);
        }
        self.roots.push(node.hash);
        self.size += 1;
        completed
    }

    /// The tree's root; of an empty tree, the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Sha256 {
        join(&self.roots)
    }
}

/// The roots of the perfect subtrees of the leaves `start..end`, where `start` is a multiple of the largest.
fn perfect_roots(
    start: u64,
    end: u64,
    node: impl Fn(u8, u64) -> Option<Sha256>,
) -> Result<Vec<Sha256>, MerkleError> {
    let size = end - start;
    let mut at = start;
    let mut roots = Vec::new();
    for level in (0..64_u8).rev().filter(|level| size >> level & 1 == 1) {
        let index = at >> level;
        roots.push(node(level, index).ok_or(MerkleError::Missing { level, index })?);
        at += 1 << level;
    }
    Ok(roots)
}

/// The nodes (level, index) that [`Frontier::load`] asks for: the roots of the perfect subtrees of a tree of `size` leaves.
#[must_use]
pub fn perfect_nodes(size: u64) -> Vec<(u8, u64)> {
    let mut at = 0;
    let mut nodes = Vec::new();
    for level in (0..64_u8).rev().filter(|level| size >> level & 1 == 1) {
        nodes.push((level, at >> level));
        at += 1 << level;
    }
    nodes
}

fn join(roots: &[Sha256]) -> Sha256 {
    roots
        .iter()
        .rev()
        .copied()
        .reduce(|right, left| node_hash(&left, &right))
        .unwrap_or_else(|| Sha256::of(b""))
}

/// The largest power of two below `size`, which is at least 2: where RFC 6962 splits a tree.
const fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The proof that leaf `index` is in the tree of the first `size` leaves: the siblings on the way up.
///
/// # Errors
/// `OutOfRange`, `Missing`.
pub fn inclusion_proof(
    index: u64,
    size: u64,
    node: impl Fn(u8, u64) -> Option<Sha256>,
) -> Result<Vec<Sha256>, MerkleError> {
    if index >= size {
        return Err(MerkleError::OutOfRange);
    }
    let mut proof = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(join(&perfect_roots(middle, end, &node)?));
            end = middle;
        } else {
            proof.push(join(&perfect_roots(start, middle, &node)?));
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the first `old` leaves of the tree of `new` leaves are the older tree, unchanged. Empty when there is
/// nothing to prove: `old` is 0 or `new`.
///
/// # Errors
/// `OutOfRange`, `Missing`.
pub fn consistency_proof(
    old: u64,
    new: u64,
    node: impl Fn(u8, u64) -> Option<Sha256>,
) -> Result<Vec<Sha256>, MerkleError> {
    if old > new {
        return Err(MerkleError::OutOfRange);
    }
    let mut proof = Vec::new();
    if old == 0 {
        return Ok(proof);
    }
    let (mut start, mut end) = (0, new);
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(join(&perfect_roots(middle, end, &node)?));
            end = middle;
        } else {
            proof.push(join(&perfect_roots(start, middle, &node)?));
            start = middle;
        }
    }
    // The whole old tree as a left edge is known to the verifier; a part of it is not.
    if start > 0 {
        proof.push(join(&perfect_roots(start, end, &node)?));
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that the leaf with this hash is number `index` of the tree of `size` leaves with this root.
///
/// # Errors
/// `OutOfRange`, `Proof`.
pub fn verify_inclusion(
    leaf_hash: &Sha256,
    index: u64,
    size: u64,
    proof: &[Sha256],
    root: &Sha256,
) -> Result<(), MerkleError> {
    if index >= size {
        return Err(MerkleError::OutOfRange);
    }
    let mut hash = *leaf_hash;
    let mut climb = Climb {
        at: index,
        last: size - 1,
    };
    for sibling in proof {
        hash = match climb.next().ok_or(MerkleError::Proof)? {
            Side::Left => node_hash(sibling, &hash),
            Side::Right => node_hash(&hash, sibling),
        };
    }
    if climb.last == 0 && hash == *root {
        Ok(())
    } else {
        Err(MerkleError::Proof)
    }
}

/// Checks that the tree of `new` leaves with `new_root` starts with the tree of `old` leaves with `old_root`.
///
/// # Errors
/// `OutOfRange`, `Proof`.
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Sha256],
    old_root: &Sha256,
    new_root: &Sha256,
) -> Result<(), MerkleError> {
    if old > new {
        return Err(MerkleError::OutOfRange);
    }
    if old == 0 || old == new {
        let old_root_holds = if old == new {
            old_root == new_root
        } else {
            *old_root == join(&[])
        };
        return if proof.is_empty() && old_root_holds {
            Ok(())
        } else {
            Err(MerkleError::Proof)
        };
    }
    // A perfect old tree is itself the first step, and so is left out of the proof.
    let (first, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(MerkleError::Proof)?
    };
    let below = (old - 1).trailing_ones();
    let mut climb = Climb {
        at: (old - 1) >> below,
        last: (new - 1) >> below,
    };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        match climb.next().ok_or(MerkleError::Proof)? {
            Side::Left => {
                old_hash = node_hash(sibling, &old_hash);
                new_hash = node_hash(sibling, &new_hash);
            }
            Side::Right => new_hash = node_hash(&new_hash, sibling),
        }
    }
    if climb.last == 0 && old_hash == *old_root && new_hash == *new_root {
        Ok(())
    } else {
        Err(MerkleError::Proof)
    }
}

/// Where the next sibling of a proof stands.
enum Side {
    Left,
    Right,
}

/// The way from a node up to the root: its index in its level, and the last index of that level.
struct Climb {
    at: u64,
    last: u64,
}

impl Climb {
    /// The side of the next sibling; none at the root.
    fn next(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.at % 2 == 1 || self.at == self.last {
            // At the right edge a node without a sibling is carried up until it has one, on its left.
            let carried = self.at.trailing_zeros();
            self.at >>= carried;
            self.last >>= carried;
            Side::Left
        } else {
            Side::Right
        };
        self.at >>= 1;
        self.last >>= 1;
        Some(side)
    }
}

#[cfg(test)]
mod tests;
