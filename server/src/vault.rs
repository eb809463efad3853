//! Bytes at rest: each document, attachment and private key lies under a key of its own, and that key lies wrapped by the
//! master key. Destroying a wrapped key destroys the bytes, in every backup too that does not hold it.
//!
//! XChaCha20-Poly1305 throughout: its nonces are long enough to be drawn at random, or derived from a hash that is
//! unique under its key (a change lies once under its document's key, named by its hash).

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use std::{
    io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// A key of 32 bytes that is wiped when dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// The bytes were changed, or lie under another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes at rest do not open: changed, or under another key")]
pub struct Sealed;

/// Why the master key is not in hand.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file is not there, and the database was sealed under what it held.
    #[error("{} is missing, and the database was sealed under it", .0.display())]
    Lost(PathBuf),
    /// The file does not hold 32 bytes.
    #[error("{} does not hold 32 bytes", .0.display())]
    Cut(PathBuf),
    /// The file can be neither read nor made.
    #[error("{} can be neither read nor made", .0.display())]
    Disk(PathBuf, #[source] io::Error),
}

/// Wraps and unwraps keys.
pub struct Vault {
    master: Key,
}

// The master key is never printed.
impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(…)")
    }
}

impl Vault {
    /// The vault whose master key lies in `folder/master.key`; made at the `first` start, readable by its owner only. Later a missing
    /// key is never made anew: it would open nothing, and the next backup would save the wrong one.
    ///
    /// # Errors
    /// See [`VaultError`]. A key is never replaced.
    pub fn open(folder: &Path, first: bool) -> Result<Self, VaultError> {
        let path = folder.join("master.key");
        if !first && !path.exists() {
            return Err(VaultError::Lost(path));
        }
        let bytes = match make_or_read(folder, &path) {
            Ok(bytes) => bytes,
            Err(error) => return Err(VaultError::Disk(path, error)),
        };
        match bytes.as_slice().try_into() {
            Ok(master) => Ok(Self {
                master: Zeroizing::new(master),
            }),
            Err(_) => Err(VaultError::Cut(path)),
        }
    }

    /// A fresh key and its wrapped form for `name` (an id: a wrapped key opens under its own name only).
    pub fn new_key(&self, name: &str) -> (Key, Vec<u8>) {
        let key = fresh_key();
        let wrapped = self.wrap(name, key.as_ref());
        (key, wrapped)
    }

    /// `secret` under the master key, bound to `name`.
    pub fn wrap(&self, name: &str, secret: &[u8]) -> Vec<u8> {
        let mut nonce = [0; 24];
        rand::fill(&mut nonce);
        let mut wrapped = nonce.to_vec();
        wrapped.extend(seal(&self.master, &nonce, name.as_bytes(), secret));
        wrapped
    }

    /// What [`Vault::wrap`] wrapped under `name`.
    ///
    /// # Errors
    /// `Sealed`.
    pub fn unwrap(&self, name: &str, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Sealed> {
        let (nonce, bytes) = wrapped.split_first_chunk::<24>().ok_or(Sealed)?;
        open(&self.master, nonce, name.as_bytes(), bytes).map(Zeroizing::new)
    }

    /// The key that [`Vault::new_key`] wrapped under `name`.
    ///
    /// # Errors
    /// `Sealed`.
    pub fn key(&self, name: &str, wrapped: &[u8]) -> Result<Key, Sealed> {
        let bytes = self.unwrap(name, wrapped)?;
        Ok(Zeroizing::new(
            bytes.as_slice().try_into().map_err(|_| Sealed)?,
        ))
    }
}

/// What the key's file holds; a fresh key if there is no such file.
fn make_or_read(folder: &Path, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    use std::os::unix::fs::OpenOptionsExt as _;
    match std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(mut file) => {
            io::Write::write_all(&mut file, fresh_key().as_ref())?;
            file.sync_all()?;
            std::fs::File::open(folder)?.sync_all()?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    std::fs::read(path).map(Zeroizing::new)
}

/// 32 fresh random bytes.
fn fresh_key() -> Key {
    let mut key = Zeroizing::new([0; 32]);
    rand::fill(key.as_mut_slice());
    key
}

/// `bytes` under `key`; the same (key, nonce) must never seal two different texts.
pub fn seal(key: &Key, nonce: &[u8; 24], name: &[u8], bytes: &[u8]) -> Vec<u8> {
    let cipher = XChaCha20Poly1305::new((&**key).into());
    cipher
        .encrypt(
            &XNonce::from(*nonce),
            Payload {
                msg: bytes,
                aad: name,
            },
        )
        .expect("XChaCha20-Poly1305 seals anything below 256 GiB")
}

/// What [`seal`] sealed.
///
/// # Errors
/// `Sealed`.
pub fn open(key: &Key, nonce: &[u8; 24], name: &[u8], bytes: &[u8]) -> Result<Vec<u8>, Sealed> {
    let cipher = XChaCha20Poly1305::new((&**key).into());
    cipher
        .decrypt(
            &XNonce::from(*nonce),
            Payload {
                msg: bytes,
                aad: name,
            },
        )
        .map_err(|_| Sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_opens_under_its_own_name_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = Vault::open(folder.path(), true).expect("a new vault");
        let (key, wrapped) = vault.new_key("a");
        let again = Vault::open(folder.path(), true).expect("the same vault");
        assert_eq!(
            again.key("a", &wrapped).expect("its key").as_ref(),
            key.as_ref()
        );
        assert_eq!(again.key("b", &wrapped).err(), Some(Sealed));
        let mut changed = wrapped.clone();
        changed[30] ^= 1;
        assert_eq!(again.key("a", &changed).err(), Some(Sealed));
    }

    #[test]
    fn another_master_key_opens_nothing_and_a_cut_one_is_not_replaced() {
        let (one, two) = (
            tempfile::tempdir().expect("a folder"),
            tempfile::tempdir().expect("a folder"),
        );
        let (_, wrapped) = Vault::open(one.path(), true).expect("a vault").new_key("a");
        assert!(
            Vault::open(two.path(), true)
                .expect("a vault")
                .key("a", &wrapped)
                .is_err()
        );
        std::fs::write(one.path().join("master.key"), b"cut").expect("a cut key");
        let cut = Vault::open(one.path(), true);
        assert!(matches!(cut, Err(VaultError::Cut(_))), "{cut:?}");
        assert_eq!(
            std::fs::read(one.path().join("master.key")).expect("still there"),
            b"cut"
        );
    }

    #[test]
    fn a_lost_master_key_is_said_and_none_is_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let lost = Vault::open(folder.path(), false);
        assert!(matches!(lost, Err(VaultError::Lost(_))), "{lost:?}");
        assert!(!folder.path().join("master.key").exists());
        Vault::open(folder.path(), true).expect("the first start makes one");
        Vault::open(folder.path(), false).expect("it is there");
    }
}
