//! How a document stands with the supervisors, as lists and pages say it, and the SQL that finds the decision that counts.
//!
//! *Review again* is never stored: it is other heads than those decided about, so nothing can forget to set or clear it.

/// Joins as `d` the decision that stands about a document: the latest that was not taken back.
macro_rules! current_decision {
    ($reviewed:literal) => {
        concat!(
            "left join decision d on d.reviewed_id = ",
            $reviewed,
            " and d.decision <> 'withdrawn' \
              and not exists (select 1 from decision undo where undo.reviewed_id = d.reviewed_id \
                  and undo.withdraws = d.decision_id) \
              and not exists (select 1 from decision later where later.reviewed_id = d.reviewed_id \
                  and later.decision <> 'withdrawn' \
                  and (later.at_ms > d.at_ms or (later.at_ms = d.at_ms and later.decision_id > d.decision_id)) \
                  and not exists (select 1 from decision undo where undo.reviewed_id = later.reviewed_id \
                      and undo.withdraws = later.decision_id)) "
        )
    };
}
pub(super) use current_decision;

/// How a document stands with the supervisors. *Again* is never stored: it is other heads than those decided about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody decided yet.
    Unreviewed,
    /// Approved as it is now.
    Approved,
    /// Returned as it is now.
    Returned,
    /// Decided about, and changed since.
    Again,
}

impl Standing {
    /// From the decision that stands, and whether the document is still as it was then.
    pub fn of(decision: Option<&str>, same: bool) -> Self {
        match (decision, same) {
            (None, _) => Self::Unreviewed,
            (Some(_), false) => Self::Again,
            (Some("approved"), true) => Self::Approved,
            (Some(_), true) => Self::Returned,
        }
    }

    /// Its colour's class.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Unreviewed | Self::Again => "waiting",
            Self::Approved => "approved",
            Self::Returned => "returned",
        }
    }

    /// Its icon.
    pub const fn icon(&self) -> &'static str {
        match self {
            Self::Unreviewed => "clock",
            Self::Again => "rotate-ccw",
            Self::Approved => "check-check",
            Self::Returned => "undo-2",
        }
    }

    /// Its stable word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unreviewed => "unreviewed",
            Self::Again => "again",
            Self::Approved => "approved",
            Self::Returned => "returned",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_since_its_decision_needs_review_again() {
        assert_eq!(Standing::of(Some("approved"), false), Standing::Again);
        assert_eq!(Standing::of(Some("returned"), false), Standing::Again);
        assert_eq!(Standing::of(Some("approved"), true), Standing::Approved);
        assert_eq!(Standing::of(None, false), Standing::Unreviewed);
    }
}
