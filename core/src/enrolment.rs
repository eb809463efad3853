//! How a phone becomes known to the server: the invitation in the chief's QR, and what is sent when enrolling. No IO and
//! no clock; server and phone share the words.
//!
//! The invitation carries the keys of the server's log, receipts and rescue files, so that a phone that saw the chief's screen believes
//! this server and no other, whatever its clock and whatever certificates say.

use crate::{
    code::Code,
    id::{PersonId, PhoneId, UnitId},
    invalid::{Invalid, Rule},
    person::Role,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use minicbor::{Decoder, Encoder, decode, encode};
use serde::{Deserialize, Serialize};
use std::{convert::Infallible, fmt};

/// Path of enrolling: a [`NewPhone`] is answered with [`Enrolled`].
pub const PHONES: &str = "/v1/phones";
/// Characters in the name of a phone's model and of an app's version, at most.
pub const MODEL_LIMIT: usize = 100;

const PREFIX: &str = "kieumau:1?";
const TEXT_LIMIT: usize = 1_000;
const URL_LIMIT: usize = 200;
const PROOF_CONTEXT: &[u8] = b"kieumau enrolment 1\0";

/// What the QR on the chief's page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Where the server is: `https://…`.
    pub url: String,
    /// SHA-256 of the public key of its TLS certificate, if it has one of its own.
    pub pin: Option<[u8; 32]>,
    /// Signs tree heads.
    pub log_key: [u8; 32],
    /// Signs receipts.
    pub receipt_key: [u8; 32],
    /// Opens rescue files (X25519).
    pub rescue_key: [u8; 32],
    /// The code, used once.
    pub code: Code,
}

impl Invitation {
    /// One line for the QR: `kieumau:1?` and the base64url of a CBOR array.
    #[must_use]
    pub fn to_text(&self) -> String {
        let bytes = self.encoded().expect("memory takes any bytes");
        format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    fn encoded(&self) -> Result<Vec<u8>, encode::Error<Infallible>> {
        let mut encoder = Encoder::new(Vec::new());
        encoder.array(6)?.str(&self.url)?;
        match &self.pin {
            Some(pin) => encoder.bytes(pin)?,
            None => encoder.null()?,
        };
        encoder
            .bytes(&self.log_key)?
            .bytes(&self.receipt_key)?
            .bytes(&self.rescue_key)?
            .str(&self.code)?;
        Ok(encoder.into_writer())
    }

    /// The invitation in what a camera read.
    ///
    /// # Errors
    /// At `code`: `Unknown` for another version of this line, `Malformed` for anything else.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        if text.len() > TEXT_LIMIT {
            return Err(malformed());
        }
        let Some(body) = text.strip_prefix(PREFIX) else {
            let ours = text.starts_with("kieumau:");
            let rule = if ours { Rule::Unknown } else { Rule::Malformed };
            return Err(Invalid::new("code", rule));
        };
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(body)
            .map_err(|_| malformed())?;
        Self::decoded(&bytes).map_err(|_| malformed())
    }

    fn decoded(bytes: &[u8]) -> Result<Self, decode::Error> {
        let refused = |why| decode::Error::message(why);
        let mut decoder = Decoder::new(bytes);
        if decoder.array()? != Some(6) {
            return Err(refused("six places"));
        }
        let url = decoder.str()?.to_owned();
        let web = url.starts_with("https://") || url.starts_with("http://");
        if !web || url.len() > URL_LIMIT || !url.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(refused("a web address"));
        }
        let key = |bytes: &[u8]| bytes.try_into().map_err(|_| refused("32 bytes"));
        let pin = if decoder.datatype()? == minicbor::data::Type::Null {
            decoder.null()?;
            None
        } else {
            Some(key(decoder.bytes()?)?)
        };
        let invitation = Self {
            url,
            pin,
            log_key: key(decoder.bytes()?)?,
            receipt_key: key(decoder.bytes()?)?,
            rescue_key: key(decoder.bytes()?)?,
            code: decoder.str()?.parse().map_err(|_| refused("a code"))?,
        };
        // One spelling only: what is left over, or written longer than needed, is somebody's trick.
        if invitation.encoded().is_ok_and(|again| again == bytes) {
            Ok(invitation)
        } else {
            Err(refused("the shortest spelling"))
        }
    }
}

fn malformed() -> Invalid {
    Invalid::new("code", Rule::Malformed)
}

/// What a phone sends to be enrolled.
#[derive(Clone, Serialize, Deserialize)]
pub struct NewPhone {
    /// The code, as scanned or typed.
    pub code: String,
    /// The Ed25519 key that the phone will sign with.
    #[serde(with = "base64url")]
    pub public_key: [u8; 32],
    /// What the phone is: `Samsung SM-A155F`.
    pub model: String,
    /// The app's version.
    pub app_version: String,
    /// Shows that the phone has the private key: a signature over the code and the public key.
    #[serde(with = "base64url")]
    pub proof: [u8; 64],
}

impl fmt::Debug for NewPhone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewPhone")
            .field("model", &self.model)
            .field("app_version", &self.app_version)
            .finish_non_exhaustive()
    }
}

impl NewPhone {
    /// A phone that enrols itself with `code`, of a model it does not name.
    #[must_use]
    pub fn sign(key: &SigningKey, code: &str, app_version: &str) -> Self {
        let public_key = key.verifying_key().to_bytes();
        Self {
            code: code.to_owned(),
            public_key,
            model: String::new(),
            app_version: app_version.to_owned(),
            proof: key.sign(&proven(code, &public_key)).to_bytes(),
        }
    }

    /// The same phone, saying what it is.
    #[must_use]
    pub fn of_model(mut self, model: &str) -> Self {
        self.model = model.to_owned();
        self
    }

    /// The public key, if the phone has shown that it holds the private one.
    ///
    /// # Errors
    /// `Malformed` at `public_key` or `proof`.
    pub fn proven_key(&self) -> Result<VerifyingKey, Invalid> {
        let key = VerifyingKey::from_bytes(&self.public_key)
            .map_err(|_| Invalid::new("public_key", Rule::Malformed))?;
        // Strict: a key of small order would "sign" everything.
        key.verify_strict(
            &proven(&self.code, &self.public_key),
            &Signature::from_bytes(&self.proof),
        )
        .map_err(|_| Invalid::new("proof", Rule::Malformed))?;
        Ok(key)
    }
}

/// What the proof signs. The code's length is written down, so that no two pairs give the same bytes.
fn proven(code: &str, public_key: &[u8; 32]) -> Vec<u8> {
    let length = u64::try_from(code.len()).unwrap_or(u64::MAX);
    [
        PROOF_CONTEXT,
        &length.to_be_bytes(),
        code.as_bytes(),
        public_key,
    ]
    .concat()
}

/// What the server answers: who the phone now is, and which keys it believes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The phone.
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
    /// Signs tree heads.
    #[serde(with = "base64url")]
    pub log_key: [u8; 32],
    /// Signs receipts.
    #[serde(with = "base64url")]
    pub receipt_key: [u8; 32],
    /// Seals the server's own changes.
    #[serde(with = "base64url")]
    pub seal_key: [u8; 32],
    /// Opens rescue files (X25519).
    #[serde(with = "base64url")]
    pub rescue_key: [u8; 32],
    /// The epoch of the log that holds the enrolment.
    pub epoch: String,
    /// The position of the enrolment in it.
    pub leaf: i64,
    /// The server's time, Unix milliseconds.
    pub server_time_ms: i64,
}

/// Bytes of a fixed length in JSON.
mod base64url {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| D::Error::custom("base64url of the right length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn invitation() -> Invitation {
        Invitation {
            url: "http://127.0.0.1:8080".to_owned(),
            pin: None,
            log_key: [1; 32],
            receipt_key: [2; 32],
            rescue_key: [4; 32],
            code: Code::from_bits(0x3_1234_5678_9abc),
        }
    }

    #[test]
    fn an_invitation_survives_the_camera() {
        let with_pin = Invitation {
            pin: Some([3; 32]),
            ..invitation()
        };
        for invitation in [invitation(), with_pin] {
            let text = invitation.to_text();
            assert_eq!(text.lines().count(), 1);
            assert!(text.len() < 300, "{} characters in a QR", text.len());
            assert_eq!(Invitation::parse(&format!(" {text}\n")), Ok(invitation));
        }
    }

    #[test]
    fn another_version_is_told_from_rubbish() {
        let later = invitation().to_text().replacen(":1?", ":2?", 1);
        let broken = |rule| Err(Invalid::new("code", rule));
        assert_eq!(Invitation::parse(&later), broken(Rule::Unknown));
        let megabyte = format!("{PREFIX}{}", "A".repeat(1 << 20));
        for text in [
            "",
            "https://example.org",
            PREFIX,
            "kieumau:1?AAAA",
            &megabyte,
        ] {
            assert_eq!(
                Invitation::parse(text),
                broken(Rule::Malformed),
                "{text:.40}"
            );
        }
    }

    #[test]
    fn an_address_that_is_not_of_the_web_is_no_invitation() {
        for url in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http://a b",
            "",
        ] {
            let planted = Invitation {
                url: url.to_owned(),
                ..invitation()
            };
            assert!(Invitation::parse(&planted.to_text()).is_err(), "{url}");
        }
    }

    #[test]
    fn a_proof_is_for_one_code_and_one_key() {
        let new = NewPhone::sign(&SigningKey::from_bytes(&[7; 32]), "0123456789", "1.0");
        assert!(new.proven_key().is_ok());
        let another_code = NewPhone {
            code: "0123456780".to_owned(),
            ..new.clone()
        };
        let another_key = NewPhone {
            public_key: SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes(),
            ..new
        };
        for stolen in [another_code, another_key] {
            assert_eq!(
                stolen.proven_key(),
                Err(Invalid::new("proof", Rule::Malformed))
            );
        }
    }

    #[test]
    fn a_key_that_signs_everything_proves_nothing() {
        // The neutral element: with it as key and R, and s = 0, the plain equation holds for every message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut proof = [0; 64];
        proof[0] = 1;
        let forged = NewPhone {
            code: "0123456789".to_owned(),
            public_key: neutral,
            model: String::new(),
            app_version: String::new(),
            proof,
        };
        assert!(forged.proven_key().is_err());
        // The twin: without strictness it would pass.
        let key = VerifyingKey::from_bytes(&neutral).expect("a point");
        let message = proven(&forged.code, &neutral);
        let signature = Signature::from_bytes(&proof);
        assert!(ed25519_dalek::Verifier::verify(&key, &message, &signature).is_ok());
    }

    #[test]
    fn a_new_phone_keeps_its_proof_on_the_wire() {
        let new = NewPhone::sign(&SigningKey::from_bytes(&[7; 32]), "0123456789", "1.0");
        let json = serde_json::to_string(&new.of_model("Pixel 9")).expect("JSON");
        let back: NewPhone = serde_json::from_str(&json).expect("its own JSON");
        assert!(back.proven_key().is_ok());
        assert_eq!(back.model, "Pixel 9");
        assert!(
            serde_json::from_str::<NewPhone>(&json.replace("proof\":\"", "proof\":\"AA")).is_err()
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
            let _ = Invitation::parse(&text);
        }

        #[test]
        fn an_invitation_has_one_spelling(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = invitation().encoded().expect("memory takes any bytes");
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            let text = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
            if let Ok(other) = Invitation::parse(&text) {
                prop_assert_ne!(&other, &invitation());
                prop_assert_eq!(other.to_text(), text);
            }
        }
    }
}
