//! An observation (vụ việc): what a patrol saw and did about it. Counts and categories; no field asks for a citizen.

use crate::{
    catalogue::{Catalogue, List},
    id::PersonId,
    invalid::{self, Invalid, Rule},
    position::Position,
    stamp::{self, Stamp},
};
use autosurgeon::{Hydrate, Reconcile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Characters in a note.
pub const NOTE_LIMIT: usize = 2_000;
/// Characters in the number of a written record, or the name of an office.
pub const REFERENCE_LIMIT: usize = 200;
/// Characters in a code of the catalogue.
pub const CODE_LIMIT: usize = 100;
/// The most that can be counted at one observation.
pub const COUNT_LIMIT: i64 = 100_000;
/// The highest sum of fines, đồng.
pub const FINE_LIMIT_VND: i64 = 1_000_000_000_000;

/// One observation as the document holds it.
#[derive(Clone, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct Observation {
    /// The catalogue's category, by code.
    pub category: String,
    /// How many, in `count_unit`.
    pub count: i64,
    /// What is counted, by code. Counting units are not synonyms.
    pub count_unit: String,
    /// When it happened, Unix milliseconds.
    pub happened_at_ms: i64,
    /// When it was recorded, by the phone's clock, Unix milliseconds.
    pub recorded_at_ms: i64,
    /// Who recorded it.
    pub recorded_by: PersonId,
    /// Who changed it last.
    #[autosurgeon(missing = "Option::default")]
    pub edited_by: Option<PersonId>,
    /// Latitude, 1e-7 degree.
    #[autosurgeon(missing = "Option::default")]
    pub lat_e7: Option<i32>,
    /// Longitude, 1e-7 degree.
    #[autosurgeon(missing = "Option::default")]
    pub lon_e7: Option<i32>,
    /// Measures taken, by code. A fresh object under a fresh id, so its keys merge.
    pub measures_taken: BTreeMap<String, bool>,
    /// Sum of fines, đồng.
    #[autosurgeon(missing = "Option::default")]
    pub fine_vnd: Option<i64>,
    /// Exhibits held.
    #[autosurgeon(missing = "Option::default")]
    pub exhibits_held: Option<i64>,
    /// Vehicles held.
    #[autosurgeon(missing = "Option::default")]
    pub vehicles_held: Option<i64>,
    /// Number of the written record (biên bản).
    #[autosurgeon(missing = "Option::default")]
    pub record_number: Option<String>,
    /// The office it was handed over to.
    #[autosurgeon(missing = "Option::default")]
    pub handed_over_to: Option<String>,
    /// A short note.
    #[autosurgeon(missing = "Option::default")]
    pub note: Option<String>,
    /// When it was withdrawn as a slip, Unix milliseconds.
    #[autosurgeon(missing = "Option::default")]
    pub withdrawn_at_ms: Option<i64>,
}

/// What recording an observation takes.
#[derive(Clone, PartialEq)]
pub struct NewObservation {
    /// The category, by code.
    pub category: String,
    /// How many; at least 1.
    pub count: i64,
    /// What is counted, by code.
    pub count_unit: String,
    /// When it happened; when it is recorded if not said.
    pub happened_at_ms: Option<i64>,
    /// Where, if known.
    pub position: Option<Position>,
    /// Measures taken, by code.
    pub measures_taken: Vec<String>,
    /// Sum of fines, đồng.
    pub fine_vnd: Option<i64>,
    /// Exhibits held.
    pub exhibits_held: Option<i64>,
    /// Vehicles held.
    pub vehicles_held: Option<i64>,
    /// Number of the written record.
    pub record_number: Option<String>,
    /// The office it was handed over to.
    pub handed_over_to: Option<String>,
    /// A short note.
    pub note: Option<String>,
    /// Taken back as a slip.
    pub withdrawn: bool,
}

crate::unprinted!(Observation, NewObservation);

impl NewObservation {
    /// One of `category`, counted in `count_unit`, nothing else said.
    #[must_use]
    pub fn of(category: &str, count: i64, count_unit: &str) -> Self {
        Self {
            category: category.to_owned(),
            count,
            count_unit: count_unit.to_owned(),
            happened_at_ms: None,
            position: None,
            measures_taken: Vec::new(),
            fine_vnd: None,
            exhibits_held: None,
            vehicles_held: None,
            record_number: None,
            handed_over_to: None,
            note: None,
            withdrawn: false,
        }
    }

    /// The codes must be the catalogue's. What else must hold is [`Observation::check`]'s.
    fn check_codes(&self) -> Result<(), Invalid> {
        let catalogue = Catalogue::placeholder();
        if catalogue.item(List::Categories, &self.category).is_none() {
            return Err(Invalid::new("category", Rule::Unknown));
        }
        if catalogue.item(List::CountUnits, &self.count_unit).is_none() {
            return Err(Invalid::new("count_unit", Rule::Unknown));
        }
        for measure in &self.measures_taken {
            if catalogue.item(List::MeasuresTaken, measure).is_none() {
                return Err(Invalid::new("measures_taken", Rule::Unknown));
            }
        }
        Ok(())
    }
}

fn within(field: &str, value: i64, least: i64, most: i64) -> Result<(), Invalid> {
    match value {
        _ if value < least => Err(Invalid::new(field, Rule::TooSmall)),
        _ if value > most => Err(Invalid::new(field, Rule::TooLarge)),
        _ => Ok(()),
    }
}

impl Observation {
    /// A new observation by `stamp`.
    ///
    /// # Errors
    /// The first rule that `new` breaks, with its field.
    pub fn record(stamp: Stamp, new: NewObservation) -> Result<Self, Invalid> {
        new.check_codes()?;
        let mut observation = Self {
            category: String::new(),
            count: 0,
            count_unit: String::new(),
            happened_at_ms: stamp.at_ms,
            recorded_at_ms: stamp.at_ms,
            recorded_by: stamp.by,
            edited_by: None,
            lat_e7: None,
            lon_e7: None,
            measures_taken: BTreeMap::new(),
            fine_vnd: None,
            exhibits_held: None,
            vehicles_held: None,
            record_number: None,
            handed_over_to: None,
            note: None,
            withdrawn_at_ms: None,
        };
        observation.say(stamp, new);
        observation.check()?;
        Ok(observation)
    }

    /// Changes it to what `new` says.
    ///
    /// # Errors
    /// The first rule that `new` breaks, with its field; the observation is then as before.
    pub fn change(&mut self, stamp: Stamp, new: NewObservation) -> Result<(), Invalid> {
        new.check_codes()?;
        let mut changed = self.clone();
        changed.say(stamp, new);
        changed.edited_by = Some(stamp.by);
        changed.check()?;
        *self = changed;
        Ok(())
    }

    fn say(&mut self, stamp: Stamp, new: NewObservation) {
        self.category = new.category;
        self.count = new.count;
        self.count_unit = new.count_unit;
        self.happened_at_ms = new.happened_at_ms.unwrap_or(self.happened_at_ms);
        self.lat_e7 = new.position.map(|position| position.lat_e7);
        self.lon_e7 = new.position.map(|position| position.lon_e7);
        self.measures_taken = new
            .measures_taken
            .into_iter()
            .map(|code| (code, true))
            .collect();
        self.fine_vnd = new.fine_vnd;
        self.exhibits_held = new.exhibits_held;
        self.vehicles_held = new.vehicles_held;
        self.record_number = new.record_number;
        self.handed_over_to = new.handed_over_to;
        self.note = new.note;
        self.withdrawn_at_ms = new
            .withdrawn
            .then(|| self.withdrawn_at_ms.unwrap_or(stamp.at_ms));
    }

    /// Whether it could have come from a phone that keeps the rules. Codes are not judged: a newer phone may know more of them.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        invalid::text("category", &self.category, CODE_LIMIT)?;
        invalid::text("count_unit", &self.count_unit, CODE_LIMIT)?;
        within("count", self.count, 1, COUNT_LIMIT)?;
        within("fine_vnd", self.fine_vnd.unwrap_or(0), 0, FINE_LIMIT_VND)?;
        within(
            "exhibits_held",
            self.exhibits_held.unwrap_or(0),
            0,
            COUNT_LIMIT,
        )?;
        within(
            "vehicles_held",
            self.vehicles_held.unwrap_or(0),
            0,
            COUNT_LIMIT,
        )?;
        for code in self.measures_taken.keys() {
            invalid::text("measures_taken", code, CODE_LIMIT)?;
        }
        for (field, text, limit) in [
            ("record_number", &self.record_number, REFERENCE_LIMIT),
            ("handed_over_to", &self.handed_over_to, REFERENCE_LIMIT),
            ("note", &self.note, NOTE_LIMIT),
        ] {
            invalid::text(field, text.as_deref().unwrap_or_default(), limit)?;
        }
        for (field, at_ms) in [
            ("happened_at_ms", Some(self.happened_at_ms)),
            ("recorded_at_ms", Some(self.recorded_at_ms)),
            ("withdrawn_at_ms", self.withdrawn_at_ms),
        ] {
            stamp::time(field, at_ms.unwrap_or(0))?;
        }
        // One half of a place is none, and is held to the Earth all the same.
        Position {
            lat_e7: self.lat_e7.unwrap_or(0),
            lon_e7: self.lon_e7.unwrap_or(0),
        }
        .check()
    }

    /// Where it was, if known.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        Some(Position {
            lat_e7: self.lat_e7?,
            lon_e7: self.lon_e7?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        by: PersonId::from_bytes([1; 16]),
        at_ms: 5,
        random: [0; 10],
    };

    #[test]
    fn an_observation_takes_no_more_than_category_count_and_unit() {
        let new = NewObservation::of("urban-order", 3, "case");
        let observation = Observation::record(STAMP, new).expect("three taps are enough");
        assert_eq!((observation.count, observation.happened_at_ms), (3, 5));
    }

    #[test]
    fn a_change_without_a_place_takes_the_place_away_and_one_with_it_keeps_it() {
        let place = Position::from_degrees(18.6734, 105.6813).expect("on Earth");
        let there = NewObservation {
            position: Some(place),
            ..NewObservation::of("urban-order", 3, "case")
        };
        let mut observation = Observation::record(STAMP, there.clone()).expect("holds the rules");
        observation.change(STAMP, there).expect("holds the rules");
        assert_eq!(observation.position(), Some(place));
        let nowhere = NewObservation::of("urban-order", 3, "case");
        observation.change(STAMP, nowhere).expect("holds the rules");
        assert_eq!((observation.lat_e7, observation.lon_e7), (None, None));
    }

    #[test]
    fn each_broken_rule_names_its_field() {
        let good = NewObservation::of("urban-order", 3, "case");
        for (new, field, rule) in [
            (
                NewObservation {
                    category: "ngoai-hanh-tinh".into(),
                    ..good.clone()
                },
                "category",
                Rule::Unknown,
            ),
            (
                NewObservation {
                    count: 0,
                    ..good.clone()
                },
                "count",
                Rule::TooSmall,
            ),
            (
                NewObservation {
                    count: -1,
                    ..good.clone()
                },
                "count",
                Rule::TooSmall,
            ),
            (
                NewObservation {
                    count: COUNT_LIMIT + 1,
                    ..good.clone()
                },
                "count",
                Rule::TooLarge,
            ),
            (
                NewObservation {
                    fine_vnd: Some(-1),
                    ..good.clone()
                },
                "fine_vnd",
                Rule::TooSmall,
            ),
            (
                NewObservation {
                    note: Some("x".repeat(1 << 20)),
                    ..good.clone()
                },
                "note",
                Rule::TooLong,
            ),
            (
                NewObservation {
                    measures_taken: vec!["phép thuật".into()],
                    ..good
                },
                "measures_taken",
                Rule::Unknown,
            ),
        ] {
            assert_eq!(
                Observation::record(STAMP, new),
                Err(Invalid::new(field, rule))
            );
        }
    }
}
