//! A document as it was: its rows at other heads than its own. A chief whose form came too late is told what changed since hers.

use super::{
    Bytes,
    job::{load, parse},
};
use crate::projection;
use kieumau_core::{document::Key, hash::Sha256};
use minicbor::{Decode, Encode};

/// A document to be looked at as it was.
#[derive(Clone, Encode, Decode)]
pub struct PastJob {
    /// The key as JSON.
    #[n(0)]
    pub key: String,
    /// Its changes, all of which passed.
    #[n(1)]
    pub held: Vec<Bytes>,
    /// When: each the heads that it had then.
    #[n(2)]
    pub heads: Vec<Vec<Sha256>>,
}

/// Its rows at each of these heads, as JSON.
///
/// # Errors
/// A stable word: `lacks-those-heads` for heads that it never had.
pub(super) fn rows(job: &PastJob) -> Result<Vec<String>, String> {
    let key: Key = parse(&job.key)?;
    let document = load(&key, &job.held)?;
    let at = |heads: &Vec<Sha256>| {
        let heads: Vec<_> = heads.iter().map(|head| (*head).into()).collect();
        let then = document
            .fork_at(&heads)
            .map_err(|_| "lacks-those-heads".to_owned())?;
        let rows = projection::project(&key, &then).map_err(|_| "not-its-kind".to_owned())?;
        serde_json::to_string(&rows).map_err(|error| error.to_string())
    };
    job.heads.iter().map(at).collect()
}
