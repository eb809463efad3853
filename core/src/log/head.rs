//! Tree heads: the server's signed word on how large the log is and what its root is, and in which epoch.
//!
//! Two heads of one epoch must be consistent; a server that restored a backup cannot promise that and starts another
//! epoch instead, whose first leaf is the last head it knows. A head says nothing about what the leaves hold.

use crate::{
    hash::Sha256,
    jws::{self, JwsError},
};
use ed25519_dalek::{SigningKey, VerifyingKey};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The type of a signed tree head.
pub const TYP: &str = "kieumau-tree-head+jws";

/// One uninterrupted life of the log: 16 random bytes, drawn when it starts and after each restored backup. Written as 32
/// lower-case hexadecimal digits.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode,
)]
#[serde(try_from = "String", into = "String")]
#[cbor(transparent)]
pub struct Epoch(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

/// The text is not 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 32 lower-case hexadecimal digits")]
pub struct NotAnEpoch;

impl FromStr for Epoch {
    type Err = NotAnEpoch;

    fn from_str(text: &str) -> Result<Self, NotAnEpoch> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAnEpoch)?;
        // Upper case would be a second spelling of the same epoch.
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(NotAnEpoch);
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Epoch {
    type Error = NotAnEpoch;

    fn try_from(text: String) -> Result<Self, NotAnEpoch> {
        text.parse()
    }
}

impl From<Epoch> for String {
    fn from(epoch: Epoch) -> Self {
        epoch.to_string()
    }
}

/// The log at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct TreeHead {
    /// The epoch that the size counts in.
    #[n(0)]
    pub epoch: Epoch,
    /// How many leaves there are.
    #[n(1)]
    pub size: u64,
    /// The root of the tree of these leaves.
    #[n(2)]
    pub root: Sha256,
    /// When the server says so: Unix milliseconds, its clock.
    #[n(3)]
    pub at_ms: i64,
}

impl TreeHead {
    /// The head as a token, signed by the log's key.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        jws::sign(key, TYP, &jws::kid(&key.verifying_key()), self)
    }

    /// The head that `token` says, if the key that `key` finds under its name signed it.
    ///
    /// # Errors
    /// As [`jws::verify`].
    pub fn verify(
        token: &str,
        key: impl FnOnce(&str) -> Option<VerifyingKey>,
    ) -> Result<Self, JwsError> {
        jws::verify(token, TYP, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> TreeHead {
        TreeHead {
            epoch: Epoch([0xab; 16]),
            size: u64::MAX,
            root: Sha256::of(b"a root"),
            at_ms: -1,
        }
    }

    #[test]
    fn a_head_is_believed_from_the_logs_key_only() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let token = head().sign(&key);
        assert_eq!(
            TreeHead::verify(&token, |_| Some(key.verifying_key())),
            Ok(head())
        );
        let other = SigningKey::from_bytes(&[2; 32]).verifying_key();
        assert_eq!(
            TreeHead::verify(&token, |_| Some(other)),
            Err(JwsError::Signature)
        );
    }

    #[test]
    fn the_same_claims_signed_as_something_else_are_not_a_head() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let token = jws::sign(&key, "kieumau-receipt+jws", "a", &head());
        assert_eq!(
            TreeHead::verify(&token, |_| Some(key.verifying_key())),
            Err(JwsError::Type)
        );
    }

    #[test]
    fn an_epoch_has_one_written_form() {
        let text = head().epoch.to_string();
        assert_eq!(text.parse(), Ok(head().epoch));
        assert_eq!(text.to_uppercase().parse::<Epoch>(), Err(NotAnEpoch));
        assert_eq!(text[1..].parse::<Epoch>(), Err(NotAnEpoch));
    }
}
