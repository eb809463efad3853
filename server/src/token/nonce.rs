//! The nonce that goes with the server's time to a phone whose clock is wrong: the server's signature over that time, so that no
//! process has to remember it.
//!
//! A phone that signs for a time it was told repeats the nonce. So nobody but this server can make a phone sign for a time to
//! come and keep the assertion until then: with a nonce of another's making it is never taken.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer as _, SigningKey};
use kieumau_core::token::ASSERTION_LASTS_S;

const CONTEXT: &[u8] = b"kieumau clock nonce 1\0";

/// The nonce for the time `now_s`.
pub fn make(key: &SigningKey, now_s: i64) -> String {
    let time = now_s.to_be_bytes();
    let signature = key.sign(&[CONTEXT, &time].concat()).to_bytes();
    BASE64_URL_SAFE_NO_PAD.encode([&time[..], &signature[..]].concat())
}

/// Whether `nonce` is one that `key` made no longer ago than an assertion may last.
pub fn is_fresh(key: &SigningKey, nonce: &str, now_s: i64) -> bool {
    let Ok(bytes) = BASE64_URL_SAFE_NO_PAD.decode(nonce) else {
        return false;
    };
    let Some((time, signature)) = bytes.split_first_chunk::<8>() else {
        return false;
    };
    let Ok(signature) = Signature::from_slice(signature) else {
        return false;
    };
    let age_s = now_s.saturating_sub(i64::from_be_bytes(*time));
    (0..=ASSERTION_LASTS_S).contains(&age_s)
        && key
            .verifying_key()
            .verify_strict(&[CONTEXT, time].concat(), &signature)
            .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_800_000_000;

    #[test]
    fn a_nonce_is_this_servers_and_of_now() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let nonce = make(&key, NOW_S);
        assert!(is_fresh(&key, &nonce, NOW_S));
        assert!(is_fresh(&key, &nonce, NOW_S + ASSERTION_LASTS_S));
        assert!(!is_fresh(&key, &nonce, NOW_S + ASSERTION_LASTS_S + 1));
        assert!(!is_fresh(&key, &nonce, NOW_S - 1));
        let other = SigningKey::from_bytes(&[2; 32]);
        assert!(!is_fresh(&key, &make(&other, NOW_S), NOW_S));
        for rubbish in ["", "AAAA", &nonce[1..], "no base64"] {
            assert!(!is_fresh(&key, rubbish, NOW_S), "{rubbish}");
        }
    }
}
