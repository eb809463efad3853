//! How a document begins: the first change of every document, the same bytes on every phone and server.
//!
//! Two documents born apart would each hold a root map of their own, and Automerge would hide one of them. So the first
//! change is *genesis*: fixed actor, time 0, the id inside, all root maps in it. It is frozen for ever (golden bytes in
//! `golden/`): two versions of it could never merge. A root map that is thought of later is a *layer*: one more fixed
//! change that depends on genesis only, so that it merges into old documents whenever it arrives.

use super::{Change, Key, Kind};
use crate::{hash::Sha256, id::DocumentId};
use automerge::{
    ActorId, Automerge, ObjType, ROOT, transaction::CommitOptions, transaction::Transactable,
};
use std::{collections::BTreeMap, sync::LazyLock};

/// One fixed change: who made it, and which root maps it brings.
struct Layer {
    actor: &'static [u8; 8],
    maps: &'static [&'static str],
}

/// Genesis first, then the layers in the order they were thought of. Released entries are never edited.
const fn layers(kind: Kind) -> &'static [Layer] {
    match kind {
        Kind::PatrolLog => &[
            Layer {
                actor: b"genesis0",
                maps: &[
                    "team",
                    "forces",
                    "vehicles",
                    "pauses",
                    "track",
                    "observations",
                    "visits",
                    "attachments",
                ],
            },
            Layer {
                actor: b"layer001",
                maps: &["handovers"],
            },
        ],
        Kind::EvidenceFile => &[Layer {
            actor: b"genesis0",
            maps: &["items", "attachments"],
        }],
        Kind::Review => &[Layer {
            actor: b"genesis0",
            maps: &["decisions"],
        }],
        Kind::Reference => &[Layer {
            actor: b"genesis0",
            maps: &["people", "units", "checkpoints"],
        }],
    }
}

/// The changes every document of `key` begins with: genesis, then its layers. The only unsealed changes there are:
/// who receives one recomputes it and compares the bytes.
#[must_use]
pub fn birth(key: &Key) -> Vec<Change> {
    static MOULDS: LazyLock<BTreeMap<Kind, Mould>> =
        LazyLock::new(|| Kind::ALL.map(|kind| (kind, Mould::new(kind))).into());
    MOULDS[&key.kind].cast(key.document())
}

/// The births of a kind as bytes that lack only the id. Births differ in nothing else, and the server recomputes two for every
/// document of every push: written by Automerge each time they took a seventh of its time (November 2026).
struct Mould {
    genesis: Vec<u8>,
    /// Where the id stands in it, as text.
    id_at: usize,
    /// Each layer, and where the hash of genesis stands in it.
    layers: Vec<(Vec<u8>, usize)>,
}

impl Mould {
    fn new(kind: Kind) -> Self {
        let id = DocumentId::from_bytes([0xa5; 16]);
        let changes = written(kind, id);
        let genesis = &changes[0];
        let layers = changes[1..].iter();
        Self {
            id_at: place(&genesis.bytes, id.to_string().as_bytes()),
            genesis: genesis.bytes.clone(),
            layers: layers
                .map(|layer| {
                    let at = place(&layer.bytes, genesis.hash.as_bytes());
                    (layer.bytes.clone(), at)
                })
                .collect(),
        }
    }

    fn cast(&self, id: DocumentId) -> Vec<Change> {
        let genesis = with(&self.genesis, self.id_at, id.to_string().as_bytes());
        let hash = genesis.hash;
        let layers = self.layers.iter();
        let layers = layers.map(|(bytes, at)| with(bytes, *at, hash.as_bytes()));
        [genesis].into_iter().chain(layers).collect()
    }
}

/// Where `part` stands in `bytes`.
fn place(bytes: &[u8], part: &[u8]) -> usize {
    let mut places = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(part));
    let place = places.next().expect("a birth names its document");
    assert_eq!(places.next(), None, "a birth names its document once");
    place
}

/// The chunk with `part` at `at`: four bytes of magic, four of its hash, and what is hashed.
fn with(chunk: &[u8], at: usize, part: &[u8]) -> Change {
    let mut bytes = chunk.to_vec();
    bytes[at..at + part.len()].copy_from_slice(part);
    let hash = Sha256::of(&bytes[8..]);
    bytes[4..8].copy_from_slice(&hash.as_bytes()[..4]);
    Change { hash, bytes }
}

/// The births of a document as Automerge writes them.
fn written(kind: Kind, id: DocumentId) -> Vec<Change> {
    let layers = layers(kind);
    let genesis = born(Automerge::new(), &layers[0], Some((kind, id)));
    let mut changes = vec![last_change(&genesis)];
    changes.extend(
        layers[1..]
            .iter()
            .map(|layer| last_change(&born(genesis.clone(), layer, None))),
    );
    changes
}

fn born(document: Automerge, layer: &Layer, named: Option<(Kind, DocumentId)>) -> Automerge {
    let mut document = document.with_actor(ActorId::from(layer.actor.as_slice()));
    let mut birth = document.transaction();
    let written = (|| {
        if let Some((kind, id)) = named {
            birth.put(ROOT, "kind", kind.word())?;
            birth.put(ROOT, "id", id.to_string())?;
        }
        for map in layer.maps {
            birth.put_object(ROOT, *map, ObjType::Map)?;
        }
        Ok::<_, automerge::AutomergeError>(())
    })();
    written.expect("putting into the root of a new document cannot fail");
    birth.commit_with(CommitOptions::default().with_time(0));
    document
}

fn last_change(document: &Automerge) -> Change {
    let change = document.get_last_local_change().expect("a birth writes");
    Change::from(&change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{document, header, id::UnitId};

    fn key(kind: Kind) -> Key {
        let name = match kind {
            Kind::PatrolLog => "01930000-0000-7000-8000-000000000001",
            Kind::EvidenceFile => "20/2025-11-16..2026-11-15",
            Kind::Review => "00000000-0000-5000-8000-000000000001",
            Kind::Reference => "reference",
        };
        Key::parse(kind, UnitId::from_bytes([7; 16]), name).expect("a key")
    }

    #[test]
    fn births_are_the_frozen_bytes() {
        for kind in Kind::ALL {
            let hex: String = birth(&key(kind))
                .iter()
                .map(|change| hex::encode(&change.bytes) + "\n")
                .collect();
            let path = format!(
                "{}/src/document/golden/{kind}.hex",
                env!("CARGO_MANIFEST_DIR")
            );
            if std::env::var_os("FREEZE").is_some() && !std::path::Path::new(&path).exists() {
                std::fs::write(&path, &hex).expect("a new kind's birth is written once");
            }
            let golden = std::fs::read_to_string(&path).expect("each kind has its golden bytes");
            assert_eq!(hex, golden, "{kind}: a birth is never edited; add a layer");
        }
    }

    #[test]
    fn a_cast_birth_is_what_automerge_writes() {
        for kind in Kind::ALL {
            for number in 0..=255 {
                let id = DocumentId::from_bytes([number; 16]);
                let cast = Mould::new(kind).cast(id);
                assert_eq!(cast, written(kind, id), "{kind}");
                assert!(
                    cast.iter()
                        .all(|change| header::read(&change.bytes).is_ok())
                );
                // The twin: with the id alone exchanged, the chunk is no change any more.
                let mut other = cast[0].bytes.clone();
                let at = Mould::new(kind).id_at;
                other[at] ^= 1;
                assert!(header::read(&other).is_err());
            }
        }
    }

    #[test]
    fn a_layer_merges_late() {
        let key = key(Kind::PatrolLog);
        let [genesis, layer] = birth(&key).try_into().expect("a patrol log has one layer");
        let mut old = Automerge::new();
        old.load_incremental(&genesis.bytes)
            .expect("genesis loads alone");
        old.transact(|change| change.put(ROOT, "note", "written before the layer was thought of"))
            .expect("a change");
        old.load_incremental(&layer.bytes)
            .expect("the layer merges");
        let children = automerge::ReadDoc::keys(&old, ROOT).collect::<Vec<_>>();
        assert!(
            children.contains(&"handovers".to_owned()) && children.contains(&"note".to_owned())
        );
    }

    #[test]
    fn another_id_makes_another_genesis() {
        let a = Key::review(UnitId::from_bytes([1; 16]), key(Kind::PatrolLog).document());
        let b = Key::review(UnitId::from_bytes([2; 16]), key(Kind::PatrolLog).document());
        assert_ne!(birth(&a), birth(&b));
        assert_eq!(document::heads(&document::new(&a)).len(), 1);
    }
}
