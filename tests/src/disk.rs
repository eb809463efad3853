//! A small disk of its own, to be filled. Where the system lets nobody mount there is none, and the test says that it is skipped.

use crate::trial;
use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// Mounted until it is dropped.
pub struct SmallDisk(PathBuf);

/// What takes the room.
pub struct Ballast(PathBuf);

impl SmallDisk {
    /// A disk of so many megabytes at `at`, for `test`; none where nobody may mount, and then the test is said to be skipped.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[must_use]
    pub fn mount(test: &str, at: &Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(at)
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(at.to_owned()));
        }
        trial::skipped(test, "no right to mount a small disk");
        None
    }

    /// Takes all the room but for about `free_bytes`.
    ///
    /// # Panics
    /// When the disk fails in another way than by being full.
    #[must_use]
    pub fn fill(&self, free_bytes: usize) -> Ballast {
        const PIECE: usize = 4 << 10;
        let path = self.0.join("ballast");
        let mut file = File::create(&path).expect("a file");
        let mut size = 0;
        while file.write_all(&[1; PIECE]).is_ok() {
            size += PIECE;
        }
        let size = size.saturating_sub(free_bytes) as u64;
        file.set_len(size).expect("room for the rest");
        Ballast(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that is being killed may still hold it. Still mounted, it would stay until the machine's next start.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

impl Ballast {
    /// There is room again.
    ///
    /// # Panics
    /// When it cannot be removed.
    pub fn remove(self) {
        std::fs::remove_file(&self.0).expect("room again");
    }
}
