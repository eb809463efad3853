//! What a change points at: the maps that it writes into, and the values that it says it replaces.
//!
//! Automerge takes a change's word for both. One that says of a value that it is gone, under another field than the value's, does nothing
//! when it is applied alone and takes the value away where the document is loaded whole; one that points at what its writer had not
//! seen kills who takes it first; one that names no value beside which it stands hides a record, or makes the next honest change look as if it
//! took one away. So only what an honest writer's Automerge says passes: numbers that go on from what it had seen, and at each field the
//! values that it saw there, all of them. Then it is all the same whether changes are applied one by one or together, and in which order.
//!
//! What phones write keeps two rules more, each looked at where it is written, so that nothing written later hides it: a record is made once,
//! with its attribution, and never goes; and a name is that of the person whose phone writes.

use automerge::{
    ActorId, ChangeHash, ExpandedChange, ObjType, ScalarValue,
    legacy::{Key, ObjectId, Op, OpId, OpType},
};
use kieumau_core::{
    document::{Actor, DEPTH_LIMIT, Kind},
    id::{PersonId, PhoneId},
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a change says that it stands upon is not here.
const LACKS: &str = "lacks-an-ancestor";
/// It points at what its writer had not seen, or had seen elsewhere.
const ELSEWHERE: &str = "points-elsewhere";
/// It takes away a record with all that others wrote into it, or hides it.
const TAKES_AWAY: &str = "takes-a-record-away";
/// It writes in another person's name, or changes whose a record is.
const ANOTHER: &str = "another-name";
/// Maps in maps without an end.
const BREAKS: &str = "breaks-a-rule";

/// Values in one document, those included that were replaced: a few bytes may say hundreds of thousands, and who reads the document next
/// must not die of them. A year's evidence or a patrol of 100,000 fixes has less than a tenth.
const VALUES_LIMIT: usize = 250_000;

/// Names that a record has from who made it, by the root map that it stands in; they are written with it and stay.
const fn attributions(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::PatrolLog => &[
            ("observations", "recorded_by"),
            ("pauses", "by"),
            ("visits", "by"),
            ("track", "by"),
            ("handovers", "from"),
            ("attachments", "attached_by"),
        ],
        Kind::EvidenceFile => &[("items", "recorded_by"), ("attachments", "attached_by")],
        Kind::Review | Kind::Reference => &[],
    }
}

/// An operation: its number, and its actor's place in [`Pointing::actors`].
type Id = (u64, usize);
/// The last operation of each actor that a change's writer had seen.
type Clock = BTreeMap<usize, u64>;

/// A field of a map.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    /// The map; none for the root.
    map: Option<Id>,
    field: Key,
}

/// A value that stands at a place, or stood there.
struct Value {
    place: Place,
    /// A map's depth, and whether the document's birth made it; none for a single value.
    record: Option<Record>,
    replaced_by: Vec<Id>,
}

#[derive(Clone, Copy)]
struct Record {
    depth: usize,
    of_birth: bool,
}

/// What the changes of one document made, and what each had seen.
pub(super) struct Pointing<'j> {
    kind: Kind,
    people: &'j BTreeMap<PhoneId, PersonId>,
    actors: Vec<ActorId>,
    places: HashMap<ActorId, usize>,
    values: HashMap<Id, Value>,
    standing: HashMap<Place, Vec<Id>>,
    /// To whom each handover goes, by its record.
    takers: HashMap<Id, String>,
    seen: HashMap<ChangeHash, Clock>,
    /// What the document's first change wrote, which every other one had seen.
    genesis: Option<Id>,
}

/// A change that points well.
pub(super) struct Pointed {
    hash: ChangeHash,
    clock: Clock,
    values: Vec<(Id, Value)>,
    replaced: Vec<(Id, Id)>,
    takers: Vec<(Id, String)>,
}

impl<'j> Pointing<'j> {
    /// Of a document of `kind`, in which nothing stands yet, written by the phones of these people.
    pub(super) fn of(kind: Kind, people: &'j BTreeMap<PhoneId, PersonId>) -> Self {
        Self {
            kind,
            people,
            actors: Vec::new(),
            places: HashMap::new(),
            values: HashMap::new(),
            standing: HashMap::new(),
            takers: HashMap::new(),
            seen: HashMap::new(),
            genesis: None,
        }
    }

    /// Takes a change that passed before, or the document's birth.
    ///
    /// # Errors
    /// A stable word: it lacks an ancestor.
    pub(super) fn held(
        &mut self,
        hash: ChangeHash,
        change: &ExpandedChange,
    ) -> Result<(), &'static str> {
        let (_, clock) = self.saw(change)?;
        let actor = self.actor(&change.actor_id);
        let of_birth = change.actor_id.to_bytes().len() != Actor::LEN;
        for (operation, number) in change.operations.iter().zip(change.start_op.get()..) {
            let Some(place) = self.place(operation) else {
                continue;
            };
            let id = (number, actor);
            if self.genesis.is_none() {
                self.genesis = Some(id);
            }
            if let Some(taker) = taker(operation) {
                self.takers.extend(place.map.map(|record| (record, taker)));
            }
            let replaced = operation
                .pred
                .iter()
                .filter_map(|replaced| self.id(replaced));
            for replaced in replaced.collect::<Vec<_>>() {
                if let Some(value) = self.values.get_mut(&replaced) {
                    value.replaced_by.push(id);
                }
            }
            if makes_a_value(operation) {
                let depth = self.depth(&place);
                let record = is_map(operation).then_some(Record { depth, of_birth });
                self.put(id, Value::new(place, record));
            }
        }
        self.seen.insert(hash, clock);
        Ok(())
    }

    /// Looks at a change that is new. It counts once it is kept. Operations of one actor follow one another without a gap, because
    /// admission takes only the next change of each, upon the one before.
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
        if self.values.len() + change.operations.len() > VALUES_LIMIT {
            return Err(BREAKS);
        }
        let genesis = self.genesis.ok_or(LACKS)?;
        if !has_seen(&clock, genesis) {
            return Err(ELSEWHERE);
        }
        let actor = self.actor(&change.actor_id);
        let writer = Actor::from_slice(change.actor_id.to_bytes());
        let mut looking = Looking {
            of: self,
            clock: &clock,
            writer: writer.and_then(|writer| self.people.get(&writer.phone).copied()),
            own: HashMap::new(),
            standing: HashMap::new(),
            replaced: HashMap::new(),
            takers: Vec::new(),
        };
        for (operation, number) in change.operations.iter().zip(last + 1..) {
            looking.take(operation, (number, actor))?;
        }
        let (values, takers) = (looking.own.into_iter().collect(), looking.takers);
        let replaced = looking.replaced.into_iter().collect();
        Ok(Pointed {
            hash,
            clock,
            values,
            replaced,
            takers,
        })
    }

    /// Takes a change that was looked at.
    pub(super) fn keep(&mut self, pointed: Pointed) {
        for (id, value) in pointed.values {
            self.put(id, value);
        }
        for (replaced, by) in pointed.replaced {
            if let Some(value) = self.values.get_mut(&replaced) {
                value.replaced_by.push(by);
            }
        }
        self.takers.extend(pointed.takers);
        self.seen.insert(pointed.hash, pointed.clock);
    }

    fn put(&mut self, id: Id, value: Value) {
        let standing = self.standing.entry(value.place.clone()).or_default();
        standing.push(id);
        self.values.insert(id, value);
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
        if let Some(place) = self.places.get(actor) {
            return *place;
        }
        let place = self.actors.len();
        self.actors.push(actor.clone());
        self.places.insert(actor.clone(), place);
        place
    }

    fn id(&self, OpId(number, actor): &OpId) -> Option<Id> {
        Some((*number, *self.places.get(actor)?))
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

    /// How deep a map at this place is.
    fn depth(&self, place: &Place) -> usize {
        let above = place.map.and_then(|map| self.values.get(&map)?.record);
        above.map_or(1, |above| above.depth + 1)
    }

    /// The name of a map that the root shows.
    fn root_map(&self, map: Id) -> Option<&str> {
        let place = &self.values.get(&map)?.place;
        match (&place.map, &place.field) {
            (None, Key::Map(name)) => Some(name),
            _ => None,
        }
    }
}

impl Value {
    const fn new(place: Place, record: Option<Record>) -> Self {
        Self {
            place,
            record,
            replaced_by: Vec::new(),
        }
    }
}

fn has_seen(clock: &Clock, (number, actor): Id) -> bool {
    clock.get(&actor).is_some_and(|last| number <= *last)
}

/// Whether an operation leaves something at its field.
const fn makes_a_value(operation: &Op) -> bool {
    matches!(operation.action, OpType::Make(_) | OpType::Put(_))
}

const fn is_map(operation: &Op) -> bool {
    matches!(operation.action, OpType::Make(ObjType::Map))
}

/// The text that an operation writes at a field of this name.
fn text<'o>(operation: &'o Op, name: &str) -> Option<&'o str> {
    match (&operation.key, &operation.action) {
        (Key::Map(field), OpType::Put(ScalarValue::Str(text))) if field == name => Some(text),
        _ => None,
    }
}

/// To whom a handover goes, of which this operation writes that.
fn taker(operation: &Op) -> Option<String> {
    text(operation, "to").map(str::to_owned)
}

/// A change that is being looked at.
struct Looking<'p, 'j> {
    of: &'p Pointing<'j>,
    /// What its writer had seen, and what it writes itself.
    clock: &'p Clock,
    writer: Option<PersonId>,
    own: HashMap<Id, Value>,
    standing: HashMap<Place, Vec<Id>>,
    replaced: HashMap<Id, Id>,
    takers: Vec<(Id, String)>,
}

impl Looking<'_, '_> {
    /// Takes the change's operation `id`.
    fn take(&mut self, operation: &Op, id: Id) -> Result<(), &'static str> {
        // Documents are maps and single values; lists and texts have no place in them.
        let is_ours = match operation.action {
            OpType::Put(ScalarValue::Counter(_)) => false,
            OpType::Put(_) | OpType::Delete | OpType::Make(ObjType::Map) => true,
            _ => false,
        };
        if !is_ours || operation.insert || !matches!(operation.key, Key::Map(_)) {
            return Err(ELSEWHERE);
        }
        let place = self.of.place(operation).ok_or(ELSEWHERE)?;
        let map = place.map.map(|map| self.map(map)).transpose()?;
        self.replace(operation, &place, id)?;
        if matches!(self.of.kind, Kind::PatrolLog | Kind::EvidenceFile) {
            self.keeps_records(operation, &place, map)?;
            self.keeps_names(operation, &place)?;
        }
        if makes_a_value(operation) {
            let depth = map.map_or(1, |map| map.depth + 1);
            if is_map(operation) && depth > DEPTH_LIMIT {
                return Err(BREAKS);
            }
            let record = is_map(operation).then_some(Record {
                depth,
                of_birth: false,
            });
            self.standing.entry(place.clone()).or_default().push(id);
            self.own.insert(id, Value::new(place, record));
        }
        Ok(())
    }

    /// The map of this name, if the writer had seen it.
    fn map(&self, map: Id) -> Result<Record, &'static str> {
        let of = self.own.get(&map).or_else(|| {
            let seen = self.of.values.get(&map);
            seen.filter(|_| has_seen(self.clock, map))
        });
        of.and_then(|of| of.record).ok_or(ELSEWHERE)
    }

    /// Whether the operation replaces what its writer saw at the place: all of it, or, as Automerge ends a clash in which the winner is
    /// written once more, all but that.
    fn replace(&mut self, operation: &Op, place: &Place, id: Id) -> Result<(), &'static str> {
        let mut saw: HashSet<Id> = self.saw(place).collect();
        let winner = saw
            .iter()
            .max_by_key(|(number, actor)| (*number, &self.of.actors[*actor]))
            .copied();
        for replaced in operation.pred.iter() {
            let replaced = self.of.id(replaced).ok_or(ELSEWHERE)?;
            if !saw.remove(&replaced) {
                return Err(ELSEWHERE);
            }
            self.replaced.insert(replaced, id);
        }
        let is_delete = matches!(operation.action, OpType::Delete);
        let all = saw.is_empty();
        let all_but_the_winner = is_delete && saw.len() == 1 && saw.iter().copied().eq(winner);
        if operation.pred.is_empty() && is_delete || !all && !all_but_the_winner {
            return Err(ELSEWHERE);
        }
        Ok(())
    }

    /// The values that the writer saw at a place.
    fn saw(&self, place: &Place) -> impl Iterator<Item = Id> {
        let seen = |id: &Id| {
            let replaced_by = &self.of.values[id].replaced_by;
            has_seen(self.clock, *id) && !replaced_by.iter().any(|by| has_seen(self.clock, *by))
        };
        let before = self.of.standing.get(place).into_iter().flatten();
        let before = before.copied().filter(seen);
        let own = self.standing.get(place).into_iter().flatten().copied();
        let all = before.chain(own);
        all.filter(|id| !self.replaced.contains_key(id))
    }

    /// Phones edit records and withdraw files; nothing of theirs makes a record go. One is made under a fresh id, in a map that the birth
    /// made or in one of the same change: where one is known, seen by this writer or not, nothing else is written.
    fn keeps_records(
        &self,
        operation: &Op,
        place: &Place,
        map: Option<Record>,
    ) -> Result<(), &'static str> {
        let known = |id: &Id| self.of.values[id].record.is_some();
        let before = self.of.standing.get(place).into_iter().flatten();
        let own = self.standing.get(place).into_iter().flatten();
        if before.copied().any(|id| known(&id))
            || own.copied().any(|id| self.own[&id].record.is_some())
        {
            return Err(TAKES_AWAY);
        }
        let own_map = place.map.is_some_and(|map| self.own.contains_key(&map));
        if is_map(operation) && !own_map && !map.is_some_and(|map| map.of_birth) {
            return Err(ELSEWHERE);
        }
        Ok(())
    }

    /// A name is the writer's. Whose a record is, and to whom a handover goes, is written with the record and stays.
    fn keeps_names(&mut self, operation: &Op, place: &Place) -> Result<(), &'static str> {
        let Key::Map(name) = &place.field else {
            return Err(ELSEWHERE);
        };
        let writers = |text: &str| self.writer.is_some_and(|writer| writer.to_string() == text);
        let named = text(operation, name);
        let Some(record) = place.map else {
            let signs = self.of.kind == Kind::PatrolLog
                && ["started_by", "ended_by"].contains(&name.as_str());
            return match named {
                Some(named) if signs && !writers(named) => Err(ANOTHER),
                _ => Ok(()),
            };
        };
        let own = self.own.get(&record);
        let of = own.or_else(|| self.of.values.get(&record));
        let root_map = of
            .and_then(|of| of.place.map)
            .and_then(|map| self.of.root_map(map));
        let Some(root_map) = root_map else {
            return Ok(());
        };
        let field = (root_map, name.as_str());
        let attributes = attributions(self.of.kind).contains(&field);
        let hands_over = field == ("handovers", "to");
        if (attributes || hands_over) && own.is_none() {
            return Err(ANOTHER);
        }
        if (attributes || name == "edited_by") && named.is_some_and(|named| !writers(named)) {
            return Err(ANOTHER);
        }
        if hands_over {
            self.takers
                .extend(taker(operation).map(|taker| (record, taker)));
        }
        let confirms = field == ("handovers", "confirmed_at_ms")
            && matches!(&operation.action, OpType::Put(value) if !value.is_null());
        let taker = self.takers.iter().find(|(of, _)| *of == record);
        let taker = taker
            .map(|(_, taker)| taker)
            .or_else(|| self.of.takers.get(&record));
        if confirms && !taker.is_some_and(|taker| writers(taker)) {
            return Err(ANOTHER);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
