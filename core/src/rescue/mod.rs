//! Rescue files (tệp cứu hộ): what a phone holds and the server has not signed for, in one file that only the server can read.
//!
//! Holds the records of such a file and what became of them; [`sealed`] is how they are enciphered. A record of changes is the
//! very thing that a push carries, so that the server takes both by the same rules: the seals are the authority, whoever
//! carries the file. The first record is the signature of the phone that wrote the file: files and refused originals have no
//! seal of their own, and belong to that phone's unit and to no other.

pub mod sealed;

use crate::{
    attachment::SIZE_LIMIT_BYTES,
    hash::Sha256,
    id::PhoneId,
    log::admission::Refusal,
    wire::{PUSH_LIMIT_CHANGES, PushedDocument, WireKey},
};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Path where an enrolled phone hands in a rescue file, its own or a colleague's: answered with [`Taken`] as JSON.
pub const RESCUE: &str = "/v1/rescue";
/// The largest rescue file, bytes: 2 GiB, about 400 photos. A phone that holds more writes what fits, and says so.
pub const RESCUE_LIMIT_BYTES: u64 = 2 << 30;
/// The longest record, bytes: one change of the largest size with its seal and its document's name fits.
pub const RECORD_LIMIT_BYTES: usize = (1 << 20) + (64 << 10);
/// The most changes, refused originals and attachments in one rescue file.
pub const ITEM_LIMIT: usize = 200_000;

/// What the signature of the phone that wrote a file starts with.
const CONTEXT: &[u8] = b"kieumau rescue origin v1";

/// One record of a rescue file.
#[derive(Clone, PartialEq, Encode, Decode)]
pub enum Record {
    /// Who wrote the file. The first record, and only the first.
    #[n(0)]
    Origin(#[n(0)] Origin),
    /// Changes of one document with seals that cover them, as in a push.
    #[n(1)]
    Changes(#[n(0)] PushedDocument),
    /// A change that the server refused, or that cannot be read: kept with the reason, and never taken.
    #[n(2)]
    Refused {
        /// The document it was written for; none where a damaged phone lost that name and kept the change.
        #[n(0)]
        key: Option<WireKey>,
        /// The refusal's word.
        #[n(1)]
        reason: String,
        /// The original bytes.
        #[cbor(n(2), with = "minicbor::bytes")]
        bytes: Vec<u8>,
    },
    /// An attachment; its bytes are the records that follow.
    #[n(3)]
    File {
        /// Of the whole file.
        #[n(0)]
        sha256: Sha256,
        /// Of the whole file.
        #[n(1)]
        size_bytes: u64,
    },
    /// The next bytes of the attachment last named.
    #[n(4)]
    Bytes(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
}

// Records are content: none of it is printed.
impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Origin(_) => "Origin(…)",
            Self::Changes(_) => "Changes(…)",
            Self::Refused { .. } => "Refused(…)",
            Self::File { .. } => "File(…)",
            Self::Bytes(_) => "Bytes(…)",
        })
    }
}

/// Which phone wrote a rescue file, signed with the key it enrolled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Origin {
    /// The phone.
    #[n(0)]
    pub phone: PhoneId,
    /// When, by the phone's clock, Unix milliseconds.
    #[n(1)]
    pub at_ms: i64,
    /// Over the file's header, the phone and the time.
    #[cbor(n(2), with = "minicbor::bytes")]
    signature: [u8; 64],
}

impl Origin {
    /// Signs the file that begins with `header`: the signature is of no use in any other.
    #[must_use]
    pub fn sign(key: &SigningKey, header: &[u8], phone: PhoneId, at_ms: i64) -> Self {
        let signature = key.sign(&Self::message(header, phone, at_ms)).to_bytes();
        Self {
            phone,
            at_ms,
            signature,
        }
    }

    /// Whether the owner of `key` wrote the file that begins with `header`.
    #[must_use]
    pub fn is_by(&self, key: &VerifyingKey, header: &[u8]) -> bool {
        let message = Self::message(header, self.phone, self.at_ms);
        key.verify_strict(&message, &Signature::from_bytes(&self.signature))
            .is_ok()
    }

    /// Every part but the header has one length, and a header's is fixed by its version.
    fn message(header: &[u8], phone: PhoneId, at_ms: i64) -> Vec<u8> {
        [CONTEXT, phone.as_bytes(), &at_ms.to_be_bytes(), header].concat()
    }
}

/// What became of a rescue file's records: numbers and stable words, never content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Changes that are in the log now and were not before.
    pub changes_taken: u32,
    /// Changes that the server held before.
    pub changes_held: u32,
    /// Changes that wait for an ancestor.
    pub changes_waiting: u32,
    /// Changes in quarantine, by the refusal's word.
    pub quarantined: BTreeMap<String, u32>,
    /// Attachments that are whole now and were not before.
    pub files_taken: u32,
    /// Attachments that the server held before.
    pub files_held: u32,
    /// Attachments that were not taken, by the problem's word.
    pub files_refused: BTreeMap<String, u32>,
}

/// Why a rescue file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RescueError {
    /// Not a rescue file at all.
    #[error("not a rescue file")]
    NotRescue,
    /// Written by a newer app than this server knows.
    #[error("a rescue file of another version")]
    Version,
    /// Enciphered to another server's key.
    #[error("a rescue file for another server")]
    AnotherServer,
    /// Changed, or cut.
    #[error("the rescue file was changed or cut")]
    Damaged,
    /// It opens, and what is in it breaks the format: no phone of ours wrote it.
    #[error("the rescue file breaks its format")]
    Malformed,
    /// More bytes or more records than are taken.
    #[error("the rescue file is too large")]
    TooLarge,
    /// It could not be read.
    #[error("the rescue file could not be read")]
    Disk(#[from] std::io::Error),
}

/// Holds the records of one file against the format's bounds, one after the other, before any of them is taken.
#[derive(Debug, Default)]
pub struct Bounds {
    origin: Option<Origin>,
    items: usize,
    /// Bytes that the attachment last named still lacks.
    open_file: Option<u64>,
}

impl Bounds {
    /// Looks at the next record.
    ///
    /// # Errors
    /// `Malformed`, `TooLarge`.
    pub fn look(&mut self, record: &Record) -> Result<(), RescueError> {
        if let Record::Origin(origin) = record {
            return match self.origin.replace(*origin) {
                None => Ok(()),
                Some(_) => Err(RescueError::Malformed),
            };
        }
        if self.origin.is_none() {
            return Err(RescueError::Malformed);
        }
        if let Record::Bytes(bytes) = record {
            let left = self.open_file.ok_or(RescueError::Malformed)?;
            let left = left.checked_sub(bytes.len() as u64);
            self.open_file = Some(left.ok_or(RescueError::Malformed)?);
            return if bytes.is_empty() {
                Err(RescueError::Malformed)
            } else {
                Ok(())
            };
        }
        self.open_file = None;
        self.items += match record {
            Record::Changes(document) => changes_of(document)?,
            Record::File { size_bytes, .. } if (1..=SIZE_LIMIT_BYTES).contains(size_bytes) => {
                self.open_file = Some(*size_bytes);
                1
            }
            Record::Refused { key, reason, .. }
                if key.as_ref().is_none_or(|key| key.key().is_ok())
                    && Refusal::of_word(reason).is_some() =>
            {
                1
            }
            _ => return Err(RescueError::Malformed),
        };
        if self.items > ITEM_LIMIT {
            return Err(RescueError::TooLarge);
        }
        Ok(())
    }

    /// Who wrote the file, once all of it was looked at.
    ///
    /// # Errors
    /// `Malformed` for a file without records.
    pub fn origin(&self) -> Result<Origin, RescueError> {
        self.origin.ok_or(RescueError::Malformed)
    }
}

/// How many changes the record holds, within what a push may hold; no seal is without a change.
fn changes_of(document: &PushedDocument) -> Result<usize, RescueError> {
    let changes = document.changes.len();
    if changes == 0 || changes > PUSH_LIMIT_CHANGES || document.seals.len() > changes {
        return Err(RescueError::Malformed);
    }
    document.key.key().map_err(|_| RescueError::Malformed)?;
    Ok(changes)
}

impl RescueError {
    /// The stable word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::NotRescue => "not-a-rescue-file",
            Self::Version => "rescue-version",
            Self::AnotherServer => "rescue-another-server",
            Self::Damaged => "rescue-damaged",
            Self::Malformed => "rescue-malformed",
            Self::TooLarge => "too-large",
            Self::Disk(_) => "internal",
        }
    }
}

#[cfg(test)]
mod tests;
