//! The write-ahead log's chain, made good again around one bad place.
//!
//! Each frame of SQLite's log carries a checksum over all frames before it, so one flipped bit hides everything after it. But
//! each frame is a page that SQLCipher sealed by itself. So the chain is computed anew over what is there: a page that is
//! bad is found out by its own seal when it is read, unless a later frame of the log holds it anew, as it mostly does. Only bytes
//! here; whether the mended log is better than the short one is for who opens the database to see.
//!
//! Layout: <https://www.sqlite.org/fileformat2.html#walformat>.

use std::io::{self, Read, Seek, SeekFrom, Write};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// Bytes of a page: SQLCipher's own size, which nothing here changes.
const PAGE: usize = 4_096;
const FRAME: usize = FRAME_HEADER + PAGE;
/// Of a log whose checksums read words in little-endian order; in big-endian order it is one more.
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

/// Writes `log` to `to` with a chain that holds up to its last whole frame; false, and nothing is written, if it has no frame to go by.
/// One frame is in memory at a time, for a log may have grown long.
///
/// # Errors
/// What the disk says.
pub(super) fn mend(log: &mut (impl Read + Seek), to: &mut impl Write) -> io::Result<bool> {
    let mut header = [0; HEADER];
    let (Some(salts), Some(())) = (salts(log)?, whole(log, &mut header)?) else {
        return Ok(false);
    };
    let big_endian = word(&header, 0) == MAGIC + 1;
    let mut mended = Vec::with_capacity(HEADER);
    for field in [MAGIC + u32::from(big_endian), VERSION, PAGE as u32] {
        mended.extend(field.to_be_bytes());
    }
    mended.extend(&header[12..16]);
    mended.extend(salts);
    let mut sum = checksum([0, 0], &mended, big_endian);
    mended.extend(sum.iter().flat_map(|half| half.to_be_bytes()));
    to.write_all(&mended)?;
    let mut frame = [0; FRAME];
    for _ in 0..frames_of(log, salts)? {
        log.read_exact(&mut frame)?;
        sum = checksum(sum, &frame[..8], big_endian);
        sum = checksum(sum, &frame[FRAME_HEADER..], big_endian);
        to.write_all(&frame[..8])?;
        to.write_all(&salts)?;
        for half in sum {
            to.write_all(&half.to_be_bytes())?;
        }
        to.write_all(&frame[FRAME_HEADER..])?;
    }
    Ok(true)
}

/// Whether the chain holds as far as the log goes; `again` reads the same log. What lies behind a break would be written over.
///
/// # Errors
/// What the disk says.
pub(super) fn holds(log: &mut (impl Read + Seek), again: impl Read) -> io::Result<bool> {
    let mut same = Same(again);
    match mend(log, &mut same) {
        Ok(false) => return Ok(true),
        Ok(true) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(false),
        Err(error) => return Err(error),
    }
    let behind = log.seek(SeekFrom::End(0))? - HEADER as u64;
    Ok(behind.is_multiple_of(FRAME as u64))
}

/// Takes what its reader reads, and nothing else.
struct Same<R>(R);

impl<R: Read> Write for Same<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut own = vec![0; bytes.len()];
        self.0.read_exact(&mut own)?;
        if own == bytes {
            Ok(bytes.len())
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fills `bytes`; none where the log ends before.
fn whole(log: &mut impl Read, bytes: &mut [u8]) -> io::Result<Option<()>> {
    match log.read_exact(bytes) {
        Ok(()) => Ok(Some(())),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// What most of the first three frames carry: frames behind the log's end are of an older one. The log is at its beginning then.
fn salts(log: &mut (impl Read + Seek)) -> io::Result<Option<[u8; 8]>> {
    let mut frame = [0; FRAME];
    let mut first: Vec<[u8; 8]> = Vec::new();
    log.seek(SeekFrom::Start(HEADER as u64))?;
    while first.len() < 3 && whole(log, &mut frame)?.is_some() {
        first.extend(frame[8..16].first_chunk::<8>());
    }
    log.rewind()?;
    let agreeing = |salts: &[u8; 8]| first.iter().filter(|other| *other == salts).count();
    Ok(first.iter().copied().max_by_key(|salts| agreeing(salts)))
}

/// How many frames there are up to the last that carries `salts`. The log is at its first frame then.
fn frames_of(log: &mut (impl Read + Seek), salts: [u8; 8]) -> io::Result<usize> {
    let mut frame = [0; FRAME];
    let (mut frames, mut last) = (0, 0);
    log.seek(SeekFrom::Start(HEADER as u64))?;
    while whole(log, &mut frame)?.is_some() {
        frames += 1;
        if frame[8..16] == salts {
            last = frames;
        }
    }
    log.seek(SeekFrom::Start(HEADER as u64))?;
    Ok(last)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |word| u32::from_be_bytes(*word))
}

/// SQLite's checksum, gone on from `sum`.
fn checksum([mut a, mut b]: [u32; 2], bytes: &[u8], big_endian: bool) -> [u32; 2] {
    for pair in bytes.chunks_exact(8) {
        let read = |at| {
            let word = word(pair, at);
            if big_endian { word } else { word.swap_bytes() }
        };
        a = a.wrapping_add(read(0)).wrapping_add(b);
        b = b.wrapping_add(read(4)).wrapping_add(a);
    }
    [a, b]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::{Phone, tests::config};
    use std::io::Cursor;

    fn mended(log: &[u8]) -> Option<Vec<u8>> {
        let mut mended = Vec::new();
        let mends = mend(&mut Cursor::new(log), &mut mended);
        mends.expect("reads").then_some(mended)
    }

    fn whole_chain(log: &[u8]) -> bool {
        holds(&mut Cursor::new(log), log).expect("reads")
    }

    /// The log of a phone that is open, as SQLite wrote it.
    async fn a_log() -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        let phone = Phone::open(config(folder.path(), 7)).await.expect("opens");
        let log = std::fs::read(folder.path().join("kieumau.db-wal")).expect("reads");
        drop(phone);
        log
    }

    #[tokio::test]
    async fn a_whole_log_is_mended_into_itself_and_a_broken_chain_into_what_it_was() {
        let log = a_log().await;
        let frames = (log.len() - HEADER) / FRAME;
        assert!(frames > 3, "{frames} frames");
        assert_eq!(mended(&log).as_ref(), Some(&log));
        assert!(whole_chain(&log) && whole_chain(&log[..HEADER + 2 * FRAME]));
        assert!(!whole_chain(&log[..HEADER + 2 * FRAME + 100]));
        // A frame's checksum, its salts, the header's size of a page, its checksum: nothing of it is needed.
        for at in [HEADER + 20, HEADER + 9, HEADER + FRAME + 12, 9, 26] {
            let mut broken = log.clone();
            broken[at] ^= 0x10;
            assert_eq!(mended(&broken).as_ref(), Some(&log), "byte {at}");
            assert!(!whole_chain(&broken), "byte {at}");
        }
    }

    #[tokio::test]
    async fn a_cut_log_ends_with_its_last_whole_frame_and_one_without_a_frame_is_none() {
        let log = a_log().await;
        let cut = mended(&log[..HEADER + 2 * FRAME + 100]).expect("two frames");
        assert_eq!(cut, log[..HEADER + 2 * FRAME]);
        assert_eq!(mended(&log[..HEADER + 100]), None);
        assert_eq!(mended(b""), None);
    }
}
