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
    /// People of the unit.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub people: BTreeMap<PersonId, ReferencePerson>,
    /// The unit, and those linked with it.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub units: BTreeMap<UnitId, ReferenceUnit>,
    /// Checkpoints (điểm chốt) of the unit.
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
}
