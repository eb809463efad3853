//! What the server says when it cannot: the body of `application/problem+json` (RFC 9457), shared by server and phone.
//!
//! `type` ends in a stable word; both sides act on the word, never on the title.

use crate::invalid::Invalid;
use serde::{Deserialize, Serialize};

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The body of a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:kieumau:problem:WORD`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short English sentence for who reads logs.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The rule that was broken and where, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid: Option<Invalid>,
    /// An id to quote; the log has the same.
    pub instance: String,
    /// The server's time, Unix milliseconds: a phone with a wrong clock counts from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_time_ms: Option<i64>,
    /// With `clock-skew`: to be repeated in the assertion that is signed for `server_time_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

impl Problem {
    const PREFIX: &str = "urn:kieumau:problem:";

    /// The type for a stable word.
    #[must_use]
    pub fn kind(word: &str) -> String {
        format!("{}{word}", Self::PREFIX)
    }

    /// The stable word of the type; empty for a type that is not ours.
    #[must_use]
    pub fn word(&self) -> &str {
        self.kind.strip_prefix(Self::PREFIX).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_survives_the_wire() {
        let problem = Problem {
            kind: Problem::kind("phone-revoked"),
            title: "This phone was revoked.".to_owned(),
            status: 403,
            invalid: None,
            instance: "1".to_owned(),
            server_time_ms: None,
            nonce: None,
        };
        let json = serde_json::to_string(&problem).expect("a problem is JSON");
        let back: Problem = serde_json::from_str(&json).expect("its own JSON");
        assert_eq!(back.word(), "phone-revoked");
    }
}
