//! The checksum of one body (tus's extension `checksum`): announced before it, compared when all of it has arrived.
//!
//! sha1 because tus demands it and clients send it, sha256 because it is not broken. Neither says anything about the file:
//! its own SHA-256 does, at the end.

use crate::problem::{Answer, Problem};
use axum::http::{HeaderMap, StatusCode};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::Digest as _;

const UPLOAD_CHECKSUM: &str = "upload-checksum";

/// The announced checksum of one body, and its hash so far.
pub struct Checksum {
    hasher: Hasher,
    announced: Vec<u8>,
}

enum Hasher {
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
}

impl Checksum {
    /// The checksum in Upload-Checksum; none if the phone sent none.
    ///
    /// # Errors
    /// `malformed` for what is no checksum, or of another algorithm.
    pub fn announced(headers: &HeaderMap) -> Answer<Option<Self>> {
        let Some(value) = headers.get(UPLOAD_CHECKSUM) else {
            return Ok(None);
        };
        let parsed = || {
            let (algorithm, value) = value.to_str().ok()?.split_once(' ')?;
            let hasher = match algorithm {
                "sha1" => Hasher::Sha1(sha1::Sha1::new()),
                "sha256" => Hasher::Sha256(sha2::Sha256::new()),
                _ => return None,
            };
            let announced = BASE64_STANDARD.decode(value.trim()).ok()?;
            Some(Self { hasher, announced })
        };
        parsed().map(Some).ok_or_else(|| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "malformed",
                "Upload-Checksum must be sha1 or sha256, in base64.",
            )
        })
    }

    /// More of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.hasher {
            Hasher::Sha1(hasher) => hasher.update(bytes),
            Hasher::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// Whether the body that was taken is the announced one.
    pub fn holds(self) -> bool {
        match self.hasher {
            Hasher::Sha1(hasher) => hasher.finalize()[..] == self.announced,
            Hasher::Sha256(hasher) => hasher.finalize()[..] == self.announced,
        }
    }
}
