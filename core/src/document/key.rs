//! What names a document: its kind, the unit it belongs to, and a natural key. The id is derived from these three.
//!
//! Derived for every kind, so that two phones that start "the same" evidence file offline start the same document, and so
//! that the server can recompute the id and needs no exception. Where people cannot meet on a natural key (a patrol that
//! nobody planned) the key is a fresh UUIDv7, and colleagues join by the QR that carries it.

use crate::{
    criterion::CriterionNumber,
    id::{DocumentId, UnitId},
    invalid::{Invalid, Rule},
    period::Period,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// What a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One patrol: one shift of one team.
    PatrolLog,
    /// The evidence of a unit for one criterion in one period.
    EvidenceFile,
    /// What supervisors decided about one document.
    Review,
    /// What the server publishes to a unit's phones: catalogue, people, units, checkpoints.
    Reference,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::PatrolLog, Self::EvidenceFile, Self::Review, Self::Reference];

    /// The stable word, on the wire, in seals and in rows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::PatrolLog => "patrol-log",
            Self::EvidenceFile => "evidence-file",
            Self::Review => "review",
            Self::Reference => "reference",
        }
    }

    /// Whether phones may write documents of this kind; the others are the server's.
    #[must_use]
    pub const fn written_by_phones(self) -> bool {
        matches!(self, Self::PatrolLog | Self::EvidenceFile)
    }

    /// The namespace of this kind's ids: random once, and never changed.
    const fn namespace(self) -> Uuid {
        Uuid::from_u128(match self {
            Self::PatrolLog => 0x6f0d_3f6c_9a51_4f0e_8c53_0b6a_5f1e_7d01,
            Self::EvidenceFile => 0xd3b1_94aa_2c7e_4c55_93d8_71ce_0a64_7d02,
            Self::Review => 0x1a8c_57f0_6be2_4a9d_b7c4_e95d_32f8_7d03,
            Self::Reference => 0x84e6_20bd_f13a_4d88_a06f_5c17_8be9_7d04,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Kind {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| Invalid::new("kind", Rule::Unknown))
    }
}

/// Names one document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// What it is about.
    pub kind: Kind,
    /// The unit it belongs to, for ever.
    pub unit: UnitId,
    /// The natural key, in the one spelling of its kind.
    pub name: String,
}

impl Key {
    /// A patrol that no plan foresaw. `fresh` is a UUIDv7.
    #[must_use]
    pub fn patrol(unit: UnitId, fresh: Uuid) -> Self {
        Self { kind: Kind::PatrolLog, unit, name: fresh.as_hyphenated().to_string() }
    }

    /// The evidence for one criterion in one period.
    #[must_use]
    pub fn evidence(unit: UnitId, criterion: CriterionNumber, period: &Period) -> Self {
        Self { kind: Kind::EvidenceFile, unit, name: format!("{criterion}/{period}") }
    }

    /// The decisions about `reviewed`.
    #[must_use]
    pub fn review(unit: UnitId, reviewed: DocumentId) -> Self {
        Self { kind: Kind::Review, unit, name: reviewed.to_string() }
    }

    /// What the server publishes to `unit`.
    #[must_use]
    pub fn reference(unit: UnitId) -> Self {
        Self { kind: Kind::Reference, unit, name: "reference".to_owned() }
    }

    /// A key as it came from outside.
    ///
    /// # Errors
    /// `Malformed` at `key` when `name` is not in the spelling of its kind.
    pub fn parse(kind: Kind, unit: UnitId, name: &str) -> Result<Self, Invalid> {
        let key = Self { kind, unit, name: name.to_owned() };
        let well_formed = match kind {
            Kind::PatrolLog => {
                Uuid::try_parse(name).is_ok_and(|id| id.get_version_num() == 7 && Self::patrol(unit, id) == key)
            }
            Kind::EvidenceFile => key.evidence_of().is_some_and(|(c, period)| Self::evidence(unit, c, &period) == key),
            Kind::Review => name.parse::<DocumentId>().is_ok(),
            Kind::Reference => key == Self::reference(unit),
        };
        if well_formed { Ok(key) } else { Err(Invalid::new("key", Rule::Malformed)) }
    }

    /// The criterion and period of an evidence file; none for another kind.
    #[must_use]
    pub fn evidence_of(&self) -> Option<(CriterionNumber, Period)> {
        let (criterion, period) = self.name.split_once('/').filter(|_| self.kind == Kind::EvidenceFile)?;
        Some((criterion.parse().ok()?, period.parse().ok()?))
    }

    /// The document whose decisions a review holds; none for another kind.
    #[must_use]
    pub fn reviewed(&self) -> Option<DocumentId> {
        self.name.parse().ok().filter(|_| self.kind == Kind::Review)
    }

    /// UUIDv5 of unit and name in the kind's namespace.
    #[must_use]
    pub fn document(&self) -> DocumentId {
        let mut name = self.unit.as_bytes().to_vec();
        name.extend_from_slice(self.name.as_bytes());
        Uuid::new_v5(&self.kind.namespace(), &name).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: UnitId = UnitId::from_bytes([1; 16]);

    #[test]
    fn two_phones_that_name_the_same_evidence_name_the_same_document() {
        let period: Period = "2025-11-16..2026-11-15".parse().expect("a period");
        let key = Key::evidence(UNIT, CriterionNumber::new(20).expect("a number"), &period);
        assert_eq!(Key::parse(Kind::EvidenceFile, UNIT, &key.name), Ok(key.clone()));
        assert_eq!(key.document().to_string(), key.clone().document().to_string());
        let other = Key::evidence(UnitId::from_bytes([2; 16]), CriterionNumber::new(20).expect("a number"), &period);
        assert_ne!(key.document(), other.document());
    }

    #[test]
    fn a_name_in_a_second_spelling_is_refused() {
        for (kind, name) in [
            (Kind::EvidenceFile, "020/2025-11-16..2026-11-15"),
            (Kind::EvidenceFile, "20/2025-11-16..2026-11-15/"),
            (Kind::PatrolLog, "01930000-0000-7000-8000-00000000000A"),
            (Kind::PatrolLog, "d3b194aa-2c7e-4c55-93d8-71ce0a647d02"),
            (Kind::Reference, "Reference"),
            (Kind::Review, "1"),
        ] {
            assert_eq!(Key::parse(kind, UNIT, name), Err(Invalid::new("key", Rule::Malformed)), "{kind} {name}");
        }
    }
}
