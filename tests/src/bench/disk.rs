//! The raw disk: one append and one `fdatasync`, the least that any durable answer costs on this machine.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

/// A file that only grows.
#[derive(Debug)]
pub struct RawFile(File);

impl RawFile {
    /// A new file in `folder`, which must lie on the file system that is compared.
    ///
    /// # Panics
    /// When the disk refuses.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let name = format!("raw-{:016x}", rand::random::<u64>());
        Self(File::create_new(folder.join(name)).expect("a new file"))
    }

    /// Appends so many bytes and waits for the disk; how long it took.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn append(&mut self, size_bytes: usize) -> Duration {
        let bytes = vec![0x5a; size_bytes];
        let begun = Instant::now();
        self.0.write_all(&bytes).expect("written");
        self.0.sync_data().expect("on the disk");
        begun.elapsed()
    }
}
