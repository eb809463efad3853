//! Identities: one newtype per thing that has one, so that a patrol's id can never be passed for a person's.
//!
//! Fresh ids are UUIDv7: time-ordered, so that a map keyed by them reads in the order of recording. The time inside
//! is the phone's and proves nothing. Ids that people could meet on are derived instead (see `document::Key`).

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// A fresh UUIDv7 whose leading bits are `at_ms` (Unix time, milliseconds; before 1970 counts as then) and whose rest is `random`.
#[must_use]
pub fn fresh(at_ms: i64, random: [u8; 10]) -> Uuid {
    let at_ms = u64::try_from(at_ms).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(at_ms, &random).into_uuid()
}

macro_rules! id {
    ($(#[$doc:meta] $name:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id; see [`fresh`].
            #[must_use]
            pub fn fresh(at_ms: i64, random: [u8; 10]) -> Self {
                Self(fresh(at_ms, random))
            }

            /// The id with exactly these 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The id in these bytes; none unless they are exactly 16.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Uuid::from_slice(bytes).ok().map(Self)
            }

            /// Its 16 bytes, big-endian.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.as_hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                // One written form only, so that a key in a document has one spelling.
                let uuid = Uuid::try_parse(text)?;
                if uuid.as_hyphenated().to_string() == text {
                    Ok(Self(uuid))
                } else {
                    Uuid::try_parse("").map(Self)
                }
            }
        }

        impl autosurgeon::Reconcile for $name {
            type Key<'a> = autosurgeon::reconcile::NoKey;

            fn reconcile<R: autosurgeon::Reconciler>(&self, mut reconciler: R) -> Result<(), R::Error> {
                reconciler.str(self.to_string())
            }
        }

        impl autosurgeon::Hydrate for $name {
            fn hydrate_string(text: &str) -> Result<Self, autosurgeon::HydrateError> {
                text.parse().map_err(|_| autosurgeon::HydrateError::unexpected("a UUID", "other text".to_owned()))
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(self.as_bytes()).map(|_| ())
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                Self::from_slice(d.bytes()?).ok_or_else(|| minicbor::decode::Error::message("an id has 16 bytes"))
            }
        }
    )+};
}

id! {
    /// A ward (đơn vị). Wards merge and split; the id stays with the node, not with the name.
    UnitId,
    /// A person of the force (cán bộ).
    PersonId,
    /// An enrolled phone (thiết bị).
    PhoneId,
    /// An Automerge document; always derived from its key.
    DocumentId,
    /// An observation (vụ việc) inside a patrol log.
    ObservationId,
    /// A pause inside a patrol log.
    PauseId,
    /// A chunk of a patrol's track.
    TrackChunkId,
    /// A handover (bàn giao ca) inside a patrol log.
    HandoverId,
    /// A visit to a checkpoint inside a patrol log.
    VisitId,
    /// A checkpoint (điểm chốt) of a unit.
    CheckpointId,
    /// A piece of evidence inside an evidence file.
    EvidenceId,
    /// A place in a document where an attachment hangs.
    AttachmentId,
    /// A decision inside a review.
    DecisionId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_sort_in_the_order_of_their_time() {
        let early = ObservationId::fresh(1_000, [255; 10]);
        let late = ObservationId::fresh(2_000, [0; 10]);
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
    }

    #[test]
    fn a_clock_before_1970_still_gives_an_id() {
        let id = ObservationId::fresh(-5, [7; 10]);
        assert_eq!(id.to_string().parse::<ObservationId>(), Ok(id));
    }

    #[test]
    fn an_id_has_one_written_form() {
        let id = PhoneId::from_bytes([0xab; 16]);
        assert!(id.to_string().to_uppercase().parse::<PhoneId>().is_err());
        assert!(id.to_string().replace('-', "").parse::<PhoneId>().is_err());
    }
}
