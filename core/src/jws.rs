//! Signed statements between phone and server: compact JWS (RFC 7515), EdDSA over Ed25519 only.
//!
//! Receipts, tree heads and sign-in assertions all pass here. What they claim is theirs; this file only says who signed
//! and as what. Written by hand because it is small and because a general library negotiates: here `alg` has one value,
//! `typ` is required and exact (so that a receipt can never pass for a tree head, RFC 8725 §3.11), `crit` is refused, and
//! base64url has one spelling. The signature is checked before the claims are parsed.

use crate::hash::Sha256;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt;

/// The longest token that [`verify`] looks at, bytes.
pub const MAX_TOKEN_BYTES: usize = 8 << 10;

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JwsError {
    /// Longer than it may be.
    TooLong,
    /// Not three parts of unpadded base64url with a header that can be read.
    Malformed,
    /// An `alg` other than `EdDSA`.
    Algorithm,
    /// A `typ` other than the one asked for.
    Type,
    /// It names extensions that must be understood (`crit`); none are.
    Critical,
    /// Nobody is known under its `kid`.
    UnknownKey,
    /// The signature is not that key's.
    Signature,
    /// Rightly signed, but not the claims that were asked for.
    Claims,
}

impl JwsError {
    /// The stable word that travels in problems and in logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::TooLong => "token-too-long",
            Self::Malformed => "token-malformed",
            Self::Algorithm => "token-algorithm",
            Self::Type => "token-type",
            Self::Critical => "token-critical",
            Self::UnknownKey => "token-unknown-key",
            Self::Signature => "token-signature",
            Self::Claims => "token-claims",
        }
    }
}

impl fmt::Display for JwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl std::error::Error for JwsError {}

/// The fingerprint of a public key: the SHA-256 of its 32 raw bytes. What people compare and what the log records.
#[must_use]
pub fn fingerprint(key: &VerifyingKey) -> Sha256 {
    Sha256::of(key.as_bytes())
}

/// The name of a public key in a token: the first 16 digits of its [`fingerprint`]. It only finds the key; what counts is
/// that the signature fits it.
#[must_use]
pub fn kid(key: &VerifyingKey) -> String {
    hex::encode(&fingerprint(key).as_bytes()[..8])
}

#[derive(Serialize)]
struct WrittenHeader<'a> {
    alg: &'static str,
    kid: &'a str,
    typ: &'a str,
}

#[derive(Deserialize)]
struct ReadHeader {
    alg: String,
    kid: String,
    typ: Option<String>,
    // Present at all, with whatever value, is what refuses it.
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// `claims` as JSON in a token of type `typ`, signed by `key` under the name `kid`.
///
/// # Panics
/// If `claims` is not something JSON can say (a map whose keys are not text): a mistake of the caller's type, not of data.
#[must_use]
pub fn sign(key: &SigningKey, typ: &str, kid: &str, claims: &impl Serialize) -> String {
    let claims = serde_json::to_vec(claims).expect("claims are a struct with named fields");
    sign_payload(key, typ, kid, &claims)
}

/// Any bytes as the payload of a token of type `typ` (RFC 7515, section 3): what they are, the type says.
pub(crate) fn sign_payload(key: &SigningKey, typ: &str, kid: &str, payload: &[u8]) -> String {
    let header = WrittenHeader {
        alg: "EdDSA",
        kid,
        typ,
    };
    let header = serde_json::to_vec(&header).expect("three texts are JSON");
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature = key.sign(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature.to_bytes(), &mut token);
    token
}

/// The claims of `token`, if it is of type `typ` and signed by the key that `key` finds under its `kid`.
///
/// # Errors
/// The first check that fails; nothing of the token may then be used.
pub fn verify<T: DeserializeOwned>(
    token: &str,
    typ: &str,
    key: impl FnOnce(&str) -> Option<VerifyingKey>,
) -> Result<T, JwsError> {
    verify_up_to(MAX_TOKEN_BYTES, token, typ, key)
}

/// [`verify`] with another limit on the token's length, for statements that carry lists.
pub(crate) fn verify_up_to<T: DeserializeOwned>(
    max_bytes: usize,
    token: &str,
    typ: &str,
    key: impl FnOnce(&str) -> Option<VerifyingKey>,
) -> Result<T, JwsError> {
    let claims = verify_payload(max_bytes, token, typ, key)?;
    serde_json::from_slice(&claims).map_err(|_| JwsError::Claims)
}

/// The payload of a token whose signature holds.
pub(crate) fn verify_payload(
    max_bytes: usize,
    token: &str,
    typ: &str,
    key: impl FnOnce(&str) -> Option<VerifyingKey>,
) -> Result<Vec<u8>, JwsError> {
    if token.len() > max_bytes {
        return Err(JwsError::TooLong);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(JwsError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(JwsError::Malformed)?;
    let decode = |part: &str| {
        URL_SAFE_NO_PAD
            .decode(part)
            .map_err(|_| JwsError::Malformed)
    };
    let header: ReadHeader =
        serde_json::from_slice(&decode(header)?).map_err(|_| JwsError::Malformed)?;
    if header.alg != "EdDSA" {
        return Err(JwsError::Algorithm);
    }
    if header.typ.as_deref() != Some(typ) {
        return Err(JwsError::Type);
    }
    if header.crit {
        return Err(JwsError::Critical);
    }
    let claims = decode(claims)?;
    let signature = Signature::from_slice(&decode(signature)?).map_err(|_| JwsError::Malformed)?;
    key(&header.kid)
        .ok_or(JwsError::UnknownKey)?
        .verify_strict(signed.as_bytes(), &signature)
        .map_err(|_| JwsError::Signature)?;
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TYP: &str = "kieumau-test+jws";

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Claims {
        said: String,
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn claims() -> Claims {
        Claims {
            said: "đã nhận".to_owned(),
        }
    }

    fn token() -> String {
        let key = key(1);
        sign(&key, TYP, &kid(&key.verifying_key()), &claims())
    }

    fn read(token: &str) -> Result<Claims, JwsError> {
        verify(token, TYP, |_| Some(key(1).verifying_key()))
    }

    /// A rightly signed token with this header.
    fn token_with_header(header: &str) -> String {
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims()).expect("JSON"))
        );
        let signature = key(1).sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    #[test]
    fn what_was_signed_is_read_back_and_the_key_is_asked_for_by_name() {
        let name = kid(&key(1).verifying_key());
        let found = verify::<Claims>(&token(), TYP, |asked| {
            assert_eq!(asked, name);
            Some(key(1).verifying_key())
        });
        assert_eq!(found, Ok(claims()));
        assert_eq!(
            verify::<Claims>(&token(), TYP, |_| None),
            Err(JwsError::UnknownKey)
        );
    }

    #[test]
    fn the_example_of_rfc_8037_is_signed_to_the_same_bytes() {
        // Appendix A.4: the signature over its signing input, by the key of A.1.
        let seed = URL_SAFE_NO_PAD
            .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
            .expect("base64url");
        let key = SigningKey::from_bytes(&seed.try_into().expect("32 bytes"));
        let signature = key.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc");
        assert_eq!(
            URL_SAFE_NO_PAD.encode(signature.to_bytes()),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }

    #[test]
    fn another_key_and_another_type_are_refused() {
        let other = verify::<Claims>(&token(), TYP, |_| Some(key(2).verifying_key()));
        assert_eq!(other, Err(JwsError::Signature));
        let as_another = verify::<Claims>(&token(), "kieumau-other+jws", |_| {
            Some(key(1).verifying_key())
        });
        assert_eq!(as_another, Err(JwsError::Type));
    }

    #[test]
    fn only_the_header_that_we_write_is_believed() {
        let header = |header: &str| read(&token_with_header(header));
        assert_eq!(
            header(r#"{"alg":"EdDSA","kid":"a","typ":"kieumau-test+jws"}"#),
            Ok(claims())
        );
        assert_eq!(
            header(r#"{"alg":"none","kid":"a","typ":"kieumau-test+jws"}"#),
            Err(JwsError::Algorithm)
        );
        assert_eq!(
            header(r#"{"alg":"HS256","kid":"a","typ":"kieumau-test+jws"}"#),
            Err(JwsError::Algorithm)
        );
        assert_eq!(header(r#"{"alg":"EdDSA","kid":"a"}"#), Err(JwsError::Type));
        for crit in ["[]", "null", r#"["b64"]"#] {
            let critical =
                format!(r#"{{"alg":"EdDSA","kid":"a","typ":"kieumau-test+jws","crit":{crit}}}"#);
            assert_eq!(header(&critical), Err(JwsError::Critical));
        }
        let twice = r#"{"alg":"EdDSA","alg":"EdDSA","kid":"a","typ":"kieumau-test+jws"}"#;
        assert_eq!(header(twice), Err(JwsError::Malformed));
        assert_eq!(
            header(r#"{"alg":"EdDSA","typ":"kieumau-test+jws"}"#),
            Err(JwsError::Malformed)
        );
    }

    #[test]
    fn padding_trailing_bits_and_a_fourth_part_are_refused() {
        let token = token();
        assert_eq!(read(&format!("{token}=")), Err(JwsError::Malformed));
        assert_eq!(read(&format!("{token}.")), Err(JwsError::Malformed));
        assert_eq!(read("a.b"), Err(JwsError::Malformed));
        // 64 bytes leave four unused bits in the last digit: setting one spells the same signature differently.
        let last = token.chars().last().expect("not empty");
        let sibling = char::from(last as u8 + 1);
        let respelled = format!("{}{sibling}", &token[..token.len() - 1]);
        assert!(
            "AQgw".contains(last),
            "a last digit whose unused bits are zero"
        );
        assert_eq!(read(&respelled), Err(JwsError::Malformed));
    }

    #[test]
    fn a_long_token_is_refused_unread_and_the_limit_is_what_refuses_it() {
        let long = Claims {
            said: "x".repeat(MAX_TOKEN_BYTES),
        };
        let token = sign(&key(1), TYP, "a", &long);
        assert_eq!(read(&token), Err(JwsError::TooLong));
        let longer_allowed = verify_up_to(2 * MAX_TOKEN_BYTES, &token, TYP, |_| {
            Some(key(1).verifying_key())
        });
        assert_eq!(longer_allowed, Ok(long));
    }

    #[test]
    fn claims_of_another_shape_are_refused_although_rightly_signed() {
        let token = sign(&key(1), TYP, "a", &["not", "an", "object"]);
        assert_eq!(read(&token), Err(JwsError::Claims));
    }

    #[test]
    fn a_weak_key_signs_nothing() {
        // The neutral element as key and as R with s = 0 satisfies the plain equation for every message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let weak = VerifyingKey::from_bytes(&neutral).expect("a point");
        let signature = [neutral, [0; 32]].concat();
        let token = token();
        let (signed, _) = token.rsplit_once('.').expect("three parts");
        let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&signature));
        assert_eq!(
            verify::<Claims>(&forged, TYP, |_| Some(weak)),
            Err(JwsError::Signature)
        );
        // The twin: without strictness it would pass.
        let signature = Signature::from_slice(&signature).expect("64 bytes");
        assert!(ed25519_dalek::Verifier::verify(&weak, signed.as_bytes(), &signature).is_ok());
    }

    proptest! {
        #[test]
        fn a_changed_character_is_refused(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
            let token = token();
            let at = at.index(token.len());
            let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            prop_assume!(changed != token);
            prop_assert!(read(&changed).is_err());
        }
    }
}
