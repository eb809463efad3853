//! The server's signed word about its backups: they hold every leaf of the log below one.
//!
//! A phone lets go of a copy of a file only below it (`phone::retention`): that the server *has* a file is not enough while its disk
//! is the only place where it lies. Signed with the receipt key, because it is one more thing that a server says it holds.

use crate::{
    jws::{self, JwsError},
    log::head::Epoch,
};
use ed25519_dalek::{SigningKey, VerifyingKey};
use minicbor::{Decode, Encode};

/// The type of the signed word.
pub const TYP: &str = "kieumau-backed-up+jws";

/// Backups hold the leaves below `through` of this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BackedUp {
    /// The epoch that `through` counts in.
    #[n(0)]
    pub epoch: Epoch,
    /// How many leaves, from the first on.
    #[n(1)]
    pub through: u64,
    /// When the operator said so, Unix milliseconds, the server's clock.
    #[n(2)]
    pub at_ms: i64,
}

impl BackedUp {
    /// As a token.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        let payload = minicbor::to_vec(self).expect("writing to memory does not fail");
        jws::sign_payload(key, TYP, &jws::kid(&key.verifying_key()), &payload)
    }

    /// What `token` says, if `key` signed it.
    ///
    /// # Errors
    /// Any: the token is then worth nothing.
    pub fn verify(token: &str, key: VerifyingKey) -> Result<Self, JwsError> {
        let payload = jws::verify_payload(jws::MAX_TOKEN_BYTES, token, TYP, |_| Some(key))?;
        minicbor::decode(&payload).map_err(|_| JwsError::Claims)
    }

    /// Whether it says more than what was known: an epoch of its own, or more leaves of the same.
    #[must_use]
    pub fn is_news(&self, epoch: Option<Epoch>, through: u64) -> bool {
        epoch != Some(self.epoch) || self.through > through
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: BackedUp = BackedUp {
        epoch: Epoch([5; 16]),
        through: 42,
        at_ms: 1_772_323_200_000,
    };

    #[test]
    fn only_the_receipt_keys_word_of_this_type_is_believed() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let other = SigningKey::from_bytes(&[2; 32]);
        let token = SAID.sign(&key);
        assert_eq!(BackedUp::verify(&token, key.verifying_key()), Ok(SAID));
        assert_eq!(
            BackedUp::verify(&token, other.verifying_key()),
            Err(JwsError::Signature)
        );
        let payload = minicbor::to_vec(SAID).expect("CBOR");
        let receipt = jws::sign_payload(&key, crate::receipt::TYP, "kid", &payload);
        assert_eq!(
            BackedUp::verify(&receipt, key.verifying_key()),
            Err(JwsError::Type)
        );
    }

    #[test]
    fn more_leaves_or_another_epoch_are_news() {
        assert!(SAID.is_news(None, 0));
        assert!(SAID.is_news(Some(SAID.epoch), 41));
        assert!(!SAID.is_news(Some(SAID.epoch), 42));
        assert!(SAID.is_news(Some(Epoch([6; 16])), 99));
    }
}
