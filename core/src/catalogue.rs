//! A catalogue (bộ tiêu chí): the criteria of one version, and the lists that an officer picks from.
//!
//! The official wording is not public, so all of it is data (`catalogue.json`), marked as placeholder, and every entry
//! says where it comes from. Official catalogues are loaded by the server in the same form through [`Catalogue::parse`];
//! an assessment is frozen to one version. Codes are never reused or renamed: records keep the code, screens the title.

use crate::{
    criterion::{Criterion, CriterionNumber},
    invalid::{Invalid, Rule},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::LazyLock};

/// The largest catalogue file, bytes. Ours has 20 KiB.
pub const MAX_BYTES: usize = 1 << 20;

static PLACEHOLDER: LazyLock<Catalogue> = LazyLock::new(|| {
    Catalogue::parse(include_str!("catalogue.json"))
        .expect("the file is part of this crate, and a test parses it")
});

/// A group of criteria.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CriterionGroup {
    /// `A`, `B` …
    pub letter: char,
    /// For screens.
    pub title_vi: String,
    /// For screens, our translation.
    pub title_en: String,
    /// Where it comes from. Never empty.
    pub provenance: Vec<String>,
}

/// One choice of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// ASCII, in kebab-case; what records keep.
    pub code: String,
    /// For screens.
    pub title_vi: String,
    /// For screens, our translation.
    pub title_en: String,
    /// Where it comes from. Never empty.
    pub provenance: Vec<String>,
    /// Measures taken: it has an amount of money, in đồng.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takes_amount: bool,
    /// Evidence kinds: an official document, which has the five heads (number, date, issuer, signer, subject).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub official_document: bool,
}

/// The lists that an officer picks from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Categories of observations (loại vụ việc).
    Categories,
    /// Measures taken (biện pháp xử lý).
    MeasuresTaken,
    /// Counting units; they are not synonyms.
    CountUnits,
    /// Kinds of evidence (loại minh chứng).
    EvidenceKinds,
    /// Forces (lực lượng).
    Forces,
    /// Kinds of vehicles (phương tiện).
    Vehicles,
}

impl List {
    /// Every list.
    pub const ALL: [Self; 6] = [
        Self::Categories,
        Self::MeasuresTaken,
        Self::CountUnits,
        Self::EvidenceKinds,
        Self::Forces,
        Self::Vehicles,
    ];

    /// The field of an input that takes a code of this list.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Categories => "category",
            Self::MeasuresTaken => "measure_taken",
            Self::CountUnits => "count_unit",
            Self::EvidenceKinds => "evidence_kind",
            Self::Forces => "force",
            Self::Vehicles => "vehicle",
        }
    }
}

/// One version of the criteria and of the lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Its name; an assessment is frozen to it.
    pub version: String,
    /// Not official: every page that shows it says so.
    pub placeholder: bool,
    /// Groups, in their order.
    pub groups: Vec<CriterionGroup>,
    /// Criteria, by number.
    pub criteria: Vec<Criterion>,
    /// Categories of observations.
    pub categories: Vec<Item>,
    /// Measures taken.
    pub measures_taken: Vec<Item>,
    /// Counting units.
    pub count_units: Vec<Item>,
    /// Kinds of evidence.
    pub evidence_kinds: Vec<Item>,
    /// Forces.
    pub forces: Vec<Item>,
    /// Kinds of vehicles.
    pub vehicles: Vec<Item>,
}

impl Catalogue {
    /// The 22 placeholder criteria that come with the product.
    #[must_use]
    pub fn placeholder() -> &'static Self {
        &PLACEHOLDER
    }

    /// The catalogue in this JSON, if it is sound: see [`Catalogue::check`].
    ///
    /// # Errors
    /// `TooLarge` and `Unreadable` at `catalogue`; otherwise as [`Catalogue::check`].
    pub fn parse(json: &str) -> Result<Self, Invalid> {
        if json.len() > MAX_BYTES {
            return Err(Invalid::new("catalogue", Rule::TooLarge));
        }
        let unreadable = |_| Invalid::new("catalogue", Rule::Unreadable);
        let catalogue: Self = serde_json::from_str(json).map_err(unreadable)?;
        catalogue.check()?;
        Ok(catalogue)
    }

    /// Whether its parts fit: numbers ascend, codes are kebab-case and appear once per list, groups and evidence kinds
    /// that are named exist, no group is without criteria, and everything says where it comes from.
    ///
    /// # Errors
    /// At `criterion.N…`, `group.X` or `LIST.CODE`: `OutOfOrder`, `Malformed`, `Already`, `Unknown`, `Required` or `Empty`.
    pub fn check(&self) -> Result<(), Invalid> {
        let mut letters = BTreeSet::new();
        for group in &self.groups {
            let at = || format!("group.{}", group.letter);
            ensure(letters.insert(group.letter), &at, Rule::Already)?;
            ensure(!group.provenance.is_empty(), &at, Rule::Required)?;
            let has_criteria = self.criteria.iter().any(|c| c.group == group.letter);
            ensure(has_criteria, &at, Rule::Empty)?;
        }
        for list in List::ALL {
            self.check_list(list)?;
        }
        let mut last = 0;
        let mut subjects = BTreeSet::new();
        for criterion in &self.criteria {
            let number = criterion.number.get();
            let at = || format!("criterion.{number}");
            ensure(number > last, &at, Rule::OutOfOrder)?;
            last = number;
            ensure(letters.contains(&criterion.group), &at, Rule::Unknown)?;
            self.check_criterion(criterion, &mut subjects)?;
        }
        Ok(())
    }

    /// The criterion of this number.
    #[must_use]
    pub fn criterion(&self, number: CriterionNumber) -> Option<&Criterion> {
        self.criteria.iter().find(|c| c.number == number)
    }

    /// The group of this letter.
    #[must_use]
    pub fn group(&self, letter: char) -> Option<&CriterionGroup> {
        self.groups.iter().find(|group| group.letter == letter)
    }

    /// The choices of a list, in the order of screens.
    #[must_use]
    pub fn list(&self, list: List) -> &[Item] {
        match list {
            List::Categories => &self.categories,
            List::MeasuresTaken => &self.measures_taken,
            List::CountUnits => &self.count_units,
            List::EvidenceKinds => &self.evidence_kinds,
            List::Forces => &self.forces,
            List::Vehicles => &self.vehicles,
        }
    }

    /// The choice of this code.
    #[must_use]
    pub fn item(&self, list: List, code: &str) -> Option<&Item> {
        self.list(list).iter().find(|item| item.code == code)
    }

    /// The choice of this code, for an input that must name one.
    ///
    /// # Errors
    /// `Unknown` at the list's field.
    pub fn require(&self, list: List, code: &str) -> Result<&Item, Invalid> {
        self.item(list, code)
            .ok_or_else(|| Invalid::new(list.field(), Rule::Unknown))
    }

    fn check_list(&self, list: List) -> Result<(), Invalid> {
        let mut codes = BTreeSet::new();
        for item in self.list(list) {
            let at = || format!("{}.{}", list.field(), item.code);
            ensure(is_code(&item.code), &at, Rule::Malformed)?;
            ensure(codes.insert(&item.code), &at, Rule::Already)?;
            ensure(!item.provenance.is_empty(), &at, Rule::Required)?;
        }
        ensure(!codes.is_empty(), &|| list.field().to_owned(), Rule::Empty)
    }

    fn check_criterion<'a>(
        &'a self,
        criterion: &'a Criterion,
        subjects: &mut BTreeSet<&'a str>,
    ) -> Result<(), Invalid> {
        let at = || format!("criterion.{}", criterion.number);
        ensure(!criterion.provenance.is_empty(), &at, Rule::Required)?;
        ensure(!criterion.measures.is_empty(), &at, Rule::Empty)?;
        for measure in &criterion.measures {
            ensure(!measure.subjects().is_empty(), &at, Rule::Empty)?;
            for subject in measure.subjects() {
                let at = || format!("criterion.{}.{}", criterion.number, subject.code);
                ensure(is_code(&subject.code), &at, Rule::Malformed)?;
                // One code is one figure, in the whole catalogue.
                ensure(subjects.insert(&subject.code), &at, Rule::Already)?;
            }
        }
        for evidence in &criterion.evidence {
            let at = || format!("criterion.{}.{}", criterion.number, evidence.kind);
            let kind = self.item(List::EvidenceKinds, &evidence.kind);
            ensure(kind.is_some(), &at, Rule::Unknown)?;
            ensure(!evidence.provenance.is_empty(), &at, Rule::Required)?;
        }
        Ok(())
    }
}

/// `rule` is broken at `at` unless `holds`.
fn ensure(holds: bool, at: &dyn Fn() -> String, rule: Rule) -> Result<(), Invalid> {
    if holds {
        Ok(())
    } else {
        Err(Invalid::new(at(), rule))
    }
}

/// Lower-case ASCII words joined by single hyphens.
fn is_code(text: &str) -> bool {
    text.split('-').all(|word| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criterion::{Measure, Origin};

    fn criterion(number: u8) -> &'static Criterion {
        let number = CriterionNumber::new(number).expect("a number");
        Catalogue::placeholder()
            .criterion(number)
            .expect("one of the 22")
    }

    #[test]
    fn the_placeholder_has_22_criteria_in_four_groups_and_says_what_it_is() {
        let catalogue = Catalogue::placeholder();
        assert!(catalogue.placeholder);
        let numbers: Vec<_> = catalogue.criteria.iter().map(|c| c.number.get()).collect();
        assert_eq!(numbers, (1..=22).collect::<Vec<_>>());
        let sizes = ['A', 'B', 'C', 'D'].map(|letter| {
            assert!(catalogue.group(letter).is_some());
            catalogue
                .criteria
                .iter()
                .filter(|c| c.group == letter)
                .count()
        });
        assert_eq!(sizes, [5, 10, 4, 3]);
    }

    #[test]
    fn patrols_are_counted_from_the_logs_and_accidents_have_three_figures() {
        let from_logs = |measure: &Measure| {
            matches!(
                measure,
                Measure::Percent {
                    at_least: 90,
                    origin: Origin::PatrolLogs,
                    ..
                }
            )
        };
        assert!(criterion(15).measures.iter().all(from_logs));
        let falling = criterion(13)
            .measures
            .iter()
            .filter(|m| matches!(m, Measure::Yoy { .. }));
        assert_eq!(falling.count(), 3);
        assert!(matches!(
            criterion(14).measures[..],
            [Measure::Zero { .. }, Measure::Yoy { .. }]
        ));
        let Measure::Checklist { items, by } = &criterion(1).measures[0] else {
            panic!("criterion 1 is a checklist");
        };
        assert_eq!((items.len(), by.as_deref()), (3, Some("03-31")));
    }

    #[test]
    fn codes_are_found_in_their_own_list_only() {
        let catalogue = Catalogue::placeholder();
        assert!(
            catalogue
                .require(List::MeasuresTaken, "fined")
                .expect("there")
                .takes_amount
        );
        assert!(
            catalogue
                .require(List::EvidenceKinds, "plan")
                .expect("there")
                .official_document
        );
        assert!(
            !catalogue
                .require(List::EvidenceKinds, "photo")
                .expect("there")
                .official_document
        );
        assert_eq!(
            catalogue.require(List::CountUnits, "fined"),
            Err(Invalid::new("count_unit", Rule::Unknown))
        );
        assert_eq!(catalogue.list(List::CountUnits).len(), 6);
    }

    #[test]
    fn a_catalogue_whose_parts_do_not_fit_is_refused() {
        let broken = |change: fn(&mut Catalogue)| {
            let mut catalogue = Catalogue::placeholder().clone();
            change(&mut catalogue);
            let json = serde_json::to_string(&catalogue).expect("json");
            Catalogue::parse(&json)
                .map_err(|invalid| (invalid.field, invalid.rule))
                .err()
        };
        let at = |field: &str, rule| Some((field.to_owned(), rule));
        assert_eq!(broken(|_| ()), None);
        assert_eq!(
            broken(|c| c.criteria.swap(0, 1)),
            at("criterion.1", Rule::OutOfOrder)
        );
        assert_eq!(
            broken(|c| c.criteria[2].group = 'E'),
            at("criterion.3", Rule::Unknown)
        );
        assert_eq!(
            broken(|c| c.criteria[2].provenance.clear()),
            at("criterion.3", Rule::Required)
        );
        assert_eq!(
            broken(|c| c.forces[1].code = c.forces[0].code.clone()),
            at("force.ward-police", Rule::Already)
        );
        assert_eq!(
            broken(|c| c.forces[0].code = "Ward".into()),
            at("force.Ward", Rule::Malformed)
        );
        assert_eq!(
            broken(|c| c.vehicles[0].provenance.clear()),
            at("vehicle.motorbike", Rule::Required)
        );
        assert_eq!(
            broken(|c| c.criteria.truncate(19)),
            at("group.D", Rule::Empty)
        );
        assert_eq!(
            broken(|c| c.categories.clear()),
            at("category", Rule::Empty)
        );
    }

    #[test]
    fn what_is_not_a_catalogue_is_refused() {
        let rule = |json: &str| Catalogue::parse(json).map_err(|invalid| invalid.rule).err();
        assert_eq!(rule("{}"), Some(Rule::Unreadable));
        assert_eq!(rule(&" ".repeat(MAX_BYTES + 1)), Some(Rule::TooLarge));
    }
}
