//! One opening of a phone's folder at a time: whoever has it holds a lock on a file in it, taken before anything there is looked at.
//!
//! SQLite's own lock comes later: a second opening had by then put away, as a mending's leavings, what the first was at work on. The
//! system frees the lock with its holder, however that ended; the file stays and means nothing.

use super::PhoneError;
use crate::invalid::{Invalid, Rule};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    path::Path,
    time::Duration,
};

const FILE: &str = "open.lock";
/// How often it is tried, and how long is waited between: one that is closing may take a moment.
const TRIES: u32 = 6;
const BETWEEN: Duration = Duration::from_millis(200);

/// Held for as long as a phone is open.
#[derive(Debug)]
pub(super) struct Alone {
    // Unlocked when it is closed; none on a disk that refused the file, where SQLite's lock has to do.
    _file: Option<File>,
}

impl Alone {
    /// Takes the folder, and makes it if it is not there.
    ///
    /// # Errors
    /// `Invalid` at `folder` (`Already`) when another opening has it; `StorageFull`, `Internal` when it cannot be made.
    pub(super) async fn take(folder: &Path) -> Result<Self, PhoneError> {
        fs::create_dir_all(folder)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(FILE));
        // A full disk has no room for a file, and a phone opens there too.
        let Ok(file) = file else {
            return Ok(Self { _file: None });
        };
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: Some(file) }),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(BETWEEN).await,
                Err(TryLockError::Error(_)) => return Ok(Self { _file: None }),
            }
        }
        Err(Invalid::new("folder", Rule::Already).into())
    }
}
