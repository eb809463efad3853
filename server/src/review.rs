//! Decisions of supervisors about a document.

use crate::{
    app::App,
    problem::{Answer, Problem},
    session::SignedIn,
};
use kieumau_core::{
    hash::Sha256,
    id::{DecisionId, DocumentId},
};

/// What a supervisor decided.
#[derive(Clone, Debug)]
pub struct NewDecision {
    /// `approved` or `returned`.
    pub decision: &'static str,
    /// The heads that were seen.
    pub seen_heads: Vec<Sha256>,
    /// Where the remark belongs.
    pub field: Option<String>,
    /// What is to be mended.
    pub remark: Option<String>,
}

/// Writes a decision.
///
/// # Errors
/// 503.
pub async fn decide(_: &App, _: &SignedIn, _: DocumentId, _: NewDecision) -> Answer<()> {
    Err(Problem::busy(60))
}

/// Takes a decision back.
///
/// # Errors
/// 503.
pub async fn withdraw(_: &App, _: &SignedIn, _: DocumentId, _: DecisionId) -> Answer<()> {
    Err(Problem::busy(60))
}
