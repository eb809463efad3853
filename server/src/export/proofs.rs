//! The leaves that a dossier shows: found by position, kept per epoch, and given their inclusion proofs at the end.
//!
//! Rows name a leaf by its position only; after a restored backup two epochs can have one each. So a leaf is looked for in
//! every epoch that leads to the head, and taken where it says what it is looked up for.

use crate::{app::App, ledger, stored};
use kieumau_core::{
    dossier::{EpochLeaves, ProvenLeaf},
    hash::Sha256,
    log::{
        head::TreeHead,
        leaf::Leaf,
        merkle::{self, MerkleError},
    },
};
use sqlx::Row as _;
use std::{cell::RefCell, collections::BTreeMap};

/// Nodes asked for at once; SQLite takes no expression deeper than a thousand.
const NODES: usize = 200;

/// Leaves below a head, by epoch and position.
#[derive(Default)]
pub struct Leaves {
    /// The newest first, each with the head that its leaves are under.
    heads: Vec<TreeHead>,
    found: BTreeMap<(usize, u64), Vec<u8>>,
}

/// A leaf with its proof, owned.
pub struct OwnedLeaf {
    position: u64,
    content: Vec<u8>,
    path: Vec<Sha256>,
}

impl Leaves {
    /// The epochs that lead to `head`: the first leaf of each, and the server's keys.
    ///
    /// # Errors
    /// What the database says; `Decode` if an epoch does not begin with its leaf.
    pub async fn under(app: &App, head: TreeHead) -> Result<Self, sqlx::Error> {
        let mut leaves = Self::default();
        let mut next = Some(head);
        while let Some(head) = next {
            let number = leaves.heads.len();
            leaves.heads.push(head);
            next = None;
            // An epoch begins with its own leaf, and the keys stand directly behind it.
            let rows = sqlx::query(
                "select position, content from leaf where epoch = $1 and position < 4 order by position",
            )
            .bind(head.epoch.to_string())
            .fetch_all(&app.database.read)
            .await?;
            let mut begun = false;
            for row in rows {
                let position = row.get::<i64, _>(0).unsigned_abs();
                let content: Vec<u8> = row.get(1);
                match decode(&content)? {
                    Leaf::Epoch { previous, .. } => {
                        next = previous;
                        begun = true;
                    }
                    Leaf::ServerKey { .. } => {}
                    _ => continue,
                }
                leaves.found.insert((number, position), content);
            }
            if !begun {
                return Err(stored::damaged("an epoch without its first leaf"));
            }
        }
        Ok(leaves)
    }

    /// The leaf at `position` that `wanted` knows as the one, and its place in the newest epoch (0 for an older one's); it is
    /// shown from now on. None if it is not below the head.
    ///
    /// # Errors
    /// What the database says.
    pub async fn show(
        &mut self,
        app: &App,
        position: i64,
        wanted: impl Fn(&Leaf) -> bool,
    ) -> Result<Option<(u64, Leaf)>, sqlx::Error> {
        let at = position.unsigned_abs();
        for (number, head) in self.heads.iter().enumerate() {
            if at >= head.size {
                continue;
            }
            let row = sqlx::query("select content from leaf where epoch = $1 and position = $2")
                .bind(head.epoch.to_string())
                .bind(position)
                .fetch_one(&app.database.read)
                .await?;
            let content: Vec<u8> = row.get(0);
            let leaf = decode(&content)?;
            if wanted(&leaf) {
                self.found.insert((number, at), content);
                let in_newest = if number == 0 { at } else { 0 };
                return Ok(Some((in_newest, leaf)));
            }
        }
        Ok(None)
    }

    /// Every leaf that is shown, per epoch, with its proof.
    ///
    /// # Errors
    /// What the database says; `Decode` if the tree lacks a node.
    pub async fn with_proofs(self, app: &App) -> Result<Vec<Vec<OwnedLeaf>>, sqlx::Error> {
        let mut epochs: Vec<Vec<OwnedLeaf>> = self.heads.iter().map(|_| Vec::new()).collect();
        for ((number, position), content) in self.found {
            let path = path(app, &self.heads[number], position).await?;
            epochs[number].push(OwnedLeaf {
                position,
                content,
                path,
            });
        }
        Ok(epochs)
    }
}

/// The inclusion proof of a leaf under `head`.
async fn path(app: &App, head: &TreeHead, position: u64) -> Result<Vec<Sha256>, sqlx::Error> {
    let damaged = |_: MerkleError| stored::damaged("the log's tree lacks a node");
    // Asked for once without nodes, the proof says which ones it is made of.
    let asked = RefCell::new(Vec::new());
    merkle::inclusion_proof(position, head.size, |level, index| {
        asked.borrow_mut().push((level, index));
        Some(Sha256([0; 32]))
    })
    .map_err(damaged)?;
    let asked = asked.into_inner();
    let mut nodes = BTreeMap::new();
    for some in asked.chunks(NODES) {
        nodes.extend(ledger::nodes(&app.database.read, head.epoch, some).await?);
    }
    merkle::inclusion_proof(position, head.size, |level, index| {
        nodes.get(&(level, index)).copied()
    })
    .map_err(damaged)
}

fn decode(content: &[u8]) -> Result<Leaf, sqlx::Error> {
    Leaf::decode(content).map_err(|_| stored::damaged("a leaf"))
}

/// As the dossier's writer takes them.
pub fn borrowed(epochs: &[Vec<OwnedLeaf>]) -> Vec<EpochLeaves<'_>> {
    epochs
        .iter()
        .map(|leaves| EpochLeaves {
            leaves: leaves.iter().map(OwnedLeaf::borrowed).collect(),
        })
        .collect()
}

impl OwnedLeaf {
    fn borrowed(&self) -> ProvenLeaf<'_> {
        ProvenLeaf {
            position: self.position,
            content: self.content.as_slice().into(),
            path: self.path.clone(),
        }
    }
}
