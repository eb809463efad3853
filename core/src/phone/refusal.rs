//! What an answer that is no success means to a phone: the server's stable word becomes one of the six things an app can act on.
//!
//! A pure table. What heals by itself is `Offline`; what the phone's person must do something about says what by its word. A word
//! this build does not know is never taken for a sign-out: it is ours to mend, and nothing on the phone changes by it.

use super::error::{PhoneError, Unreached};
use crate::{
    invalid::{Invalid, Rule},
    problem::Problem,
};

/// An answer that is no success.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) status: u16,
    /// Whether it was said as a problem of ours; the answer to a HEAD says so and has no body.
    pub(super) is_ours: bool,
    /// The problem.
    pub(super) problem: Option<Problem>,
    /// `Retry-After`, seconds.
    pub(super) retry_after_s: Option<u32>,
}

impl From<Refusal> for PhoneError {
    fn from(refusal: Refusal) -> Self {
        let Refusal {
            status,
            is_ours,
            problem,
            retry_after_s,
        } = refusal;
        let offline = |why| Self::Offline { retry_after_s, why };
        if let Some(invalid) = problem.as_ref().and_then(|problem| problem.invalid.clone()) {
            return invalid.into();
        }
        // Locked: an earlier request of this phone, broken off here, is still being read there.
        match (status, problem.as_ref().map(Problem::word)) {
            (503 | 429 | 423, _) => offline(Unreached::Busy),
            (507, _) => offline(Unreached::ServerFull),
            (_, Some(word)) if !word.is_empty() => said(word, status, offline),
            (401, None) if is_ours => signed_out("token-refused"),
            (403 | 404, None) if is_ours => Self::NotFound,
            (500.., _) if is_ours => offline(Unreached::Busy),
            _ => offline(Unreached::NotOurs),
        }
    }
}

/// What a stable word means.
fn said(word: &str, status: u16, offline: impl Fn(Unreached) -> PhoneError) -> PhoneError {
    let invalid = |field: &str, rule| Invalid::new(field, rule).into();
    match word {
        "not-found" | "upload-expired" => PhoneError::NotFound,
        // The bytes changed on the way, or another request was faster: the same step begins where the server is.
        "checksum-mismatch" | "wrong-offset" | "changed-meanwhile" => offline(Unreached::NoAnswer),
        "too-large" => invalid("file", Rule::TooLarge),
        "wrong-kind" => invalid("file", Rule::WrongKind),
        "not-a-rescue-file" => invalid("rescue", Rule::WrongKind),
        "rescue-damaged" | "rescue-malformed" | "file-incomplete" => {
            invalid("rescue", Rule::Unreadable)
        }
        "rescue-version" => invalid("rescue.version", Rule::Unknown),
        "rescue-another-server" => invalid("rescue.server", Rule::Unknown),
        "rescue-unknown-phone" => invalid("rescue.phone", Rule::Unknown),
        // Not let in: who may, whose phone, by which code, with which version.
        word if matches!(status, 401 | 403 | 426) || word.starts_with("code-") => signed_out(word),
        _ if status >= 500 => offline(Unreached::Busy),
        word => PhoneError::internal(format!("the server refuses: {word}")),
    }
}

pub(super) fn signed_out(word: &str) -> PhoneError {
    PhoneError::SignedOut {
        word: word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, word: &str) -> String {
        let problem = Problem {
            kind: Problem::kind(word),
            title: String::new(),
            status,
            invalid: None,
            instance: String::new(),
            server_time_ms: None,
            nonce: None,
        };
        shown(Refusal {
            status,
            is_ours: true,
            problem: Some(problem),
            retry_after_s: None,
        })
    }

    fn shown(refusal: Refusal) -> String {
        match PhoneError::from(refusal) {
            PhoneError::Offline { why, .. } => format!("offline {why:?}"),
            PhoneError::SignedOut { word } => format!("signed out {word}"),
            PhoneError::Invalid(invalid) => format!("invalid {invalid}"),
            PhoneError::NotFound => "not found".to_owned(),
            PhoneError::StorageFull => "storage full".to_owned(),
            PhoneError::Internal { detail } => format!("internal {detail}"),
        }
    }

    fn without_words(status: u16, is_ours: bool) -> String {
        shown(Refusal {
            status,
            is_ours,
            problem: None,
            retry_after_s: None,
        })
    }

    #[test]
    fn every_word_means_one_of_the_six() {
        let table = [
            (401, "token-expired", "signed out token-expired"),
            (401, "clock-skew", "signed out clock-skew"),
            (403, "phone-revoked", "signed out phone-revoked"),
            (403, "person-disabled", "signed out person-disabled"),
            (404, "code-unknown", "signed out code-unknown"),
            (409, "code-used", "signed out code-used"),
            (410, "code-expired", "signed out code-expired"),
            (426, "upgrade-needed", "signed out upgrade-needed"),
            (426, "server-older", "signed out server-older"),
            (404, "not-found", "not found"),
            (410, "upload-expired", "not found"),
            (409, "wrong-offset", "offline NoAnswer"),
            (460, "checksum-mismatch", "offline NoAnswer"),
            (503, "busy", "offline Busy"),
            (429, "too-many-attempts", "offline Busy"),
            (507, "storage-full", "offline ServerFull"),
            (500, "internal", "offline Busy"),
            (413, "too-large", "invalid file: too-large"),
            (415, "wrong-kind", "invalid file: wrong-kind"),
            (422, "rescue-damaged", "invalid rescue: unreadable"),
            (
                422,
                "rescue-another-server",
                "invalid rescue.server: unknown",
            ),
            (400, "malformed", "internal the server refuses: malformed"),
            (
                418,
                "a-later-word",
                "internal the server refuses: a-later-word",
            ),
        ];
        for (status, word, meaning) in table {
            assert_eq!(told(status, word), meaning, "{status} {word}");
        }
    }

    #[test]
    fn what_is_not_our_servers_signs_nobody_out() {
        for status in [302, 400, 401, 403, 404, 410, 502] {
            assert_eq!(without_words(status, false), "offline NotOurs", "{status}");
        }
        // The answer to a HEAD is ours and wordless.
        assert_eq!(without_words(401, true), "signed out token-refused");
        assert_eq!(without_words(404, true), "not found");
    }
}
