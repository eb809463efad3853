//! How an enrolled phone signs in: an assertion signed by its key (RFC 7523) for an access token of ten minutes.
//!
//! There is no refresh token to lose: the key asks again. A phone counts `expires_in` from the answer and compares no
//! times, so that it gets in whatever its clock says.

use crate::id::PhoneId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Path of the token: a form with `grant_type` and `assertion` is answered with [`AccessToken`].
pub const TOKEN: &str = "/v1/token";
/// The grant type of RFC 7523.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The `typ` of a phone's assertion.
pub const ASSERTION_TYP: &str = "kieumau-assertion+jwt";
/// The `aud` of assertions and access tokens.
pub const AUDIENCE: &str = "kieumau";
/// How long an assertion may be valid, seconds.
pub const ASSERTION_LASTS_S: i64 = 300;

/// The claims of a phone's assertion (RFC 7523), times in Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assertion {
    /// The phone.
    pub iss: String,
    /// The phone.
    pub sub: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// When it was made.
    pub iat: i64,
    /// When it ends, at most [`ASSERTION_LASTS_S`] later.
    pub exp: i64,
    /// Drawn at random; the server takes each once.
    pub jti: String,
    /// The server's nonce, in an assertion that is made for a time that the server told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

impl Assertion {
    /// An assertion of `phone` made at `now_s` with the random number `jti`.
    #[must_use]
    pub fn new(phone: PhoneId, now_s: i64, jti: [u8; 16]) -> Self {
        Self {
            iss: phone.to_string(),
            sub: phone.to_string(),
            aud: AUDIENCE.to_owned(),
            iat: now_s,
            exp: now_s.saturating_add(ASSERTION_LASTS_S),
            jti: hex::encode(jti),
            nonce: None,
        }
    }
}

/// The server's answer to an assertion.
#[derive(Clone, Serialize, Deserialize)]
pub struct AccessToken {
    /// For `Authorization: Bearer …`.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds from now until it ends; counted, not compared with a clock.
    pub expires_in: i64,
    /// The server's time, Unix milliseconds.
    pub server_time_ms: i64,
    /// Which TLS keys to trust from now on ([`crate::pin::Announced`] as a token); none from a server without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pins: Option<String>,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessToken(…, {} s)", self.expires_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_printed() {
        let token = AccessToken {
            access_token: "secret".to_owned(),
            token_type: "Bearer".to_owned(),
            expires_in: 600,
            server_time_ms: 0,
            pins: None,
        };
        assert!(!format!("{token:?}").contains("secret"));
    }

    #[test]
    fn an_assertion_of_a_phone_at_the_end_of_time_is_still_one() {
        let assertion = Assertion::new(PhoneId::from_bytes([1; 16]), i64::MAX, [0xab; 16]);
        assert_eq!(assertion.exp, i64::MAX);
        assert_eq!(assertion.jti, "ab".repeat(16));
    }
}
