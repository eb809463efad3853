//! A small world in memory: two phones, a server, a patrol with a photo, evidence, a review, and a log of two epochs. What
//! happened is data, apart from hashes and signatures, so that a tamperer can change what happened and have every hash
//! made anew; who then signs is [`Hand`].

use super::super::{
    Claims, Collected, CollectedDocument, EpochLeaves, ProvenLeaf, Selection, TYP,
    before_attachment, front_with,
};
use super::hand::{Hand, Keys, PHONES};
use super::story::{evidence, history, patrol, review};
use crate::{
    document::{Actor, Key},
    hash::Sha256,
    header,
    id::{PersonId, PhoneId, UnitId},
    log::{
        head::{self, Epoch, TreeHead},
        leaf::{KeyPurpose, Leaf},
        merkle::{self, Frontier},
    },
    receipt,
    seal::Seal,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(super) const UNIT: UnitId = UnitId::from_bytes([0x0e; 16]);
/// What one leaf is about.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Key(KeyPurpose),
    Enrolled {
        phone: usize,
        person: PersonId,
    },
    Revoked {
        phone: usize,
        shown: bool,
    },
    Batch {
        document: usize,
        changes: Vec<usize>,
        at_ms: i64,
        /// By a chief's word.
        admitted: bool,
    },
    File {
        at_ms: i64,
    },
    /// Of somebody else: in the log, and not in the file.
    Other(PhoneId),
}

#[derive(Clone)]
pub(super) struct WorldDocument {
    pub(super) key: Key,
    /// Each after what it depends on.
    pub(super) changes: Vec<Vec<u8>>,
    pub(super) withheld: BTreeSet<usize>,
    pub(super) missing: BTreeSet<Sha256>,
    /// Changes whose seals are left out of the file.
    pub(super) unsealed: BTreeSet<usize>,
    /// Changes that are in the log and left out of the file, with their seals.
    pub(super) hidden: BTreeSet<usize>,
    pub(super) dropped: bool,
}

impl WorldDocument {
    fn shown(&self) -> impl Iterator<Item = &[u8]> {
        let shown = self.changes.iter().enumerate();
        let shown = shown.filter(|(number, _)| !self.hidden.contains(number));
        shown.map(|(_, change)| change.as_slice())
    }
}

#[derive(Clone)]
pub(super) struct World {
    pub(super) selection: Selection,
    pub(super) documents: Vec<WorldDocument>,
    /// Of the patrol.
    pub(super) photo: Vec<u8>,
    /// Per epoch, the oldest first.
    pub(super) log: Vec<Vec<Event>>,
    pub(super) exported_at_ms: i64,
    /// How the patrol is called.
    pub(super) called: String,
    /// A name for something that is not in the file.
    pub(super) called_besides: Option<(String, String)>,
    pub(super) asked_by: PhoneId,
}

impl World {
    pub(super) fn new(keys: &Keys) -> Self {
        let photo = b"\xff\xd8\xff a photo of the road".to_vec();
        let missing = Sha256::of(b"a photo that is still on the phone");
        let period = "2025-11-16..2026-11-15".parse().expect("a period");
        let fresh = "01930000-0000-7000-8000-000000000001"
            .parse()
            .expect("an id");
        let patrol_key = Key::patrol(UNIT, fresh);
        let evidence_key = Key::evidence(UNIT, "20".parse().expect("a number"), &period);
        let review_key = Key::review(UNIT, patrol_key.document());
        let document = |key: &Key, changes| WorldDocument {
            key: key.clone(),
            changes,
            withheld: BTreeSet::new(),
            missing: BTreeSet::new(),
            unsealed: BTreeSet::new(),
            hidden: BTreeSet::new(),
            dropped: false,
        };
        let mut documents = vec![
            document(&patrol_key, patrol(&patrol_key, Sha256::of(&photo))),
            document(&evidence_key, evidence(&evidence_key, missing)),
            document(&review_key, review(&review_key, keys.server())),
        ];
        documents[1].missing.insert(missing);
        documents[1].withheld.insert(2);
        Self {
            selection: Selection::UnitPeriod(UNIT, period),
            documents,
            photo,
            log: history(),
            exported_at_ms: 1_772_323_200_000,
            called_besides: None,
            called: "Ca đêm 21/11, tổ An".to_owned(),
            asked_by: keys.server(),
        }
    }

    /// The file, with `keys` in the leaves, signed by `hand`.
    pub(super) fn build(&self, keys: &Keys, hand: &mut Hand<'_>) -> Vec<u8> {
        let sealed = self.seals(hand);
        let (epochs, head) = self.leaves(keys, &sealed);
        let epochs = epochs
            .iter()
            .rev()
            .map(|leaves| EpochLeaves {
                leaves: leaves.iter().map(borrowed).collect(),
            })
            .collect();
        let photo = Sha256::of(&self.photo);
        let documents = self
            .documents
            .iter()
            .enumerate()
            .filter(|(_, document)| !document.dropped);
        let documents = documents.map(|(at, document)| CollectedDocument {
            key: document.key.clone(),
            changes: document.shown().collect(),
            seals: sealed[at]
                .iter()
                .filter(|(change, _)| {
                    !document
                        .unsealed
                        .union(&document.hidden)
                        .any(|left| left == change)
                })
                .map(|(_, seal)| *seal)
                .collect(),
            withheld: document
                .withheld
                .iter()
                .map(|change| hash(&document.changes[*change]))
                .collect(),
            attachments: if at == 0 {
                BTreeSet::from([photo])
            } else {
                BTreeSet::new()
            },
            missing: document.missing.clone(),
            newest_leaf: 1,
        });
        let collected = Collected {
            selection: self.selection,
            head,
            epochs,
            documents: documents.collect(),
            attachments: usize::from(!self.documents[0].dropped),
            names: self.names(),
            asked_by: self.asked_by,
        };
        let mut file = front_with(&collected, &mut |claims| match claims {
            Claims::Head(head) => hand.token(|keys| &keys.log, head::TYP, "", &json(head)),
            Claims::Receipt(receipt) => {
                let slot = receipt.document.to_string();
                hand.token(
                    |keys| &keys.receipt,
                    receipt::TYP,
                    &slot,
                    &receipt.payload(),
                )
            }
            Claims::Statement(statement) => hand.token(|keys| &keys.log, TYP, "", &json(statement)),
        })
        .expect("it is written");
        if !self.documents[0].dropped {
            file.extend(before_attachment(self.photo.len() as u64));
            file.extend(&self.photo);
        }
        file
    }

    /// How what the file shows is called.
    fn names(&self) -> BTreeMap<String, String> {
        let shown = self.documents.iter().filter(|document| !document.dropped);
        let units = shown.map(|document| {
            (
                document.key.unit.to_string(),
                "Phường Trường Vinh".to_owned(),
            )
        });
        let mut names: BTreeMap<String, String> =
            units.chain(self.called_besides.clone()).collect();
        if !self.documents[0].dropped {
            names.insert(
                self.documents[0].key.document().to_string(),
                self.called.clone(),
            );
        }
        names
    }

    /// Per document, the newest change of each actor in each batch, and its seal.
    fn seals(&self, hand: &mut Hand<'_>) -> Vec<Vec<(usize, Seal)>> {
        let mut seals = vec![Vec::new(); self.documents.len()];
        for event in self.log.iter().flatten() {
            let Event::Batch {
                document, changes, ..
            } = event
            else {
                continue;
            };
            let mut newest = BTreeMap::new();
            for change in changes {
                let header =
                    header::read(&self.documents[*document].changes[*change]).expect("a change");
                newest.insert(header.actor.to_vec(), (*change, header.hash));
            }
            for (actor, (change, hash)) in newest {
                let phone = Actor::from_slice(&actor).expect("an actor").phone;
                let key = &self.documents[*document].key;
                let slot = format!("{document} {change}");
                seals[*document].push((change, hand.seal(key, phone, hash, &slot)));
            }
        }
        seals
    }

    /// Per epoch, the leaves that the file shows, with their proofs; and the newest head.
    fn leaves(&self, keys: &Keys, seals: &[Vec<(usize, Seal)>]) -> (Vec<Vec<OwnedLeaf>>, TreeHead) {
        let mut previous = None;
        let mut epochs = Vec::new();
        for (number, events) in self.log.iter().enumerate() {
            let epoch = Epoch([u8::try_from(number).expect("few"); 16]);
            let mut leaves = vec![(true, Leaf::Epoch { epoch, previous })];
            leaves.extend(events.iter().map(|event| self.leaf(event, keys, seals)));
            let mut frontier = Frontier::default();
            let mut nodes = HashMap::new();
            for (_, leaf) in &leaves {
                for node in frontier.push(leaf.hash()) {
                    nodes.insert((node.level, node.index), node.hash);
                }
            }
            let size = frontier.size();
            let shown = leaves.iter().zip(0..).filter(|((shown, _), _)| *shown);
            let proven = shown.map(|((_, leaf), position)| {
                let path = merkle::inclusion_proof(position, size, |level, index| {
                    nodes.get(&(level, index)).copied()
                });
                (position, leaf.encode(), path.expect("a proof"))
            });
            epochs.push(proven.collect());
            let (root, at_ms) = (frontier.root(), self.exported_at_ms);
            previous = Some(TreeHead {
                epoch,
                size,
                root,
                at_ms,
            });
        }
        (epochs, previous.expect("an epoch"))
    }

    fn leaf(&self, event: &Event, keys: &Keys, seals: &[Vec<(usize, Seal)>]) -> (bool, Leaf) {
        let at_ms = 7;
        let leaf = match event {
            Event::Key(purpose) => {
                let public_key = match purpose {
                    KeyPurpose::Log => keys.log.verifying_key().to_bytes(),
                    KeyPurpose::Receipt => keys.receipt.verifying_key().to_bytes(),
                    KeyPurpose::Seal => keys.seal.verifying_key().to_bytes(),
                    KeyPurpose::Rescue => [9; 32],
                };
                Leaf::ServerKey {
                    purpose: *purpose,
                    public_key,
                    at_ms,
                }
            }
            Event::Enrolled { phone, person } => Leaf::Enrolled {
                phone: PHONES[*phone],
                person: *person,
                unit: UNIT,
                public_key: keys.phones[*phone].verifying_key().to_bytes(),
                at_ms,
            },
            Event::Revoked { phone, .. } => Leaf::Revoked {
                phone: PHONES[*phone],
                at_ms,
            },
            Event::Batch {
                document,
                changes,
                at_ms,
                admitted,
            } => {
                let seals = seals[*document]
                    .iter()
                    .filter(|(change, _)| changes.contains(change))
                    .map(|(_, seal)| Sha256::of(&seal.encode()))
                    .collect();
                let of = &self.documents[*document];
                let changes = changes.iter().map(|change| hash(&of.changes[*change]));
                let (document, changes) = (of.key.document(), changes.collect());
                if *admitted {
                    Leaf::Admitted {
                        document,
                        changes,
                        seals,
                        admitted_at_ms: *at_ms,
                        by: PersonId::from_bytes([0xc1; 16]),
                    }
                } else {
                    Leaf::Batch {
                        document,
                        changes,
                        seals,
                        received_at_ms: *at_ms,
                    }
                }
            }
            Event::File { at_ms } => Leaf::Attachment {
                unit: self.documents[0].key.unit,
                sha256: Sha256::of(&self.photo),
                size_bytes: self.photo.len() as u64,
                received_at_ms: *at_ms,
            },
            Event::Other(phone) => Leaf::Revoked {
                phone: *phone,
                at_ms,
            },
        };
        (self.shows(event), leaf)
    }

    /// Whether the dossier holds the leaf itself, and not only its hash.
    fn shows(&self, event: &Event) -> bool {
        match event {
            Event::Revoked { shown, .. } => *shown,
            Event::Batch { document, .. } => !self.documents[*document].dropped,
            Event::File { .. } => !self.documents[0].dropped,
            Event::Other(_) => false,
            _ => true,
        }
    }
}

type OwnedLeaf = (u64, Vec<u8>, Vec<Sha256>);

fn borrowed((position, content, path): &OwnedLeaf) -> ProvenLeaf<'_> {
    ProvenLeaf {
        position: *position,
        content: content.as_slice().into(),
        path: path.clone(),
    }
}

pub(super) fn hash(change: &[u8]) -> Sha256 {
    header::read(change).expect("a change").hash
}

fn json(claims: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(claims).expect("claims are JSON")
}
