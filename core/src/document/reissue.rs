//! Writing anew what was written upon a change that the server refused.
//!
//! A refused change holds back everything that depends on it, for a document takes no change without its ancestors. So the
//! document goes on without the refused change, and what each later change *did* (the difference between the document before
//! and after it) is written once more, under a fresh actor, onto what the later change was written on. An entry that only the
//! refused change had made is written whole, as it stood after the later change: that is what the officer saw and saved.
//! Our documents are maps of scalars, so a difference is a key. Data in, data out: the originals are the caller's to keep.

use super::{
    Actor, Change, DocumentError, Key,
    clash::{pointer, text_of},
    joins::join_heads,
    load,
};
use crate::hash::Sha256;
use automerge::{
    ActorId, Automerge, ChangeHash, ObjId, ObjType, ROOT, ReadDoc as _, ScalarValue, Value,
    hydrate,
    transaction::{CommitOptions, Transactable as _, Transaction},
};
use std::collections::{BTreeMap, BTreeSet};

/// A change of the document's pile.
#[derive(Clone, Debug)]
pub struct Piled {
    /// The change.
    pub change: Change,
    /// How it stands with the server.
    pub fate: Fate,
}

/// How a change of the pile stands with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Not refused.
    Stands,
    /// Refused, and what it did is to be left out.
    LeftOut,
    /// Refused for its envelope, which the server judged, and not for what it did, which the server never read: once more.
    Again,
}

/// The document without what was refused.
#[derive(Debug)]
pub struct Reissued {
    /// The document as it is now, the fresh changes in it.
    pub document: Automerge,
    /// What goes out of the pile: the refused changes and all that was written upon them, each with the fresh change that does
    /// the same anew; none for what was left out, or did nothing.
    pub set_aside: Vec<(Sha256, Option<Sha256>)>,
    /// The fresh changes, each after what it depends on.
    pub fresh: Vec<Change>,
}

impl Reissued {
    /// Whether it takes out what the server holds: somebody let what stands under that in after all, and it comes with the next pull.
    #[must_use]
    pub fn undoes(&self, settled: &BTreeSet<Sha256>) -> bool {
        let mut gone = self.set_aside.iter();
        gone.any(|(hash, _)| settled.contains(hash))
    }
}

/// The document of `key` without the refused changes of `pile`; what was written upon them is written anew by `actor`, which wrote
/// nothing before. None when nothing is refused.
///
/// # Errors
/// As [`load`]; `Automerge` when a difference cannot be written.
pub fn reissue(key: &Key, pile: &[Piled], actor: Actor) -> Result<Option<Reissued>, DocumentError> {
    let fates: BTreeMap<Sha256, Fate> = pile.iter().map(|p| (p.change.hash, p.fate)).collect();
    if fates.values().all(|fate| *fate == Fate::Stands) {
        return Ok(None);
    }
    let original = load(key, pile.iter().map(|p| p.change.bytes.as_slice()))?;
    let gone = written_upon(&original, &fates);
    let standing = pile.iter().filter(|p| !gone.contains(&p.change.hash));
    let document = load(key, standing.map(|p| p.change.bytes.as_slice()))?;
    let mut anew = Anew {
        original: &original,
        document,
        actor,
        instead: BTreeMap::new(),
        last: None,
    };
    let (mut set_aside, mut fresh) = (Vec::new(), Vec::new());
    let order: Vec<Sha256> = original
        .get_changes_meta(&[])
        .iter()
        .map(|meta| meta.hash.into())
        .filter(|hash| gone.contains(hash))
        .collect();
    for hash in order {
        let change = match fates.get(&hash) {
            Some(Fate::LeftOut) => None,
            _ => anew.write(hash, &mut fresh)?,
        };
        anew.stands_for(hash, change);
        set_aside.push((hash, change));
    }
    Ok(Some(Reissued {
        document: anew.document,
        set_aside,
        fresh,
    }))
}

/// Writes what the change `hash` of `original` did once more, onto all that `document` says: how an officer tries again what was
/// left out. None if that does nothing there any more.
///
/// # Errors
/// As [`reissue`].
pub fn again(
    original: &Automerge,
    hash: Sha256,
    document: &mut Automerge,
    actor: Actor,
) -> Result<Option<Change>, DocumentError> {
    write_difference(original, hash, document, actor)
}

/// One thing that a change wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Where: map keys from the root down to the field, joined as in [`super::Clash::pointer`].
    pub path: String,
    /// The value as text; empty for one that was taken away.
    pub text: String,
}

/// What the change `hash` of `document` wrote, in the order of the paths: how an officer recognises it.
#[must_use]
pub fn said(document: &Automerge, hash: Sha256) -> Vec<Said> {
    let Some(meta) = document.get_change_meta_by_hash(&hash.into()) else {
        return Vec::new();
    };
    let (before, after) = (
        root(document.hydrate(Some(&meta.deps))),
        root(document.hydrate(Some(&[meta.hash]))),
    );
    let mut said = Vec::new();
    say(&before, &after, &mut Vec::new(), &mut said);
    said.sort_by(|a, b| a.path.cmp(&b.path));
    said
}

fn say(before: &hydrate::Map, after: &hydrate::Map, at: &mut Vec<String>, said: &mut Vec<Said>) {
    let empty = hydrate::Map::default();
    let gone = before.iter().filter(|(key, _)| after.get(key).is_none());
    for (key, _) in gone {
        at.push(key.clone());
        let text = String::new();
        said.push(Said {
            path: pointer(at),
            text,
        });
        at.pop();
    }
    for (key, value) in after.iter() {
        let old = before.get(key);
        if old == Some(&value.value) {
            continue;
        }
        at.push(key.clone());
        match &value.value {
            hydrate::Value::Map(map) => {
                let old = match old {
                    Some(hydrate::Value::Map(old)) => old,
                    _ => &empty,
                };
                say(old, map, at, said);
            }
            hydrate::Value::Scalar(scalar) => said.push(Said {
                path: pointer(at),
                text: text_of(scalar),
            }),
            hydrate::Value::List(_) | hydrate::Value::Text(_) => {}
        }
        at.pop();
    }
}

/// The refused changes and everything that depends on one.
fn written_upon(original: &Automerge, fates: &BTreeMap<Sha256, Fate>) -> BTreeSet<Sha256> {
    let mut gone = BTreeSet::new();
    // Each after what it depends on.
    for meta in original.get_changes_meta(&[]) {
        let hash = Sha256::from(meta.hash);
        let refused = fates.get(&hash).is_some_and(|fate| *fate != Fate::Stands);
        if refused || meta.deps.iter().any(|dep| gone.contains(&(*dep).into())) {
            gone.insert(hash);
        }
    }
    gone
}

/// The document while it is written anew.
struct Anew<'a> {
    original: &'a Automerge,
    document: Automerge,
    actor: Actor,
    /// What stands in the document where a change that went out stood.
    instead: BTreeMap<Sha256, Vec<ChangeHash>>,
    /// The newest fresh change: an actor's next one has to know it.
    last: Option<ChangeHash>,
}

impl Anew<'_> {
    /// What in the new document the change was written on.
    fn onto(&self, hash: Sha256) -> Vec<ChangeHash> {
        let deps = self
            .original
            .get_change_meta_by_hash(&hash.into())
            .map(|meta| meta.deps.to_vec())
            .unwrap_or_default();
        let instead = |dep: ChangeHash| match self.instead.get(&dep.into()) {
            Some(stands) => stands.clone(),
            None => vec![dep],
        };
        let onto: BTreeSet<ChangeHash> = deps.into_iter().flat_map(instead).collect();
        onto.into_iter().collect()
    }

    /// Onto the same heads as the original, not onto all there is: what colleagues wrote at the same time stays a clash. What is written goes
    /// to `fresh`.
    fn write(
        &mut self,
        hash: Sha256,
        fresh: &mut Vec<Change>,
    ) -> Result<Option<Sha256>, DocumentError> {
        let onto: BTreeSet<ChangeHash> = self.onto(hash).into_iter().chain(self.last).collect();
        let onto: Vec<ChangeHash> = onto.into_iter().collect();
        let mut fork = self.document.fork_at(&onto)?;
        let at_s = self.original.get_change_meta_by_hash(&hash.into());
        let at_ms = at_s.map_or(0, |meta| meta.timestamp.saturating_mul(1_000));
        let joins = join_heads(&mut fork, self.actor, at_ms)?;
        let change = write_difference(self.original, hash, &mut fork, self.actor)?;
        let written = change.as_ref().map(|change| change.hash);
        for change in joins.into_iter().chain(change) {
            self.document.load_incremental(&change.bytes)?;
            self.last = Some(change.hash.into());
            fresh.push(change);
        }
        Ok(written)
    }

    fn stands_for(&mut self, hash: Sha256, change: Option<Sha256>) {
        let stands = match change {
            Some(change) => vec![change.into()],
            None => self.onto(hash),
        };
        self.instead.insert(hash, stands);
    }
}

/// Writes what `hash` did in `original` into `fork`, labelled with the same time.
fn write_difference(
    original: &Automerge,
    hash: Sha256,
    fork: &mut Automerge,
    actor: Actor,
) -> Result<Option<Change>, DocumentError> {
    let Some(meta) = original.get_change_meta_by_hash(&hash.into()) else {
        return Ok(None);
    };
    let (before, after) = (
        root(original.hydrate(Some(&meta.deps))),
        root(original.hydrate(Some(&[meta.hash]))),
    );
    let time = CommitOptions::default().with_time(meta.timestamp);
    fork.set_actor(ActorId::from(actor.to_bytes().as_slice()));
    let mut transaction = fork.transaction();
    if let Err(error) = write_map(&mut transaction, &ROOT, &before, &after) {
        transaction.rollback();
        return Err(error);
    }
    let (written, _) = transaction.commit_with(time);
    Ok(written
        .and_then(|_| fork.get_last_local_change())
        .map(|change| Change::from(&change)))
}

fn root(value: hydrate::Value) -> hydrate::Map {
    match value {
        hydrate::Value::Map(map) => map,
        _ => hydrate::Map::default(),
    }
}

/// Writes into `object` what differs between the maps.
fn write_map(
    transaction: &mut Transaction<'_>,
    object: &ObjId,
    before: &hydrate::Map,
    after: &hydrate::Map,
) -> Result<(), DocumentError> {
    // In the order of their keys: the same difference is the same change.
    let held: BTreeMap<&String, &hydrate::MapValue> = after.iter().collect();
    for (key, value) in held {
        let old = before.iter().find(|(old, _)| *old == key).map(|(_, v)| v);
        if old != Some(value) {
            write_value(transaction, object, key, old, value)?;
        }
    }
    let removed: BTreeSet<&String> = before.iter().map(|(key, _)| key).collect();
    for key in removed {
        if after.get(key).is_none() && transaction.get(object, key.as_str())?.is_some() {
            transaction.delete(object, key.as_str())?;
        }
    }
    Ok(())
}

fn write_value(
    transaction: &mut Transaction<'_>,
    object: &ObjId,
    key: &str,
    old: Option<&hydrate::MapValue>,
    new: &hydrate::MapValue,
) -> Result<(), DocumentError> {
    match &new.value {
        hydrate::Value::Map(map) => {
            let (child, old) = match transaction.get(object, key)? {
                Some((Value::Object(ObjType::Map), child)) => (child, old.map(|old| &old.value)),
                // Only the refused change had made it: whole, as it stood after this one.
                _ => (transaction.put_object(object, key, ObjType::Map)?, None),
            };
            let empty = hydrate::Map::default();
            let old = match old {
                Some(hydrate::Value::Map(old)) => old,
                _ => &empty,
            };
            write_map(transaction, &child, old, map)
        }
        hydrate::Value::Scalar(value) => put(transaction, object, key, value, old, new),
        // No document of ours holds a list or a text (`clash::check`).
        hydrate::Value::List(_) | hydrate::Value::Text(_) => Ok(()),
    }
}

/// A put of the visible value is written only where the original ended a clash: it would end one here too.
fn put(
    transaction: &mut Transaction<'_>,
    object: &ObjId,
    key: &str,
    value: &ScalarValue,
    old: Option<&hydrate::MapValue>,
    new: &hydrate::MapValue,
) -> Result<(), DocumentError> {
    let chose = old.is_some_and(|old| old.conflict) && !new.conflict;
    let shown = matches!(
        transaction.get(object, key)?,
        Some((Value::Scalar(visible), _)) if visible.as_ref() == value
    );
    if chose || !shown {
        transaction.put(object, key, value.clone())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
