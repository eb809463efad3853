//! Signing in: a token for the phone's signature. No time of this phone's clock decides anything: the server tells its time when
//! the phone's is wrong, and a token's ten minutes are counted, not compared with a clock.

use super::{
    Phone,
    client::{Client, Granted},
    error::PhoneError,
    refusal::signed_out,
};
use crate::{
    id::PhoneId,
    token::{AccessToken, Assertion},
};
use ed25519_dalek::SigningKey;
use std::time::{Duration, Instant};

/// A token is asked for anew so long before it ends: a request that is under way then is not refused.
const AHEAD: Duration = Duration::from_secs(30);

/// A token, and until when by a clock that only counts. It may stand still while the phone sleeps: the server has the last word.
pub(super) struct SignedIn {
    pub(super) token: AccessToken,
    until: Instant,
}

impl SignedIn {
    fn new(token: AccessToken, asked: Instant) -> Self {
        let lasts = Duration::from_secs(u64::try_from(token.expires_in).unwrap_or_default());
        Self {
            token,
            until: asked + lasts.saturating_sub(AHEAD),
        }
    }

    /// Whether it still lasts.
    pub(super) fn is_good(&self, now: Instant) -> bool {
        now < self.until
    }
}

impl Phone {
    /// Signs in. With a wrong clock once more, with the time and the nonce that the server told.
    pub(super) async fn sign_in(
        &self,
        client: &Client,
        phone: PhoneId,
        key: &SigningKey,
    ) -> Result<SignedIn, PhoneError> {
        let asked = Instant::now();
        let assertion = |at_ms: i64, nonce: Option<String>| Assertion {
            nonce,
            ..Assertion::new(phone, at_ms.div_euclid(1_000), rand::random())
        };
        let first = assertion(self.server_ms(), None);
        let granted = match client.token(key, &first).await? {
            Granted::Skew(told) => {
                let again = assertion(told.server_time_ms, Some(told.nonce));
                client.token(key, &again).await?
            }
            granted => granted,
        };
        match granted {
            Granted::Token(token) => {
                self.hear_time(token.server_time_ms);
                Ok(SignedIn::new(token, asked))
            }
            // Told the time and still not in time: minutes lie between an answer and the next request.
            Granted::Skew(_) => Err(signed_out("clock-skew")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokens_minutes_are_counted() {
        let token = AccessToken {
            access_token: "secret".to_owned(),
            token_type: "Bearer".to_owned(),
            expires_in: 600,
            server_time_ms: 0,
            pins: None,
        };
        let asked = Instant::now();
        let signed_in = SignedIn::new(token, asked);
        assert!(signed_in.is_good(asked + Duration::from_secs(569)));
        assert!(!signed_in.is_good(asked + Duration::from_secs(570)));
    }
}
