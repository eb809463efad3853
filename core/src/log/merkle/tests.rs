//! The tree against the published vectors of Certificate Transparency and against RFC 6962's own recursive definition.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The eight leaves that Certificate Transparency's implementations test with.
const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];

/// The roots of their first 0, 1, … 8.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// (leaf, tree size, path).
const INCLUSION: [(u64, u64, &[&str]); 5] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        3,
        &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    ),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

/// (old size, new size, path).
const CONSISTENCY: [(u64, u64, &[&str]); 4] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

fn hashes(texts: &[&str]) -> Vec<Sha256> {
    texts
        .iter()
        .map(|text| text.parse().expect("64 digits"))
        .collect()
}

/// A tree with its store of nodes, and the root it had at each size.
#[derive(Default)]
struct Tree {
    frontier: Frontier,
    nodes: BTreeMap<(u8, u64), Sha256>,
    roots: Vec<Sha256>,
}

impl Tree {
    fn of(leaves: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut tree = Self::default();
        tree.roots.push(tree.frontier.root());
        for leaf in leaves {
            for node in tree.frontier.push(leaf_hash(&leaf)) {
                let before = tree.nodes.insert((node.level, node.index), node.hash);
                assert_eq!(before, None, "a node is completed once");
            }
            tree.roots.push(tree.frontier.root());
        }
        tree
    }

    fn node(&self) -> impl Fn(u8, u64) -> Option<Sha256> {
        |level, index| self.nodes.get(&(level, index)).copied()
    }

    fn root(&self, size: u64) -> &Sha256 {
        &self.roots[size as usize]
    }
}

fn published() -> Tree {
    Tree::of(
        LEAVES
            .iter()
            .map(|leaf| hex::decode(leaf).expect("hexadecimal")),
    )
}

fn numbered(size: u64) -> Tree {
    Tree::of((0..size).map(|number| number.to_be_bytes().to_vec()))
}

/// RFC 6962, section 2.1: MTH.
fn naive_root(leaves: &[Sha256]) -> Sha256 {
    match leaves {
        [] => Sha256::of(b""),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(naive_split(leaves.len()));
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// RFC 6962, section 2.1.1: PATH.
fn naive_path(index: usize, leaves: &[Sha256]) -> Vec<Sha256> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let middle = naive_split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut path, sibling) = if index < middle {
        (naive_path(index, left), naive_root(right))
    } else {
        (naive_path(index - middle, right), naive_root(left))
    };
    path.push(sibling);
    path
}

/// RFC 6962, section 2.1.2: SUBPROOF.
fn naive_consistency(old: usize, leaves: &[Sha256], whole: bool) -> Vec<Sha256> {
    if old == leaves.len() {
        return if whole {
            Vec::new()
        } else {
            vec![naive_root(leaves)]
        };
    }
    let middle = naive_split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut proof, sibling) = if old <= middle {
        (naive_consistency(old, left, whole), naive_root(right))
    } else {
        (
            naive_consistency(old - middle, right, false),
            naive_root(left),
        )
    };
    proof.push(sibling);
    proof
}

fn naive_split(size: usize) -> usize {
    let mut split = 1;
    while split * 2 < size {
        split *= 2;
    }
    split
}

fn numbered_leaves(size: u64) -> Vec<Sha256> {
    (0..size)
        .map(|number| leaf_hash(&number.to_be_bytes()))
        .collect()
}

#[test]
fn the_roots_are_the_published_ones() {
    assert_eq!(published().roots, hashes(&ROOTS));
}

#[test]
fn the_inclusion_paths_are_the_published_ones() {
    let tree = published();
    for (index, size, path) in INCLUSION {
        let proof = hashes(path);
        assert_eq!(inclusion_proof(index, size, tree.node()), Ok(proof.clone()));
        let leaf = tree.nodes[&(0, index)];
        assert_eq!(
            verify_inclusion(&leaf, index, size, &proof, tree.root(size)),
            Ok(())
        );
    }
}

#[test]
fn the_consistency_paths_are_the_published_ones() {
    let tree = published();
    for (old, new, path) in CONSISTENCY {
        let proof = hashes(path);
        assert_eq!(consistency_proof(old, new, tree.node()), Ok(proof.clone()));
        let verdict = verify_consistency(old, new, &proof, tree.root(old), tree.root(new));
        assert_eq!(verdict, Ok(()));
    }
}

#[test]
fn every_tree_up_to_200_leaves_has_the_root_of_the_definition() {
    let tree = numbered(200);
    let leaves = numbered_leaves(200);
    for size in 0..=200 {
        assert_eq!(*tree.root(size), naive_root(&leaves[..size as usize]));
        let loaded = Frontier::load(size, tree.node()).expect("all nodes are stored");
        assert_eq!(loaded.root(), *tree.root(size));
        assert_eq!(loaded.size(), size);
    }
    assert_eq!(Frontier::load(200, tree.node()), Ok(tree.frontier.clone()));
}

#[test]
fn a_leaf_beyond_the_tree_and_a_tree_that_shrinks_are_refused() {
    let tree = numbered(8);
    let root = tree.root(8);
    assert_eq!(
        inclusion_proof(8, 8, tree.node()),
        Err(MerkleError::OutOfRange)
    );
    assert_eq!(
        consistency_proof(8, 7, tree.node()),
        Err(MerkleError::OutOfRange)
    );
    assert_eq!(
        verify_inclusion(root, 0, 0, &[], root),
        Err(MerkleError::OutOfRange)
    );
    assert_eq!(
        verify_consistency(8, 7, &[], root, root),
        Err(MerkleError::OutOfRange)
    );
}

#[test]
fn a_missing_node_is_named() {
    let tree = numbered(8);
    let without = |level, index| (level != 1 || index != 1).then(|| tree.nodes[&(level, index)]);
    let missing = MerkleError::Missing { level: 1, index: 1 };
    assert_eq!(inclusion_proof(0, 8, without), Err(missing));
    assert_eq!(consistency_proof(2, 8, without), Err(missing));
    assert_eq!(
        Frontier::load(6, |_, _| None),
        Err(MerkleError::Missing { level: 2, index: 0 })
    );
}

#[test]
fn a_leaf_can_not_pass_for_an_inner_node() {
    let tree = numbered(2);
    let [left, right] = [tree.nodes[&(0, 0)], tree.nodes[&(0, 1)]];
    let posing = [left.as_bytes().as_slice(), right.as_bytes()].concat();
    assert_ne!(leaf_hash(&posing), *tree.root(2));
    // The twin: without the leading byte of each sort, the leaf would have the root's hash.
    assert_eq!(Sha256::of_parts(&[&[1], &posing]), *tree.root(2));
}

#[test]
fn every_tree_grows_out_of_the_empty_one_and_out_of_itself_without_proof() {
    let tree = numbered(5);
    let (empty, root) = (tree.root(0), tree.root(5));
    assert_eq!(consistency_proof(0, 5, tree.node()), Ok(Vec::new()));
    assert_eq!(verify_consistency(0, 5, &[], empty, root), Ok(()));
    assert_eq!(verify_consistency(5, 5, &[], root, root), Ok(()));
    assert_eq!(
        verify_consistency(0, 5, &[], root, root),
        Err(MerkleError::Proof)
    );
    assert_eq!(
        verify_consistency(5, 5, &[], empty, root),
        Err(MerkleError::Proof)
    );
    assert_eq!(
        verify_consistency(5, 5, &[*root], root, root),
        Err(MerkleError::Proof)
    );
    assert_eq!(
        verify_consistency(3, 5, &[], tree.root(3), root),
        Err(MerkleError::Proof)
    );
}

/// Every proof with one bit of one hash changed, one hash less, and one more.
fn spoiled(proof: &[Sha256], bit: usize) -> Vec<Vec<Sha256>> {
    let mut all: Vec<Vec<Sha256>> = (0..proof.len())
        .map(|at| {
            let mut changed = proof.to_vec();
            changed[at].0[bit / 8] ^= 1 << (bit % 8);
            changed
        })
        .collect();
    if let Some((_, shorter)) = proof.split_last() {
        all.push(shorter.to_vec());
    }
    all.push([proof, &[Sha256::of(b"more")]].concat());
    all
}

fn flipped(hash: &Sha256, bit: usize) -> Sha256 {
    let mut hash = *hash;
    hash.0[bit / 8] ^= 1 << (bit % 8);
    hash
}

proptest! {
    #[test]
    fn inclusion_is_proved_as_defined_and_a_spoiled_proof_fails(
        (size, index) in (1..=200_u64).prop_flat_map(|size| (Just(size), 0..size)),
        bit in 0..256_usize,
    ) {
        let (tree, leaves) = (numbered(size), numbered_leaves(size));
        let proof = inclusion_proof(index, size, tree.node()).expect("all nodes are stored");
        prop_assert_eq!(&proof, &naive_path(index as usize, &leaves));
        let (leaf, root) = (&leaves[index as usize], tree.root(size));
        prop_assert_eq!(verify_inclusion(leaf, index, size, &proof, root), Ok(()));
        for spoiled in spoiled(&proof, bit) {
            prop_assert_eq!(verify_inclusion(leaf, index, size, &spoiled, root), Err(MerkleError::Proof));
        }
        prop_assert!(verify_inclusion(&flipped(leaf, bit), index, size, &proof, root).is_err());
        prop_assert!(verify_inclusion(leaf, index, size, &proof, &flipped(root, bit)).is_err());
        for other in (0..size).filter(|other| *other != index) {
            prop_assert!(verify_inclusion(leaf, other, size, &proof, root).is_err());
        }
    }

    #[test]
    fn consistency_is_proved_as_defined_and_a_spoiled_proof_fails(
        (new, old) in (2..=200_u64).prop_flat_map(|new| (Just(new), 1..new)),
        bit in 0..256_usize,
    ) {
        let (tree, leaves) = (numbered(new), numbered_leaves(new));
        let proof = consistency_proof(old, new, tree.node()).expect("all nodes are stored");
        prop_assert_eq!(&proof, &naive_consistency(old as usize, &leaves, true));
        let (old_root, new_root) = (tree.root(old), tree.root(new));
        prop_assert_eq!(verify_consistency(old, new, &proof, old_root, new_root), Ok(()));
        for spoiled in spoiled(&proof, bit) {
            prop_assert_eq!(verify_consistency(old, new, &spoiled, old_root, new_root), Err(MerkleError::Proof));
        }
        prop_assert!(verify_consistency(old, new, &proof, &flipped(old_root, bit), new_root).is_err());
        prop_assert!(verify_consistency(old, new, &proof, old_root, &flipped(new_root, bit)).is_err());
    }
}
