//! How a phone becomes known: the invitation in the QR on the chief's page, what the phone sends, what the server answers.
//!
//! The phone proves that it holds the private key of the public key it sends; the code proves that a chief meant it.

use crate::{
    hash::Sha256,
    id::{PersonId, PhoneId, UnitId},
    invalid::{Invalid, Rule},
    person::Role,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// What the text of every invitation begins with.
const INVITATION: &str = "kieumau:1?";
/// What is signed begins with this, so that no other signature can pass for this one.
const CONTEXT: &[u8] = b"kieumau enrolment v1";

/// What the QR carries: where the server is, by which keys to know it, and the code.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Invitation {
    /// Where the server is.
    #[n(0)]
    pub url: String,
    /// SHA-256 of the server's TLS key; none on loopback.
    #[n(1)]
    pub pin: Option<Sha256>,
    /// Signs the log's heads.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub log_key: [u8; 32],
    /// Signs receipts.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub receipt_key: [u8; 32],
    /// Good once, for ten minutes.
    #[n(4)]
    pub code: String,
}

// The code opens the door: never printed.
impl std::fmt::Debug for Invitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Invitation({})", self.url)
    }
}

impl Invitation {
    /// The text of the QR.
    ///
    /// # Panics
    /// Never: writing to memory does not fail.
    #[must_use]
    pub fn to_text(&self) -> String {
        let bytes = minicbor::to_vec(self).expect("writing to memory does not fail");
        format!("{INVITATION}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads the text of a QR.
    ///
    /// # Errors
    /// `Malformed` at `code`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let malformed = || Invalid::new("code", Rule::Malformed);
        let bytes = text.trim().strip_prefix(INVITATION).ok_or_else(malformed)?;
        let bytes = URL_SAFE_NO_PAD.decode(bytes).map_err(|_| malformed())?;
        minicbor::decode(&bytes).map_err(|_| malformed())
    }
}

/// What a phone sends to be enrolled (JSON).
#[derive(Clone, Serialize, Deserialize)]
pub struct NewPhone {
    /// The code as it was typed or scanned.
    pub code: String,
    /// The phone's Ed25519 public key, base64url.
    pub public_key: String,
    /// Signature over the code by that key, base64url.
    pub proof: String,
    /// The app's version.
    pub app_version: String,
}

impl std::fmt::Debug for NewPhone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewPhone({})", self.app_version)
    }
}

/// Codes are read aloud and typed: case, spaces and dashes say nothing.
#[must_use]
pub fn normal_code(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

fn signed(code: &str, public_key: &[u8; 32]) -> Vec<u8> {
    [CONTEXT, public_key, normal_code(code).as_bytes()].concat()
}

impl NewPhone {
    /// For a phone with this key.
    #[must_use]
    pub fn sign(key: &SigningKey, code: &str, app_version: &str) -> Self {
        let public_key = key.verifying_key().to_bytes();
        let proof = key.sign(&signed(code, &public_key));
        Self {
            code: code.to_owned(),
            public_key: URL_SAFE_NO_PAD.encode(public_key),
            proof: URL_SAFE_NO_PAD.encode(proof.to_bytes()),
            app_version: app_version.to_owned(),
        }
    }

    /// The public key, once the proof holds.
    ///
    /// # Errors
    /// `Malformed` at `public_key` or `proof`.
    pub fn verified_key(&self) -> Result<VerifyingKey, Invalid> {
        let bad_key = || Invalid::new("public_key", Rule::Malformed);
        let bad_proof = || Invalid::new("proof", Rule::Malformed);
        let bytes = URL_SAFE_NO_PAD.decode(&self.public_key).map_err(|_| bad_key())?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| bad_key())?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| bad_key())?;
        let proof = URL_SAFE_NO_PAD.decode(&self.proof).map_err(|_| bad_proof())?;
        let proof = Signature::from_slice(&proof).map_err(|_| bad_proof())?;
        key.verify_strict(&signed(&self.code, &bytes), &proof).map_err(|_| bad_proof())?;
        Ok(key)
    }
}

/// What an enrolled phone is told (JSON).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Enrolled {
    /// The phone's id.
    pub phone: PhoneId,
    /// Its person.
    pub person: PersonId,
    /// The person's unit.
    pub unit: UnitId,
    /// The person's role.
    pub role: Role,
    /// How the person is called.
    pub person_name: String,
    /// How the unit is called.
    pub unit_name: String,
    /// Signs the log's heads.
    pub log_key: [u8; 32],
    /// Signs receipts.
    pub receipt_key: [u8; 32],
    /// Seals the server's own changes.
    pub seal_key: [u8; 32],
    /// The server's time, Unix milliseconds.
    pub server_time_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_survives_the_qr_and_nothing_else_passes() {
        let invitation = Invitation {
            url: "http://127.0.0.1:8080".into(),
            pin: None,
            log_key: [1; 32],
            receipt_key: [2; 32],
            code: "ABCDE-FGHJK".into(),
        };
        let text = invitation.to_text();
        assert_eq!(Invitation::parse(&text), Ok(invitation));
        for cut in 0..text.len() {
            assert!(Invitation::parse(&text[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_proof_holds_for_its_code_and_key_only() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let new = NewPhone::sign(&key, "abcde fghjk", "1.0");
        assert_eq!(new.verified_key(), Ok(key.verifying_key()));
        // Read aloud and typed again it is the same code.
        assert!(NewPhone { code: "ABCDE-FGHJK".into(), ..new.clone() }.verified_key().is_ok());
        let bad = Err(Invalid::new("proof", Rule::Malformed));
        assert_eq!(NewPhone { code: "ABCDE-FGHJL".into(), ..new.clone() }.verified_key(), bad);
        let other = NewPhone::sign(&SigningKey::from_bytes(&[2; 32]), "ABCDE-FGHJK", "1.0");
        assert_eq!(NewPhone { public_key: other.public_key, ..new }.verified_key(), bad);
    }
}
