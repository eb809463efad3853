//! A criterion (tiêu chí) as data: its number, its group, what is measured and what proves it.
//!
//! Which criteria there are is in `catalogue`; how a ward stands on one is an assessment. Here is what a criterion *is*,
//! and the five words for how one stands. One decision: a criterion has a list of measures, because the public texts
//! already name some with two or three (accidents, deaths, injured), and all of them must hold.

use crate::invalid::{Invalid, Rule};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A criterion's number in its catalogue: 1 to 99.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct CriterionNumber(u8);

impl CriterionNumber {
    /// This number.
    ///
    /// # Errors
    /// At `criterion`: `Unknown` outside 1 to 99. Whether a catalogue has it is the catalogue's to say.
    pub fn new(number: u8) -> Result<Self, Invalid> {
        if (1..=99).contains(&number) {
            Ok(Self(number))
        } else {
            Err(Invalid::new("criterion", Rule::Unknown))
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for CriterionNumber {
    type Error = Invalid;

    fn try_from(number: u8) -> Result<Self, Invalid> {
        Self::new(number)
    }
}

impl From<CriterionNumber> for u8 {
    fn from(number: CriterionNumber) -> Self {
        number.0
    }
}

impl fmt::Display for CriterionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CriterionNumber {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let malformed = || Invalid::new("criterion", Rule::Malformed);
        let number = Self::new(text.parse().map_err(|_| malformed())?)?;
        // "07" and "+7" would be a second key of the same criterion.
        if number.to_string() == text {
            Ok(number)
        } else {
            Err(malformed())
        }
    }
}

/// How a ward stands on a criterion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Chưa đạt.
    Unmet,
    /// Đạt.
    Met,
    /// Vượt.
    Exceeded,
    /// Chưa có dữ liệu.
    NoData,
    /// Không áp dụng.
    NotApplicable,
}

impl State {
    /// Every state, in the order in which screens offer them.
    pub const ALL: [Self; 5] = [
        Self::Unmet,
        Self::Met,
        Self::Exceeded,
        Self::NoData,
        Self::NotApplicable,
    ];

    /// The stable word: in documents, rows and addresses.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unmet => "unmet",
            Self::Met => "met",
            Self::Exceeded => "exceeded",
            Self::NoData => "no_data",
            Self::NotApplicable => "not_applicable",
        }
    }

    /// Whether it counts in *n/22*.
    #[must_use]
    pub const fn is_reached(self) -> bool {
        matches!(self, Self::Met | Self::Exceeded)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for State {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|state| state.word() == text);
        found.ok_or_else(|| Invalid::new("state", Rule::Unknown))
    }
}

/// Something that is counted, ticked or asserted. Its code is the key under which figures are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// ASCII, in kebab-case.
    pub code: String,
    /// For screens.
    pub title_vi: String,
    /// For screens, our translation.
    pub title_en: String,
}

/// Where a measure's numbers come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Entered by the ward, month by month.
    #[default]
    Figures,
    /// Counted by the server from the patrol logs; nobody types it.
    PatrolLogs,
}

/// One thing that is measured, and when it is met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Measure {
    /// Must be 0.
    Zero {
        /// What must not happen.
        of: Subject,
    },
    /// Must be at least so many.
    Count {
        /// What is counted.
        of: Subject,
        /// Met from here on.
        at_least: u32,
    },
    /// A share, in whole percent.
    Percent {
        /// Of what.
        of: Subject,
        /// Met from here on, 1 to 100.
        at_least: u8,
        /// Who counts it.
        #[serde(default)]
        origin: Origin,
    },
    /// Must be below the same period last year (cùng kỳ). With a baseline of zero the change is not defined.
    Yoy {
        /// What has to fall.
        of: Subject,
    },
    /// Every item must be done.
    Checklist {
        /// The items.
        items: Vec<Subject>,
        /// By this day of the period, `MM-DD`; none = by its end.
        #[serde(default)]
        by: Option<String>,
    },
    /// Another body decides; its decision is filed.
    External {
        /// What it decides about.
        of: Subject,
    },
    /// The ward declares it, with the number of a document.
    YesNo {
        /// What is declared.
        of: Subject,
    },
}

impl Measure {
    /// What it measures: one subject, or a checklist's items.
    #[must_use]
    pub fn subjects(&self) -> &[Subject] {
        match self {
            Self::Zero { of }
            | Self::Count { of, .. }
            | Self::Percent { of, .. }
            | Self::Yoy { of }
            | Self::External { of }
            | Self::YesNo { of } => std::slice::from_ref(of),
            Self::Checklist { items, .. } => items,
        }
    }
}

/// A kind of evidence that a criterion needs, and who says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequiredEvidence {
    /// Code of an evidence kind of the same catalogue.
    pub kind: String,
    /// Who says that it is needed: `ours`, until the official catalogue says it.
    pub provenance: Vec<String>,
}

/// One criterion of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// Its number.
    pub number: CriterionNumber,
    /// The letter of its group.
    pub group: char,
    /// For screens.
    pub title_vi: String,
    /// For screens, our translation.
    pub title_en: String,
    /// What is measured; all must hold. Never empty.
    pub measures: Vec<Measure>,
    /// What must be on file, at the least.
    pub evidence: Vec<RequiredEvidence>,
    /// Where it comes from: `seed`, `news`, `ours`, or a law. Never empty.
    pub provenance: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_the_same_word_in_json_and_in_text() {
        for state in State::ALL {
            let json = serde_json::to_string(&state).expect("a word");
            assert_eq!(json, format!("\"{state}\""));
            assert_eq!(state.word().parse(), Ok(state));
        }
        assert!("Met".parse::<State>().is_err());
    }

    #[test]
    fn only_met_and_exceeded_count_in_n_of_22() {
        let reached: Vec<_> = State::ALL
            .into_iter()
            .filter(|state| state.is_reached())
            .collect();
        assert_eq!(reached, [State::Met, State::Exceeded]);
    }

    #[test]
    fn a_criterion_number_has_one_spelling() {
        assert_eq!(
            "7".parse::<CriterionNumber>().map(CriterionNumber::get),
            Ok(7)
        );
        for text in ["07", "+7", "0", "100", "", "7 "] {
            assert!(text.parse::<CriterionNumber>().is_err(), "{text}");
        }
        assert!(serde_json::from_str::<CriterionNumber>("0").is_err());
    }
}
