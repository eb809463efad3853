//! People of the force and what their role lets them do. Citizens have no place here.

use crate::invalid::{Invalid, Rule};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Characters in a person's or a unit's name.
pub const NAME_LIMIT: usize = 100;

/// What a person is here to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Cán bộ: records on a phone.
    Officer,
    /// Chỉ huy Công an phường: all of the unit.
    Chief,
    /// Cán bộ thẩm định cấp tỉnh: reads submitted dossiers.
    Appraiser,
    /// Quản trị: people, units, phones; never content.
    Admin,
    /// Thanh tra: audit and proofs; changes nothing.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [
        Self::Officer,
        Self::Chief,
        Self::Appraiser,
        Self::Admin,
        Self::Auditor,
    ];

    /// The stable word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Officer => "officer",
            Self::Chief => "chief",
            Self::Appraiser => "appraiser",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }

    /// May read every document of the own unit.
    #[must_use]
    pub const fn reads_the_unit(self) -> bool {
        matches!(self, Self::Chief)
    }

    /// May approve and return.
    #[must_use]
    pub const fn reviews(self) -> bool {
        matches!(self, Self::Chief)
    }

    /// May issue enrolment codes and revoke phones: a chief in the own unit, an admin everywhere.
    #[must_use]
    pub const fn manages_phones(self) -> bool {
        matches!(self, Self::Chief | Self::Admin)
    }

    /// May have a phone that records.
    #[must_use]
    pub const fn records(self) -> bool {
        matches!(self, Self::Officer | Self::Chief)
    }

    /// May read the audit table: an auditor everywhere, a chief in the own unit.
    #[must_use]
    pub const fn reads_audit(self) -> bool {
        matches!(self, Self::Chief | Self::Auditor)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Role {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|role| role.word() == word)
            .ok_or_else(|| Invalid::new("role", Rule::Unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_never_reads_content() {
        assert!(!Role::Admin.reads_the_unit() && !Role::Admin.reviews());
    }

    #[test]
    fn a_role_is_its_word() {
        for role in Role::ALL {
            assert_eq!(role.word().parse(), Ok(role));
        }
    }
}
