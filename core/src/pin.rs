//! Pins: how a phone knows the server's TLS key. A pin is the SHA-256 of the key's SubjectPublicKeyInfo, so that a renewed
//! certificate with the same key keeps it, and neither dates nor names count: a phone whose clock says 1970 gets in.
//!
//! The first pin comes with the QR on the chief's page. Later ones are announced with each access token, signed by the log's key
//! from the same QR: who only holds the TLS key (a proxy) cannot announce another. Each carries a number that only grows, so that
//! who kept an old one, and the key of that time, cannot bring it back.

use crate::{
    hash::Sha256,
    jws::{self, JwsError},
};
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// Path where the server says its pins to anybody: who was told of a new address or key sees there that it is the same server.
pub const PINS_PATH: &str = "/v1/pins";
/// The `typ` of announced pins.
pub const PINS_TYP: &str = "kieumau-pins+jwt";
/// Pins at a time, at most: the present key, the next one, and those of a second server.
pub const PINS: usize = 4;

/// The pin of a key, from its SubjectPublicKeyInfo (DER).
#[must_use]
pub fn of_key(spki: &[u8]) -> Sha256 {
    Sha256::of(spki)
}

/// The keys that phones are to trust from now on, and no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// Between one and [`PINS`].
    pub pins: Vec<Sha256>,
    /// Greater whenever the pins are others; 0 from a server that did not count yet.
    #[serde(default)]
    pub number: i64,
}

impl Announced {
    /// The announcement as a token.
    #[must_use]
    pub fn sign(&self, log_key: &SigningKey) -> String {
        let kid = jws::kid(&log_key.verifying_key());
        jws::sign(log_key, PINS_TYP, &kid, self)
    }

    /// What `token` announces, if the log's key signed it.
    ///
    /// # Errors
    /// The first check that fails; `Claims` for none or too many.
    pub fn verify(token: &str, log_key: VerifyingKey) -> Result<Self, JwsError> {
        let announced: Self = jws::verify(token, PINS_TYP, |_| Some(log_key))?;
        if (1..=PINS).contains(&announced.pins.len()) {
            Ok(announced)
        } else {
            Err(JwsError::Claims)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn announced(count: u8) -> Announced {
        Announced {
            pins: (0..count).map(|pin| of_key(&[pin])).collect(),
            number: 7,
        }
    }

    #[test]
    fn pins_are_believed_from_the_logs_key_only() {
        let token = announced(2).sign(&key(1));
        let verify = |seed| Announced::verify(&token, key(seed).verifying_key());
        assert_eq!(verify(1), Ok(announced(2)));
        assert_eq!(verify(2), Err(JwsError::Signature));
    }

    #[test]
    fn what_a_server_announced_that_did_not_count_yet_comes_before_all_others() {
        let key = key(1);
        let kid = jws::kid(&key.verifying_key());
        let pins = announced(2).pins;
        let uncounted = serde_json::json!({ "pins": pins });
        let token = jws::sign(&key, PINS_TYP, &kid, &uncounted);
        let said = Announced::verify(&token, key.verifying_key());
        assert_eq!(said, Ok(Announced { pins, number: 0 }));
    }

    #[test]
    fn no_pins_or_too_many_are_none() {
        for count in [0, 5] {
            let token = announced(count).sign(&key(1));
            let said = Announced::verify(&token, key(1).verifying_key());
            assert_eq!(said, Err(JwsError::Claims), "{count}");
        }
    }
}
