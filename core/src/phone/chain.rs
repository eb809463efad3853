//! The write-ahead log's chain, made good again around one bad place.
//!
//! Each frame of SQLite's log carries a checksum over all frames before it, so one flipped bit hides everything after it. But
//! each frame is a page that SQLCipher sealed by itself. So the chain is computed anew over what is there: a page that is
//! bad is found out by its own seal when it is read, unless a later frame of the log holds it anew, as it mostly does. Only bytes
//! here; whether the mended log is better than the short one is for who opens the database to see.
//!
//! Layout: <https://www.sqlite.org/fileformat2.html#walformat>.

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// Bytes of a page: SQLCipher's own size, which nothing here changes.
const PAGE: usize = 4_096;
const FRAME: usize = FRAME_HEADER + PAGE;
/// Of a log whose checksums read words in little-endian order; in big-endian order it is one more.
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

/// The log with a chain that holds up to its last whole frame; none if it has no frame to go by.
pub(super) fn mended(log: &[u8]) -> Option<Vec<u8>> {
    let (header, frames) = log.split_at_checked(HEADER)?;
    let (frames, _) = frames.as_chunks::<FRAME>();
    let salts = salts(frames)?;
    let last = frames.iter().rposition(|frame| frame[8..16] == salts)?;
    let big_endian = word(header, 0) == MAGIC + 1;
    let mut mended = Vec::with_capacity(HEADER + (last + 1) * FRAME);
    for field in [MAGIC + u32::from(big_endian), VERSION, PAGE as u32] {
        mended.extend(field.to_be_bytes());
    }
    mended.extend(&header[12..16]);
    mended.extend(salts);
    let mut sum = checksum([0, 0], &mended, big_endian);
    mended.extend(sum.iter().flat_map(|half| half.to_be_bytes()));
    for frame in &frames[..=last] {
        sum = checksum(sum, &frame[..8], big_endian);
        sum = checksum(sum, &frame[FRAME_HEADER..], big_endian);
        mended.extend(&frame[..8]);
        mended.extend(salts);
        mended.extend(sum.iter().flat_map(|half| half.to_be_bytes()));
        mended.extend(&frame[FRAME_HEADER..]);
    }
    Some(mended)
}

/// What most of the first three frames carry: frames behind the log's end are of an older one.
fn salts(frames: &[[u8; FRAME]]) -> Option<[u8; 8]> {
    let salts_of = |frame: &[u8; FRAME]| frame[8..16].first_chunk::<8>().copied();
    let first: Vec<[u8; 8]> = frames.iter().take(3).filter_map(salts_of).collect();
    let agreeing = |salts: &[u8; 8]| first.iter().filter(|other| *other == salts).count();
    first.iter().copied().max_by_key(|salts| agreeing(salts))
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
        // A frame's checksum, its salts, the header's size of a page, its checksum: nothing of it is needed.
        for at in [HEADER + 20, HEADER + 9, HEADER + FRAME + 12, 9, 26] {
            let mut broken = log.clone();
            broken[at] ^= 0x10;
            assert_eq!(mended(&broken).as_ref(), Some(&log), "byte {at}");
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
