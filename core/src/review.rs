//! A review: what supervisors decided about one document, each decision about *certain heads*. Decisions are only ever added;
//! undo is a decision too. Whether a document "needs review again" is derived by comparing heads, never stored.

use crate::{
    document::{Kind, Record},
    hash::Sha256,
    id::{DecisionId, PersonId},
    invalid::{self, Invalid, Rule},
    stamp::Stamp,
};
use autosurgeon::{Hydrate, Reconcile};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// Characters in a remark (ý kiến).
pub const REMARK_LIMIT: usize = 2_000;

/// What can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Duyệt.
    Approved,
    /// Trả lại.
    Returned,
    /// The decision named in `withdraws` is taken back.
    Withdrawn,
}

impl Verdict {
    /// The stable word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Returned => "returned",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Verdict {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        [Self::Approved, Self::Returned, Self::Withdrawn]
            .into_iter()
            .find(|verdict| verdict.word() == word)
            .ok_or_else(|| Invalid::new("decision", Rule::Unknown))
    }
}

/// The content of a review.
#[derive(Clone, Debug, Default, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct Review {
    /// Every decision, in the order of time.
    #[autosurgeon(with = "autosurgeon::map_with_parseable_keys")]
    pub decisions: BTreeMap<DecisionId, Decision>,
}

impl Record for Review {
    const KIND: Kind = Kind::Review;
}

/// One decision.
#[derive(Clone, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct Decision {
    /// A [`Verdict`]'s word.
    pub verdict: String,
    /// The heads that were seen: sorted hashes, space-separated.
    pub heads: String,
    /// The field the remark is about.
    #[autosurgeon(missing = "Option::default")]
    pub field: Option<String>,
    /// What the author should know or do.
    #[autosurgeon(missing = "Option::default")]
    pub remark: Option<String>,
    /// Who decided.
    pub by: PersonId,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The decision that this one takes back.
    #[autosurgeon(missing = "Option::default")]
    pub withdraws: Option<DecisionId>,
}

/// What deciding takes.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct NewDecision {
    /// Approved, or returned.
    pub verdict: Verdict,
    /// The heads that were seen.
    pub heads: Vec<Sha256>,
    /// The field the remark is about.
    pub field: Option<String>,
    /// What the author should know or do; needed to return.
    pub remark: Option<String>,
    /// The decision to take back, for a withdrawal.
    pub withdraws: Option<DecisionId>,
}

crate::unprinted!(Decision, NewDecision);

/// Hashes as rows and reviews hold them: sorted, space-separated.
#[must_use]
pub fn heads_text(heads: &[Sha256]) -> String {
    let mut heads: Vec<String> = heads.iter().map(Sha256::to_string).collect();
    heads.sort_unstable();
    heads.join(" ")
}

impl Review {
    /// Writes one decision.
    ///
    /// # Errors
    /// `Required` for a return without a remark or a decision without heads; `Unknown` for a withdrawal of nothing, or of
    /// another person's decision; `Already` for one that is withdrawn, or for the decision that stands, sent twice.
    pub fn decide(&mut self, stamp: Stamp, new: &NewDecision) -> Result<DecisionId, Invalid> {
        let remark = new.remark.as_deref().unwrap_or_default();
        invalid::text("remark", remark, REMARK_LIMIT)?;
        invalid::text("field", new.field.as_deref().unwrap_or_default(), 100)?;
        if new.heads.is_empty() {
            return Err(Invalid::new("heads", Rule::Required));
        }
        match new.verdict {
            Verdict::Returned if remark.trim().is_empty() => {
                return Err(Invalid::new("remark", Rule::Required));
            }
            Verdict::Withdrawn => self.may_withdraw(stamp.by, new.withdraws)?,
            Verdict::Approved | Verdict::Returned => {}
        }
        let id = DecisionId::fresh(stamp.at_ms, stamp.random);
        let decision = Decision {
            verdict: new.verdict.word().to_owned(),
            heads: heads_text(&new.heads),
            field: new.field.clone().filter(|field| !field.is_empty()),
            remark: Some(remark.to_owned()).filter(|remark| !remark.is_empty()),
            by: stamp.by,
            at_ms: stamp.at_ms,
            withdraws: new.withdraws,
        };
        let repeats = |stands: &Decision| {
            let at_ms = decision.at_ms;
            Decision {
                at_ms,
                ..stands.clone()
            } == decision
        };
        if self.standing().is_some_and(|(_, stands)| repeats(stands)) {
            return Err(Invalid::new("decision", Rule::Already));
        }
        self.decisions.insert(id, decision);
        Ok(id)
    }

    fn may_withdraw(&self, by: PersonId, withdraws: Option<DecisionId>) -> Result<(), Invalid> {
        let id = withdraws.ok_or_else(|| Invalid::new("withdraws", Rule::Required))?;
        match self.decisions.get(&id) {
            Some(decision) if decision.by == by && decision.withdraws.is_none() => {}
            _ => return Err(Invalid::new("withdraws", Rule::Unknown)),
        }
        if self.withdrawn(id) {
            Err(Invalid::new("withdraws", Rule::Already))
        } else {
            Ok(())
        }
    }

    fn withdrawn(&self, id: DecisionId) -> bool {
        self.decisions
            .values()
            .any(|decision| decision.withdraws == Some(id))
    }

    /// The decision that stands: the latest that is neither withdrawn nor a withdrawal.
    #[must_use]
    pub fn standing(&self) -> Option<(DecisionId, &Decision)> {
        self.decisions
            .iter()
            .rev()
            .find(|(id, decision)| decision.withdraws.is_none() && !self.withdrawn(**id))
            .map(|(id, decision)| (*id, decision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHI: PersonId = PersonId::from_bytes([4; 16]);

    fn stamp(at_ms: i64) -> Stamp {
        Stamp {
            by: CHI,
            at_ms,
            random: [0; 10],
        }
    }

    fn new(verdict: Verdict, remark: &str) -> NewDecision {
        let remark = Some(remark.to_owned());
        NewDecision {
            verdict,
            heads: vec![Sha256::of(b"seen")],
            field: None,
            remark,
            withdraws: None,
        }
    }

    #[test]
    fn a_return_says_why() {
        let mut review = Review::default();
        let silent = review.decide(stamp(1), &new(Verdict::Returned, " "));
        assert_eq!(silent, Err(Invalid::new("remark", Rule::Required)));
        assert!(
            review
                .decide(stamp(1), &new(Verdict::Returned, "Thiếu ảnh"))
                .is_ok()
        );
    }

    #[test]
    fn a_withdrawal_brings_the_decision_before_it_back() {
        let mut review = Review::default();
        let first = review
            .decide(stamp(1), &new(Verdict::Approved, ""))
            .expect("approved");
        let second = review
            .decide(stamp(2), &new(Verdict::Returned, "Thiếu ảnh"))
            .expect("returned");
        let undo = NewDecision {
            withdraws: Some(second),
            ..new(Verdict::Withdrawn, "")
        };
        review.decide(stamp(3), &undo).expect("withdrawn");
        assert_eq!(review.standing().map(|(id, _)| id), Some(first));
        assert_eq!(
            review.decide(stamp(4), &undo),
            Err(Invalid::new("withdraws", Rule::Already))
        );
    }

    #[test]
    fn a_form_sent_twice_is_one_decision() {
        let mut review = Review::default();
        let returned = new(Verdict::Returned, "Thiếu ảnh");
        review.decide(stamp(1), &returned).expect("returned");
        assert_eq!(
            review.decide(stamp(2), &returned),
            Err(Invalid::new("decision", Rule::Already))
        );
        // Another remark, or what came since, is another decision.
        assert!(
            review
                .decide(stamp(3), &new(Verdict::Returned, "Thiếu chữ ký"))
                .is_ok()
        );
        let later = NewDecision {
            heads: vec![Sha256::of(b"written since")],
            ..new(Verdict::Returned, "Thiếu chữ ký")
        };
        assert!(review.decide(stamp(4), &later).is_ok());
    }

    #[test]
    fn nobody_withdraws_anothers_decision() {
        let mut review = Review::default();
        let id = review
            .decide(stamp(1), &new(Verdict::Approved, ""))
            .expect("approved");
        let undo = NewDecision {
            withdraws: Some(id),
            ..new(Verdict::Withdrawn, "")
        };
        let other = Stamp {
            by: PersonId::from_bytes([9; 16]),
            ..stamp(2)
        };
        assert_eq!(
            review.decide(other, &undo),
            Err(Invalid::new("withdraws", Rule::Unknown))
        );
    }
}
