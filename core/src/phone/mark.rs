//! How much was recorded, kept outside the database, so that a write-ahead log that became shorter is found out.
//!
//! SQLite takes a log up to its first bad frame and says nothing: damage there loses the last records, acknowledged ones among
//! them. So the database counts what is recorded, and after each commit the count is written beside it, under a MAC of the
//! database's key. At the next opening a database that counts less than its mark has lost something. Two places are written in turn,
//! each in a block of its own, so that a write that tears leaves the one before. The mark's being gone is no finding.

use crate::hash::Sha256;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};
use zeroize::Zeroizing;

/// The file's name.
pub(super) const FILE: &str = "kieumau.mark";
/// Where the second place is: another block of the disk.
const BLOCK: u64 = 4_096;
/// A count and its MAC.
const PLACE: usize = 8 + 32;
/// What the MAC is for: a key's hash is never taken for another's.
const CONTEXT: &[u8] = b"kieumau mark v1";

/// See the module.
pub(super) struct Mark {
    file: File,
    key: Zeroizing<[u8; 32]>,
    turn: u64,
}

impl Mark {
    /// Opens the mark in `folder`, or makes it; and the highest count that was written under this key.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn open(folder: &Path, key: &[u8; 32]) -> io::Result<(Self, Option<u64>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join(FILE))?;
        let written = written(&mut file, key)?;
        let turn = match written {
            Some((turn, _)) => turn + 1,
            None => 0,
        };
        let key = Zeroizing::new(*key);
        Ok((Self { file, key, turn }, written.map(|(_, count)| count)))
    }

    /// Whether the mark in `folder` was written under this key: then it is the right one, whatever the database says.
    pub(super) fn knows(folder: &Path, key: &[u8; 32]) -> bool {
        File::open(folder.join(FILE))
            .and_then(|mut file| written(&mut file, key))
            .is_ok_and(|written| written.is_some())
    }

    /// Writes down that so much is recorded. Returns when it is on the disk.
    ///
    /// # Errors
    /// What the disk says; what is recorded is on the disk all the same.
    pub(super) fn write(&mut self, count: u64) -> io::Result<()> {
        let mut place = [0; PLACE];
        place[..8].copy_from_slice(&count.to_le_bytes());
        place[8..].copy_from_slice(mac(&self.key, count).as_bytes());
        let at = (self.turn % 2) * BLOCK;
        self.file.seek(SeekFrom::Start(at))?;
        self.file.write_all(&place)?;
        self.file.sync_data()?;
        self.turn += 1;
        Ok(())
    }
}

/// Which place holds the highest count that is whole, and the count.
fn written(file: &mut File, key: &[u8; 32]) -> io::Result<Option<(u64, u64)>> {
    let mut highest = None;
    for place in 0..2 {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(place * BLOCK))?;
        file.take(PLACE as u64).read_to_end(&mut bytes)?;
        let count = bytes.first_chunk().map(|count| u64::from_le_bytes(*count));
        let whole = count.filter(|count| bytes[8..] == *mac(key, *count).as_bytes());
        if let Some(count) = whole
            && highest.is_none_or(|(_, before)| before <= count)
        {
            highest = Some((place, count));
        }
    }
    Ok(highest)
}

/// All three parts have one length: no two messages look alike.
fn mac(key: &[u8; 32], count: u64) -> Sha256 {
    Sha256::of_parts(&[CONTEXT, key, &count.to_le_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn marked(folder: &Path, counts: std::ops::Range<u64>) {
        let (mut mark, _) = Mark::open(folder, &KEY).expect("opens");
        for count in counts {
            mark.write(count).expect("writes");
        }
    }

    fn read(folder: &Path) -> Option<u64> {
        Mark::open(folder, &KEY).expect("opens").1
    }

    #[test]
    fn the_highest_count_is_read_and_after_a_torn_write_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        assert_eq!(read(folder), None);
        marked(folder, 1..6);
        assert_eq!(read(folder), Some(5));
        // Whichever place is spoilt, the other one is read.
        let whole = std::fs::read(folder.join(FILE)).expect("reads");
        let mut seen = Vec::new();
        for at in [0, 20, BLOCK as usize, BLOCK as usize + 20] {
            let mut torn = whole.clone();
            torn[at] ^= 1;
            std::fs::write(folder.join(FILE), torn).expect("written");
            seen.extend(read(folder));
        }
        seen.sort_unstable();
        assert_eq!(seen, [4, 4, 5, 5]);
    }

    #[test]
    fn a_mark_goes_on_where_it_was_and_another_key_knows_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        for count in 1..5 {
            marked(folder, count..count + 1);
            assert_eq!(read(folder), Some(count));
        }
        assert!(Mark::knows(folder, &KEY));
        assert!(!Mark::knows(folder, &[8; 32]));
    }
}
