//! What the server publishes to the phones of a unit: the catalogue, the people, the units with their lineage, checkpoints.
//! Written by the server only; reaches phones by the same sync as all else.

use crate::{
    document::{Kind, Record},
    id::{CheckpointId, PersonId, UnitId},
};
use autosurgeon::{Hydrate, Reconcile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The content of a reference document.
#[derive(Clone, Debug, Default, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct Reference {
    /// The catalogue as JSON, whole.
    #[autosurgeon(missing = "Option::default")]
    pub catalogue: Option<String>,
    /// People of the unit, those who left it among them: their names stand in records.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub people: BTreeMap<PersonId, ReferencePerson>,
    /// The unit, and those linked with it.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub units: BTreeMap<UnitId, ReferenceUnit>,
    /// Checkpoints (điểm chốt) of the unit, removed ones among them: they were visited.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub checkpoints: BTreeMap<CheckpointId, Checkpoint>,
}

impl Record for Reference {
    const KIND: Kind = Kind::Reference;
}

/// One person of the force, as colleagues see them.
#[derive(Clone, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct ReferencePerson {
    /// How they are called.
    pub name: String,
    /// A role's word.
    pub role: String,
    /// When they were disabled, Unix milliseconds; none while they are there.
    #[autosurgeon(missing = "Option::default")]
    #[serde(default)]
    pub left_at_ms: Option<i64>,
}

crate::unprinted!(ReferencePerson);

/// One unit.
#[derive(Clone, Debug, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct ReferenceUnit {
    /// Its name.
    pub name: String,
    /// First day it is.
    pub valid_from: String,
    /// First day it is no more.
    #[autosurgeon(missing = "Option::default")]
    pub valid_to: Option<String>,
}

/// A place that patrols are to reach.
#[derive(Clone, Debug, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its name.
    pub name: String,
    /// Latitude, 1e-7 degree.
    pub lat_e7: i32,
    /// Longitude, 1e-7 degree.
    pub lon_e7: i32,
    /// When it was removed, Unix milliseconds; none while it is one.
    #[autosurgeon(missing = "Option::default")]
    #[serde(default)]
    pub removed_at_ms: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::{self, Actor, Key},
        id::PhoneId,
    };

    /// What an older phone reads of a person and a checkpoint.
    #[derive(Hydrate)]
    struct Older {
        #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
        people: BTreeMap<PersonId, OlderPerson>,
        #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
        checkpoints: BTreeMap<CheckpointId, OlderCheckpoint>,
    }

    #[derive(Hydrate)]
    struct OlderPerson {
        name: String,
        role: String,
    }

    #[derive(Hydrate)]
    struct OlderCheckpoint {
        name: String,
        lat_e7: i32,
        lon_e7: i32,
    }

    const HA: PersonId = PersonId::from_bytes([5; 16]);
    const GATE: CheckpointId = CheckpointId::from_bytes([4; 16]);

    fn published(left_at_ms: Option<i64>) -> automerge::Automerge {
        let key = Key::reference(UnitId::from_bytes([1; 16]));
        let mut document = document::new(&key);
        let server = Actor {
            phone: PhoneId::from_bytes([9; 16]),
            opening: [9; 8],
        };
        document::edit(&mut document, server, 0, |reference: &mut Reference| {
            let ha = ReferencePerson {
                name: "Hà".into(),
                role: "officer".into(),
                left_at_ms,
            };
            reference.people.insert(HA, ha);
            let gate = Checkpoint {
                name: "Chợ Vinh".into(),
                lat_e7: 1,
                lon_e7: 2,
                removed_at_ms: left_at_ms,
            };
            reference.checkpoints.insert(GATE, gate);
            Ok(())
        })
        .expect("edits");
        document
    }

    #[test]
    fn an_older_phone_reads_a_marked_reference_as_it_always_did() {
        for left_at_ms in [None, Some(7)] {
            let older: Older = autosurgeon::hydrate(&published(left_at_ms)).expect("reads");
            let (ha, gate) = (&older.people[&HA], &older.checkpoints[&GATE]);
            assert_eq!((ha.name.as_str(), ha.role.as_str()), ("Hà", "officer"));
            let place = (gate.name.as_str(), gate.lat_e7, gate.lon_e7);
            assert_eq!(place, ("Chợ Vinh", 1, 2));
        }
    }

    #[test]
    fn who_is_there_is_written_as_before_there_was_a_mark() {
        use automerge::ReadDoc as _;
        for (left_at_ms, fields) in [(None, 2), (Some(7), 3)] {
            let document = published(left_at_ms);
            let at = |obj: &automerge::ObjId, key: &str| {
                let found = document.get(obj, key).expect("reads");
                found.expect("is there").1
            };
            let ha = at(&at(&automerge::ROOT, "people"), &HA.to_string());
            assert_eq!(document.length(&ha), fields);
            let gate = at(&at(&automerge::ROOT, "checkpoints"), &GATE.to_string());
            assert_eq!(document.length(&gate), fields + 1);
            let reference: Reference = document::read(&document).expect("reads");
            assert_eq!(reference.people[&HA].left_at_ms, left_at_ms);
        }
    }
}
