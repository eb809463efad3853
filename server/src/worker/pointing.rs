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

mod looking;

use automerge::{
    ActorId, ChangeHash, ExpandedChange, ObjType, ScalarValue,
    legacy::{Key, ObjectId, Op, OpId, OpType},
};
use kieumau_core::{
    document::{Actor, Kind},
    id::{PersonId, PhoneId},
};
use looking::Looking;
use std::collections::{BTreeMap, BTreeSet, HashMap};

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

/// Values that one phone writes in one document, those included that were replaced: a few bytes may say hundreds of thousands, and who
/// reads the document next must not die of them. Nobody uses up another's. A patrol of 100,000 fixes has less than a tenth.
const VALUES_LIMIT: usize = 100_000;

/// An operation: its number, and its actor's place in [`Pointing::actors`].
type Id = (u64, usize);

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
    /// The change that made it, by its number, and those that replaced it.
    made_by: usize,
    replaced_by: Vec<usize>,
}

#[derive(Clone, Copy)]
struct Record {
    depth: usize,
    of_birth: bool,
}

/// What stands at a place. A title that was written a thousand times has one value, and who saw all need not look at the others.
#[derive(Default)]
struct Standing {
    /// What nothing has replaced.
    open: Vec<Id>,
    replaced: Vec<Id>,
    has_record: bool,
}

/// A change in the document, as far as others stand upon it.
struct Node {
    deps: Vec<usize>,
    /// The last operation's number in it and in all that it stands upon.
    last: u64,
}

/// Which changes the writer of one had seen.
enum Seen {
    All,
    /// By number.
    Some(Vec<bool>),
}

/// What the changes of one document made, and what each stands upon. Numbers of changes are their places in `nodes`, the genesis first.
pub(super) struct Pointing<'j> {
    kind: Kind,
    people: &'j BTreeMap<PhoneId, PersonId>,
    actors: Vec<ActorId>,
    places: HashMap<ActorId, usize>,
    nodes: Vec<Node>,
    numbers: HashMap<ChangeHash, usize>,
    heads: BTreeSet<usize>,
    values: HashMap<Id, Value>,
    standing: HashMap<Place, Standing>,
    /// How many values each phone wrote.
    wrote: HashMap<PhoneId, usize>,
    /// To whom each handover goes, by its record.
    takers: HashMap<Id, String>,
}

/// A change that points well.
pub(super) struct Pointed {
    hash: ChangeHash,
    node: Node,
    writer: Option<PhoneId>,
    values: Vec<(Id, Value)>,
    replaced: Vec<Id>,
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
            nodes: Vec::new(),
            numbers: HashMap::new(),
            heads: BTreeSet::new(),
            values: HashMap::new(),
            standing: HashMap::new(),
            wrote: HashMap::new(),
            takers: HashMap::new(),
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
        let (_, node) = self.node(change)?;
        let number = self.nodes.len();
        let actor = self.actor(&change.actor_id);
        let writer = writer(change);
        for (operation, counter) in change.operations.iter().zip(change.start_op.get()..) {
            let Some(place) = self.place(operation) else {
                continue;
            };
            if let Some(taker) = taker(operation) {
                self.takers.extend(place.map.map(|record| (record, taker)));
            }
            let replaced = operation.pred.iter();
            let replaced: Vec<Id> = replaced.filter_map(|replaced| self.id(replaced)).collect();
            self.replace(&replaced, number);
            if makes_a_value(operation) {
                let depth = self.depth(&place);
                let of_birth = writer.is_none();
                let record = is_map(operation).then_some(Record { depth, of_birth });
                self.put((counter, actor), Value::new(place, record, number), writer);
            }
        }
        self.stand(hash, node);
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
        let (last, node) = self.node(change)?;
        if last.checked_add(1) != Some(change.start_op.get()) {
            return Err(ELSEWHERE);
        }
        let writer = writer(change);
        let wrote = writer.and_then(|writer| self.wrote.get(&writer));
        if wrote.copied().unwrap_or(0) + change.operations.len() > VALUES_LIMIT {
            return Err(BREAKS);
        }
        let seen = self.seen(&node);
        // Every change but the genesis itself stands upon it.
        if !seen.has(0) {
            return Err(ELSEWHERE);
        }
        let actor = self.actor(&change.actor_id);
        let person = writer.and_then(|writer| self.people.get(&writer).copied());
        let mut looking = Looking::at(self, seen, person);
        for (operation, counter) in change.operations.iter().zip(last + 1..) {
            looking.take(operation, (counter, actor))?;
        }
        let (values, replaced, takers) = looking.found();
        Ok(Pointed {
            hash,
            node,
            writer,
            values,
            replaced,
            takers,
        })
    }

    /// Takes a change that was looked at.
    pub(super) fn keep(&mut self, pointed: Pointed) {
        let number = self.nodes.len();
        for (id, value) in pointed.values {
            self.put(id, value, pointed.writer);
        }
        self.replace(&pointed.replaced, number);
        self.takers.extend(pointed.takers);
        self.stand(pointed.hash, pointed.node);
    }

    fn put(&mut self, id: Id, value: Value, writer: Option<PhoneId>) {
        let standing = self.standing.entry(value.place.clone()).or_default();
        standing.open.push(id);
        standing.has_record |= value.record.is_some();
        self.values.insert(id, value);
        if let Some(writer) = writer {
            *self.wrote.entry(writer).or_default() += 1;
        }
    }

    fn replace(&mut self, replaced: &[Id], by: usize) {
        for replaced in replaced {
            let Some(value) = self.values.get_mut(replaced) else {
                continue;
            };
            value.replaced_by.push(by);
            if let Some(standing) = self.standing.get_mut(&value.place)
                && let Some(at) = standing.open.iter().position(|open| open == replaced)
            {
                standing.replaced.push(standing.open.swap_remove(at));
            }
        }
    }

    fn stand(&mut self, hash: ChangeHash, node: Node) {
        let number = self.nodes.len();
        for dep in &node.deps {
            self.heads.remove(dep);
        }
        self.heads.insert(number);
        self.numbers.insert(hash, number);
        self.nodes.push(node);
    }

    /// The number of the last operation below a change, and where the change stands.
    fn node(&self, change: &ExpandedChange) -> Result<(u64, Node), &'static str> {
        let deps = change
            .deps
            .iter()
            .map(|hash| self.numbers.get(hash).copied());
        let deps: Vec<usize> = deps.collect::<Option<_>>().ok_or(LACKS)?;
        let below = deps.iter().map(|dep| self.nodes[*dep].last).max();
        let written = u64::try_from(change.operations.len()).map_err(|_| ELSEWHERE)?;
        let end = (change.start_op.get() - 1).checked_add(written);
        let last = end.ok_or(ELSEWHERE)?;
        Ok((below.unwrap_or(0), Node { deps, last }))
    }

    /// What a change stands upon: mostly all there is, and else it is walked. A clock for each change would be as long as a document has
    /// openings of phones.
    fn seen(&self, node: &Node) -> Seen {
        if node.deps.iter().copied().collect::<BTreeSet<_>>() == self.heads {
            return Seen::All;
        }
        let mut seen = vec![false; self.nodes.len()];
        let mut open = node.deps.clone();
        while let Some(number) = open.pop() {
            if !std::mem::replace(&mut seen[number], true) {
                open.extend(&self.nodes[number].deps);
            }
        }
        Seen::Some(seen)
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
    const fn new(place: Place, record: Option<Record>, made_by: usize) -> Self {
        Self {
            place,
            record,
            made_by,
            replaced_by: Vec::new(),
        }
    }
}

impl Seen {
    fn has(&self, number: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some(seen) => seen.get(number).copied().unwrap_or(false),
        }
    }
}

/// Whose phone wrote a change; none for a birth.
fn writer(change: &ExpandedChange) -> Option<PhoneId> {
    Actor::from_slice(change.actor_id.to_bytes()).map(|actor| actor.phone)
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

#[cfg(test)]
mod tests;
