//! Seals: the signature of the phone (or server) that made a change, which travels with the change for ever.
//!
//! The signature, not the carrier, is the authority: any phone may hand in sealed changes of another. A seal binds one
//! change to its document, that document's kind, unit and key, so that it cannot be replayed elsewhere. One seal stands
//! for a run of changes: [`covered`] walks from the sealed one through each actor's own previous change and never
//! concludes from a number alone, because nothing signed says what stood under a lower number. That the signer is the
//! phone whose actor made the change, and still enrolled, is admission's to check.

use crate::{
    hash::Sha256,
    id::{DocumentId, PhoneId, UnitId},
};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use minicbor::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};

/// What every signed message starts with: a signature made for a seal is never one for anything else.
const CONTEXT: &[u8] = b"kieumau seal v1";

/// Who signed: where to look for the public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Signer {
    /// A phone; its enrolment names the key.
    #[n(0)]
    Phone(#[n(0)] PhoneId),
    /// A server key, by its fingerprint ([`crate::jws::fingerprint`]).
    #[n(1)]
    Server(#[n(0)] Sha256),
}

/// A signature over one change in its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Seal {
    /// The document that the change belongs to.
    #[n(0)]
    pub document: DocumentId,
    /// The newest change that is sealed.
    #[n(1)]
    pub change: Sha256,
    /// Who signed.
    #[n(2)]
    pub signer: Signer,
    /// Ed25519, 64 bytes.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub signature: [u8; 64],
}

/// Why a seal is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SealError {
    /// Not the bytes that a seal is written as.
    #[error("seal-malformed")]
    Malformed,
    /// Not that key's signature over this change, document, kind, unit and key; or a key that signs everything.
    #[error("seal-signature")]
    Signature,
}

impl Seal {
    /// Seals `change` of the document that is `kind` (its stable word), of `unit`, under the natural key `natural_key`.
    #[must_use]
    pub fn sign(
        key: &SigningKey,
        signer: Signer,
        document: DocumentId,
        change: Sha256,
        kind: &str,
        unit: UnitId,
        natural_key: &str,
    ) -> Self {
        let message = message(document, kind, unit, natural_key, change);
        Self {
            document,
            change,
            signer,
            signature: key.sign(&message).to_bytes(),
        }
    }

    /// Checks the signature by `key`, which the caller found for [`Seal::signer`].
    ///
    /// # Errors
    /// `Signature`.
    pub fn verify(
        &self,
        key: &VerifyingKey,
        kind: &str,
        unit: UnitId,
        natural_key: &str,
    ) -> Result<(), SealError> {
        let message = message(self.document, kind, unit, natural_key, self.change);
        key.verify_strict(&message, &Signature::from_bytes(&self.signature))
            .map_err(|_| SealError::Signature)
    }

    /// Its one encoding (CBOR), whose SHA-256 stands in the log.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("writing to memory does not fail")
    }

    /// The seal in `bytes`.
    ///
    /// # Errors
    /// `Malformed`, also for another spelling of the same seal: its hash would differ.
    pub fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        let seal: Self = minicbor::decode(bytes).map_err(|_| SealError::Malformed)?;
        if seal.encode() == bytes {
            Ok(seal)
        } else {
            Err(SealError::Malformed)
        }
    }
}

/// The signed bytes: the context, then each part after its length (32 bits, big-endian), so that no two tuples of parts
/// give the same message.
fn message(
    document: DocumentId,
    kind: &str,
    unit: UnitId,
    natural_key: &str,
    change: Sha256,
) -> Vec<u8> {
    let parts = [
        document.as_bytes().as_slice(),
        kind.as_bytes(),
        unit.as_bytes(),
        natural_key.as_bytes(),
        change.as_bytes(),
    ];
    let mut message = CONTEXT.to_vec();
    for part in parts {
        let length = u32::try_from(part.len()).expect("kinds and keys are short");
        message.extend(length.to_be_bytes());
        message.extend(part);
    }
    message
}

/// The changes that the `sealed` ones stand for: themselves, and from each the dependency of the same actor with the
/// number below, as far as that goes. `header_of` tells actor, number and dependencies of a change whose bytes the caller
/// has verified against its hash; a change it does not know is not covered, and nothing behind it is.
#[must_use]
pub fn covered<A: AsRef<[u8]>, D: AsRef<[Sha256]>>(
    sealed: &[Sha256],
    header_of: impl Fn(&Sha256) -> Option<(A, u64, D)>,
) -> BTreeSet<Sha256> {
    let mut covered = BTreeSet::new();
    let mut to_walk: Vec<_> = sealed
        .iter()
        .filter_map(|hash| Some((*hash, header_of(hash)?)))
        .collect();
    while let Some((hash, (actor, seq, deps))) = to_walk.pop() {
        if !covered.insert(hash) {
            continue;
        }
        for dep in deps.as_ref() {
            let Some(header) = header_of(dep) else {
                continue;
            };
            if header.0.as_ref() == actor.as_ref() && header.1.checked_add(1) == Some(seq) {
                to_walk.push((*dep, header));
            }
        }
    }
    covered
}

/// Seals by the change that each of them seals, in the order given: for who asks about one change after the other.
#[must_use]
pub fn by_change(seals: impl IntoIterator<Item = Seal>) -> BTreeMap<Sha256, Vec<Seal>> {
    let mut by_change = BTreeMap::<_, Vec<_>>::new();
    for seal in seals {
        by_change.entry(seal.change).or_default().push(seal);
    }
    by_change
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn unit() -> UnitId {
        UnitId::from_bytes([2; 16])
    }

    fn seal() -> Seal {
        Seal::sign(
            &key(),
            Signer::Phone(PhoneId::from_bytes([3; 16])),
            DocumentId::from_bytes([1; 16]),
            Sha256::of(b"a change"),
            "patrol-log",
            unit(),
            "2026-03-01/1",
        )
    }

    #[test]
    fn a_seal_holds_for_its_change_and_for_nothing_else() {
        let (seal, key) = (seal(), key().verifying_key());
        let (kind, unit, natural_key) = ("patrol-log", unit(), "2026-03-01/1");
        assert_eq!(seal.verify(&key, kind, unit, natural_key), Ok(()));

        let refused = Err(SealError::Signature);
        let mut other = seal;
        other.document = DocumentId::from_bytes([9; 16]);
        assert_eq!(other.verify(&key, kind, unit, natural_key), refused);
        let mut other = seal;
        other.change = Sha256::of(b"another change");
        assert_eq!(other.verify(&key, kind, unit, natural_key), refused);
        assert_eq!(seal.verify(&key, "figures", unit, natural_key), refused);
        let other_unit = UnitId::from_bytes([9; 16]);
        assert_eq!(seal.verify(&key, kind, other_unit, natural_key), refused);
        assert_eq!(seal.verify(&key, kind, unit, "2026-03-01/2"), refused);
        let other_key = SigningKey::from_bytes(&[8; 32]).verifying_key();
        assert_eq!(seal.verify(&other_key, kind, unit, natural_key), refused);
    }

    #[test]
    fn a_character_moved_from_one_part_to_the_next_is_another_message() {
        let (document, change) = (DocumentId::from_bytes([1; 16]), Sha256::of(b""));
        let unit_of_text = UnitId::from_bytes(*b"0123456789abcdef");
        let a = message(document, "figures", unit_of_text, "x", change);
        let shifted = UnitId::from_bytes(*b"s0123456789abcde");
        let b = message(document, "figure", shifted, "fx", change);
        assert_ne!(a, b);
        // The twin: without the lengths the two are the same bytes.
        let bare = |kind: &str, unit: UnitId, key: &str| {
            [kind.as_bytes(), unit.as_bytes(), key.as_bytes()].concat()
        };
        assert_eq!(
            bare("figures", unit_of_text, "x"),
            bare("figure", shifted, "fx")
        );
    }

    #[test]
    fn a_key_of_small_order_seals_nothing() {
        // The neutral element as key and as R, with s = 0, satisfies the plain equation for every message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let weak = VerifyingKey::from_bytes(&neutral).expect("a point");
        let mut forged = seal();
        forged.signature = [0; 64];
        forged.signature[0] = 1;
        let verdict = forged.verify(&weak, "patrol-log", unit(), "2026-03-01/1");
        assert_eq!(verdict, Err(SealError::Signature));
        // The twin: without strictness it would pass.
        let signature = Signature::from_bytes(&forged.signature);
        assert!(ed25519_dalek::Verifier::verify(&weak, b"anything", &signature).is_ok());
    }

    #[test]
    fn a_seal_has_one_encoding() {
        for signer in [seal().signer, Signer::Server(Sha256::of(b"a key"))] {
            let seal = Seal { signer, ..seal() };
            let bytes = seal.encode();
            assert_eq!(Seal::decode(&bytes), Ok(seal));
            for length in 0..bytes.len() {
                assert_eq!(Seal::decode(&bytes[..length]), Err(SealError::Malformed));
            }
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(Seal::decode(&longer), Err(SealError::Malformed));
            // The array's length of 4 written in two bytes is the same seal to a lenient reader.
            let respelled = [&[0x98, 4], &bytes[1..]].concat();
            assert!(minicbor::decode::<Seal>(&respelled).is_ok());
            assert_eq!(Seal::decode(&respelled), Err(SealError::Malformed));
        }
    }

    type Known = BTreeMap<Sha256, (Vec<u8>, u64, Vec<Sha256>)>;

    fn change(known: &mut Known, actor: u8, seq: u64, deps: &[Sha256]) -> Sha256 {
        let name = format!("{actor} {seq} {deps:?}");
        let hash = Sha256::of(name.as_bytes());
        known.insert(hash, (vec![actor], seq, deps.to_vec()));
        hash
    }

    fn coverage(known: &Known, sealed: &[Sha256]) -> BTreeSet<Sha256> {
        covered(sealed, |hash| known.get(hash).cloned())
    }

    #[test]
    fn a_seal_covers_the_own_changes_below_it_and_no_one_elses() {
        let mut known = Known::new();
        let first = change(&mut known, 1, 1, &[]);
        let other = change(&mut known, 2, 1, &[first]);
        let second = change(&mut known, 1, 2, &[first, other]);
        let third = change(&mut known, 1, 3, &[second]);
        assert_eq!(
            coverage(&known, &[third]),
            BTreeSet::from([first, second, third])
        );
        assert_eq!(coverage(&known, &[second]), BTreeSet::from([first, second]));
        assert_eq!(
            coverage(&known, &[second, other]),
            BTreeSet::from([first, second, other])
        );
    }

    #[test]
    fn coverage_does_not_jump_gaps() {
        let mut known = Known::new();
        let first = change(&mut known, 1, 1, &[]);
        let second = change(&mut known, 1, 2, &[first]);
        let skips_the_second = change(&mut known, 1, 3, &[first]);
        assert_eq!(
            coverage(&known, &[skips_the_second]),
            BTreeSet::from([skips_the_second])
        );
        // A change nobody has verified ends the walk, although what is behind it is known.
        let third = change(&mut known, 1, 3, &[second]);
        known.remove(&second);
        assert_eq!(coverage(&known, &[third]), BTreeSet::from([third]));
        assert_eq!(coverage(&known, &[second]), BTreeSet::new());
    }

    #[test]
    fn coverage_does_not_pass_through_another_actor() {
        let mut known = Known::new();
        let first = change(&mut known, 1, 1, &[]);
        let other = change(&mut known, 2, 1, &[first]);
        let only_after_other = change(&mut known, 1, 2, &[other]);
        assert_eq!(
            coverage(&known, &[only_after_other]),
            BTreeSet::from([only_after_other])
        );
    }

    proptest! {
        #[test]
        fn a_flipped_bit_anywhere_in_a_seal_is_refused(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut bytes = seal().encode();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            // The signer only says where to find the key: verified by the key that signed, the rest decides.
            let refused = Seal::decode(&bytes).map_or(true, |changed| {
                changed.signer != seal().signer
                    || changed.verify(&key().verifying_key(), "patrol-log", unit(), "2026-03-01/1").is_err()
            });
            prop_assert!(refused);
        }
    }
}
