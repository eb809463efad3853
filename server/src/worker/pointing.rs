//! What a change points at: the objects that it writes into, and the values that it says it replaces.
//!
//! Automerge takes a change's word for both. One that says of a value that it is gone, under another field than the value's, does nothing
//! when it is applied alone and takes the value away where the document is loaded whole; one that points at what its writer had not
//! seen kills who takes it first. The document would say one thing where it is checked and another on a phone, so only what an
//! honest writer can say passes: numbers that go on from what it had seen, and values that it had seen where it writes. Then it is all the
//! same whether changes are applied one by one or together.

use automerge::{
    ActorId, ChangeHash, ExpandedChange, ObjType,
    legacy::{Key, ObjectId, Op, OpId, OpType},
};
use kieumau_core::document::Kind;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a change says that it stands upon is not here.
const LACKS: &str = "lacks-an-ancestor";
/// It points at what its writer had not seen, or had seen elsewhere.
const ELSEWHERE: &str = "points-elsewhere";
/// It takes away a record with all that others wrote into it.
const TAKES_AWAY: &str = "takes-a-record-away";

/// An operation: its number, and its actor's place in [`Pointing::actors`].
type Id = (u64, usize);
/// The last operation of each actor that a change's writer had seen.
type Clock = BTreeMap<usize, u64>;

/// Where a value stands.
#[derive(PartialEq, Eq)]
struct Place {
    /// The map; none for the root.
    map: Option<Id>,
    field: Key,
}

/// What the changes of one document made, and what each had seen.
pub(super) struct Pointing {
    keeps_records: bool,
    actors: HashMap<ActorId, usize>,
    /// Every value, and whether it is a record: a map.
    values: HashMap<Id, (Place, bool)>,
    seen: HashMap<ChangeHash, Clock>,
}

/// A change that points well.
pub(super) struct Pointed {
    hash: ChangeHash,
    clock: Clock,
    values: Vec<(Id, (Place, bool))>,
}

impl Pointing {
    /// Of a document of `kind`. In what phones write no record goes: they edit records and withdraw files, and nothing of theirs makes
    /// one go. The server's own kinds are written anew as they are published.
    pub(super) fn of(kind: Kind) -> Self {
        Self {
            keeps_records: matches!(kind, Kind::PatrolLog | Kind::EvidenceFile),
            actors: HashMap::new(),
            values: HashMap::new(),
            seen: HashMap::new(),
        }
    }

    /// Takes a change that passed before.
    ///
    /// # Errors
    /// A stable word: it lacks an ancestor.
    pub(super) fn held(
        &mut self,
        hash: ChangeHash,
        change: &ExpandedChange,
    ) -> Result<(), &'static str> {
        let (_, clock) = self.saw(change)?;
        let values = change.operations.iter().zip(change.start_op.get()..);
        let values = values.filter_map(|(operation, number)| {
            Some((number, self.place(operation)?, is_record(operation)?))
        });
        let values: Vec<_> = values.collect();
        let actor = self.actor(&change.actor_id);
        let values = values
            .into_iter()
            .map(|(number, place, is_record)| ((number, actor), (place, is_record)));
        let pointed = Pointed {
            hash,
            clock,
            values: values.collect(),
        };
        self.keep(pointed);
        Ok(())
    }

    /// Looks at a change that is new. It counts once it is kept.
    ///
    /// # Errors
    /// A stable word of why it does not point well.
    pub(super) fn look(
        &mut self,
        hash: ChangeHash,
        change: &ExpandedChange,
    ) -> Result<Pointed, &'static str> {
        let (last, clock) = self.saw(change)?;
        if last.checked_add(1) != Some(change.start_op.get()) {
            return Err(ELSEWHERE);
        }
        let mut looking = Looking {
            of: self,
            clock: &clock,
            own: HashMap::new(),
            replaced: HashSet::new(),
        };
        let actor = looking.of.actor(&change.actor_id);
        for (operation, number) in change.operations.iter().zip(last + 1..) {
            looking.take(operation, (number, actor))?;
        }
        let values = looking.own.into_iter().collect();
        Ok(Pointed {
            hash,
            clock,
            values,
        })
    }

    /// Takes a change that was looked at.
    pub(super) fn keep(&mut self, pointed: Pointed) {
        self.values.extend(pointed.values);
        self.seen.insert(pointed.hash, pointed.clock);
    }

    /// The number of the last operation that the change's writer had seen, and what it had seen of each actor, its own change included.
    fn saw(&mut self, change: &ExpandedChange) -> Result<(u64, Clock), &'static str> {
        let mut clock = Clock::new();
        for hash in &change.deps {
            for (actor, number) in self.seen.get(hash).ok_or(LACKS)? {
                let seen = clock.entry(*actor).or_default();
                *seen = (*seen).max(*number);
            }
        }
        let last = clock.values().copied().max().unwrap_or(0);
        let actor = self.actor(&change.actor_id);
        let written = u64::try_from(change.operations.len()).map_err(|_| ELSEWHERE)?;
        let end = (change.start_op.get() - 1).checked_add(written);
        clock.insert(actor, end.ok_or(ELSEWHERE)?);
        Ok((last, clock))
    }

    fn actor(&mut self, actor: &ActorId) -> usize {
        if let Some(place) = self.actors.get(actor) {
            return *place;
        }
        let place = self.actors.len();
        self.actors.insert(actor.clone(), place);
        place
    }

    fn id(&self, OpId(number, actor): &OpId) -> Option<Id> {
        Some((*number, *self.actors.get(actor)?))
    }

    /// Where an operation writes, if its actor is known.
    fn place(&self, operation: &Op) -> Option<Place> {
        let map = match &operation.obj {
            ObjectId::Root => None,
            ObjectId::Id(id) => Some(self.id(id)?),
        };
        let field = operation.key.clone();
        Some(Place { map, field })
    }
}

/// Whether an operation makes a record; none for one that makes no value.
fn is_record(operation: &Op) -> Option<bool> {
    match operation.action {
        OpType::Make(ObjType::Map) => Some(true),
        OpType::Make(_) | OpType::Put(_) => Some(false),
        _ => None,
    }
}

/// A change that is being looked at.
struct Looking<'p> {
    of: &'p mut Pointing,
    /// What its writer had seen, and what it writes itself.
    clock: &'p Clock,
    own: HashMap<Id, (Place, bool)>,
    replaced: HashSet<Id>,
}

impl Looking<'_> {
    /// Takes the change's operation `id`.
    fn take(&mut self, operation: &Op, id: Id) -> Result<(), &'static str> {
        // Documents are maps and single values; lists and texts have no place in them.
        if operation.insert || !matches!(operation.key, Key::Map(_)) {
            return Err(ELSEWHERE);
        }
        let place = self.of.place(operation).ok_or(ELSEWHERE)?;
        if let Some(map) = place.map {
            let (_, is_record) = self.seen(map).ok_or(ELSEWHERE)?;
            if !is_record {
                return Err(ELSEWHERE);
            }
        }
        for replaces in operation.pred.iter() {
            let replaces = self.of.id(replaces).ok_or(ELSEWHERE)?;
            let (stands, is_record) = self.seen(replaces).ok_or(ELSEWHERE)?;
            if *stands != place || self.replaced.contains(&replaces) {
                return Err(ELSEWHERE);
            }
            if self.of.keeps_records && *is_record {
                return Err(TAKES_AWAY);
            }
            self.replaced.insert(replaces);
        }
        match (is_record(operation), &operation.action) {
            (Some(_), OpType::Make(of)) if *of != ObjType::Map => return Err(ELSEWHERE),
            (Some(is_record), _) => {
                self.own.insert(id, (place, is_record));
            }
            (None, OpType::Delete) if !operation.pred.is_empty() => {}
            (None, _) => return Err(ELSEWHERE),
        }
        Ok(())
    }

    /// A value that the change's writer had seen, or wrote before in this change.
    fn seen(&self, id: Id) -> Option<&(Place, bool)> {
        if let Some(own) = self.own.get(&id) {
            return Some(own);
        }
        let (number, actor) = id;
        let had_seen = self.clock.get(&actor).is_some_and(|last| number <= *last);
        self.of.values.get(&id).filter(|_| had_seen)
    }
}

#[cfg(test)]
mod tests;
