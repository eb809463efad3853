//! The leaves of a dossier, proven: whose keys, when received. The one source of keys and times in a dossier.
//!
//! The log's own key is read from a leaf as well, before anything is believed; it is believed because the tree that holds the
//! leaf is signed by it, and it is *somebody's* because the reader compared its fingerprint.

use super::{
    Contents, ProvenLeaf,
    proof::{Broken, What},
};
use crate::{
    hash::Sha256,
    id::{DocumentId, PersonId, PhoneId, UnitId},
    jws,
    log::{
        head::TreeHead,
        leaf::{KeyPurpose, Leaf},
        merkle,
    },
};
use ed25519_dalek::VerifyingKey;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, btree_map::Entry},
};

/// Where a leaf stands in the log's whole life: older epochs (behind newer ones in the file) are smaller.
pub(super) type Place = (Reverse<usize>, u64);

/// What the leaves say.
pub(super) struct Leaves {
    pub(super) head: TreeHead,
    pub(super) log: VerifyingKey,
    pub(super) receipt: VerifyingKey,
    pub(super) seal: VerifyingKey,
    pub(super) phones: BTreeMap<PhoneId, Enrolled>,
    pub(super) revoked: BTreeMap<PhoneId, Place>,
    /// Per document, each change that a leaf names.
    pub(super) received: BTreeMap<DocumentId, BTreeMap<Sha256, Received>>,
    /// Files: their size, and when they were received.
    pub(super) attachments: BTreeMap<(UnitId, Sha256), (u64, i64)>,
}

/// Whose a phone is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Enrolled {
    pub(super) key: VerifyingKey,
    pub(super) person: PersonId,
    pub(super) unit: UnitId,
    pub(super) place: Place,
}

/// When a change came into the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Received {
    pub(super) place: Place,
    pub(super) at_ms: i64,
    /// By a chief's word, after its phone was revoked.
    pub(super) admitted: bool,
}

/// Proves every leaf and reads what they say. `expected` is the fingerprint that the log's key has to have.
pub(super) fn prove(contents: &Contents<'_>, expected: Option<Sha256>) -> Result<Leaves, Broken> {
    let mut leaves = Vec::new();
    for (epoch, of_epoch) in contents.epochs.iter().enumerate() {
        for leaf in &of_epoch.leaves {
            let said =
                Leaf::decode(leaf.content).map_err(|_| Broken::new(What::Leaf, leaf.position))?;
            leaves.push((epoch, leaf, said));
        }
    }
    let log = server_key(&leaves, KeyPurpose::Log)?;
    let fingerprint = jws::fingerprint(&log);
    if expected.is_some_and(|expected| expected != fingerprint) {
        return Err(Broken::new(What::LogKey, fingerprint));
    }
    let head = TreeHead::verify(&contents.head, |_| Some(log))
        .map_err(|error| Broken::new(What::TreeHead, error))?;
    include(&leaves, contents.epochs.len(), head)?;
    let mut proven = Leaves {
        head,
        log,
        receipt: server_key(&leaves, KeyPurpose::Receipt)?,
        seal: server_key(&leaves, KeyPurpose::Seal)?,
        phones: BTreeMap::new(),
        revoked: BTreeMap::new(),
        received: BTreeMap::new(),
        attachments: BTreeMap::new(),
    };
    for (epoch, leaf, said) in leaves {
        proven.take((Reverse(epoch), leaf.position), said)?;
    }
    Ok(proven)
}

type Read<'a> = (usize, &'a ProvenLeaf<'a>, Leaf);

/// The one key that leaves give for `purpose`.
fn server_key(leaves: &[Read<'_>], purpose: KeyPurpose) -> Result<VerifyingKey, Broken> {
    let broken = || Broken::new(What::ServerKey, format!("{purpose:?}").to_lowercase());
    let mut found = None;
    for (_, _, leaf) in leaves {
        if let Leaf::ServerKey {
            purpose: of,
            public_key,
            ..
        } = leaf
            && *of == purpose
            && found
                .replace(public_key)
                .is_some_and(|other| other != public_key)
        {
            return Err(broken());
        }
    }
    VerifyingKey::from_bytes(found.ok_or_else(broken)?).map_err(|_| broken())
}

/// Checks that each epoch begins with its own leaf, that its leaves ascend, and that each is in the tree of its head.
fn include(leaves: &[Read<'_>], epochs: usize, signed: TreeHead) -> Result<(), Broken> {
    let mut next = Some(signed);
    for epoch in 0..epochs {
        let head = next.ok_or_else(|| Broken::new(What::Epoch, epoch))?;
        let mut of_epoch = leaves.iter().filter(|(of, _, _)| *of == epoch).peekable();
        match of_epoch.peek() {
            Some((_, leaf, Leaf::Epoch { epoch, previous }))
                if leaf.position == 0 && *epoch == head.epoch =>
            {
                next = *previous;
            }
            _ => return Err(Broken::new(What::Epoch, head.epoch)),
        }
        let mut at = None;
        for (_, leaf, said) in of_epoch {
            let broken = || Broken::new(What::Leaf, leaf.position);
            let begins = matches!(said, Leaf::Epoch { .. });
            if at >= Some(leaf.position) || begins != (leaf.position == 0) {
                return Err(broken());
            }
            at = Some(leaf.position);
            merkle::verify_inclusion(
                &merkle::leaf_hash(leaf.content),
                leaf.position,
                head.size,
                &leaf.path,
                &head.root,
            )
            .map_err(|_| broken())?;
        }
    }
    Ok(())
}

impl Leaves {
    fn take(&mut self, place: Place, leaf: Leaf) -> Result<(), Broken> {
        match leaf {
            Leaf::Epoch { .. } | Leaf::ServerKey { .. } => {}
            Leaf::Enrolled {
                phone,
                person,
                unit,
                public_key,
                ..
            } => {
                let broken = || Broken::new(What::Enrolment, phone);
                let key = VerifyingKey::from_bytes(&public_key).map_err(|_| broken())?;
                let enrolled = Enrolled {
                    key,
                    person,
                    unit,
                    place,
                };
                if self.phones.insert(phone, enrolled).is_some() {
                    return Err(broken());
                }
            }
            Leaf::Revoked { phone, .. } => {
                let first = self.revoked.entry(phone).or_insert(place);
                *first = (*first).min(place);
            }
            Leaf::Batch {
                document,
                changes,
                received_at_ms: at_ms,
                ..
            } => self.receive(
                document,
                changes,
                Received {
                    place,
                    at_ms,
                    admitted: false,
                },
            ),
            Leaf::Admitted {
                document,
                changes,
                admitted_at_ms: at_ms,
                ..
            } => self.receive(
                document,
                changes,
                Received {
                    place,
                    at_ms,
                    admitted: true,
                },
            ),
            Leaf::Attachment {
                unit,
                sha256,
                size_bytes,
                received_at_ms,
            } => match self.attachments.entry((unit, sha256)) {
                Entry::Vacant(entry) => {
                    entry.insert((size_bytes, received_at_ms));
                }
                Entry::Occupied(_) => return Err(Broken::new(What::Leaf, place.1)),
            },
            // A document whose key was destroyed is in no dossier.
            Leaf::Erased { document } => return Err(Broken::new(What::Leaf, document)),
        }
        Ok(())
    }

    /// Each change counts from the first leaf that names it.
    fn receive(&mut self, document: DocumentId, changes: Vec<Sha256>, received: Received) {
        let of_document = self.received.entry(document).or_default();
        for change in changes {
            let first = of_document.entry(change).or_insert(received);
            *first = (*first).min(received);
        }
    }
}
