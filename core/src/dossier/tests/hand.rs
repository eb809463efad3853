//! Keys, and who signs with which: the owners, or somebody who lacks some of them.

use crate::{
    document::Key,
    hash::Sha256,
    id::PhoneId,
    jws,
    seal::{Seal, Signer},
};
use ed25519_dalek::SigningKey;
use std::collections::BTreeMap;

pub(super) const PHONES: [PhoneId; 2] = [
    PhoneId::from_bytes([0xa1; 16]),
    PhoneId::from_bytes([0xb2; 16]),
];

/// Everybody's keys: of the server, and of the two phones.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) log: SigningKey,
    pub(super) receipt: SigningKey,
    pub(super) seal: SigningKey,
    pub(super) phones: [SigningKey; 2],
}

impl Keys {
    pub(super) fn new(seed: u8) -> Self {
        let key = |number| SigningKey::from_bytes(&[seed + number; 32]);
        Self {
            log: key(0),
            receipt: key(1),
            seal: key(2),
            phones: [key(3), key(4)],
        }
    }

    pub(super) fn fingerprint(&self) -> Sha256 {
        jws::fingerprint(&self.log.verifying_key())
    }

    pub(super) fn server(&self) -> PhoneId {
        let name = jws::fingerprint(&self.seal.verifying_key());
        PhoneId::from_slice(&name.as_bytes()[..16]).expect("sixteen bytes")
    }
}

/// Every signature that the owners of the keys ever made: by what was signed, and by where it stood.
#[derive(Clone, Default)]
pub(super) struct Signed {
    tokens: BTreeMap<String, String>,
    seals: BTreeMap<String, Seal>,
    slots: BTreeMap<String, String>,
    seal_slots: BTreeMap<String, Seal>,
}

/// Who signs what was made anew. All but the owners reuse every genuine signature that still fits.
pub(super) enum Hand<'a> {
    /// The owners of the keys; what they sign is remembered.
    Owners(&'a Keys, &'a mut Signed),
    /// Somebody with keys of their own.
    Forger {
        owners: &'a Keys,
        own: &'a Keys,
        signed: &'a Signed,
    },
    /// Somebody who puts the old signature under the new text.
    Copyist {
        owners: &'a Keys,
        signed: &'a Signed,
    },
    /// The server itself: it has its own keys, and not those of the phones.
    Server {
        owners: &'a Keys,
        own: &'a Keys,
        signed: &'a Signed,
    },
}

impl Hand<'_> {
    pub(super) fn token(
        &mut self,
        key: impl Fn(&Keys) -> &SigningKey,
        typ: &str,
        slot: &str,
        payload: &[u8],
    ) -> String {
        let by = |keys: &Keys| {
            let name = jws::kid(&key(keys).verifying_key());
            jws::sign_payload(key(keys), typ, &name, payload)
        };
        let text = |token: &str| token.rsplit_once('.').expect("three parts").0.to_owned();
        let slot = format!("{typ} {slot}");
        match self {
            Hand::Owners(owners, signed) => {
                let token = by(owners);
                signed.tokens.insert(text(&token), token.clone());
                signed.slots.insert(slot, token.clone());
                token
            }
            Hand::Server { owners, .. } => by(owners),
            Hand::Forger {
                owners,
                own,
                signed,
            } => {
                let genuine = signed.tokens.get(&text(&by(owners)));
                genuine.cloned().unwrap_or_else(|| by(own))
            }
            Hand::Copyist { owners, signed } => {
                let text = text(&by(owners));
                // For a document of a new name there is no old receipt: any will do.
                let old = signed.slots.get(&slot).or(signed.slots.values().next());
                let (_, signature) = old
                    .and_then(|old| old.rsplit_once('.'))
                    .expect("an old one");
                format!("{text}.{signature}")
            }
        }
    }

    pub(super) fn seal(&mut self, key: &Key, phone: PhoneId, change: Sha256, slot: &str) -> Seal {
        let by = |keys: &Keys, named: &Keys| match PHONES.iter().position(|known| *known == phone) {
            Some(at) => key.seal(&keys.phones[at], Signer::Phone(phone), change),
            None => {
                let name = jws::fingerprint(&named.seal.verifying_key());
                key.seal(&keys.seal, Signer::Server(name), change)
            }
        };
        let text = format!("{key:?} {phone} {change}");
        match self {
            Hand::Owners(owners, signed) => {
                let seal = by(owners, owners);
                signed.seals.insert(text, seal);
                signed.seal_slots.insert(slot.to_owned(), seal);
                seal
            }
            Hand::Server { owners, .. } if !PHONES.contains(&phone) => by(owners, owners),
            Hand::Server {
                owners,
                own,
                signed,
            }
            | Hand::Forger {
                owners,
                own,
                signed,
            } => {
                let genuine = signed.seals.get(&text);
                genuine.copied().unwrap_or_else(|| by(own, owners))
            }
            Hand::Copyist { owners, signed } => {
                let old = signed
                    .seal_slots
                    .get(slot)
                    .or(signed.seal_slots.values().next());
                let signature = old.expect("an old one").signature;
                Seal {
                    signature,
                    ..by(owners, owners)
                }
            }
        }
    }
}
