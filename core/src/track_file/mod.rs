//! A track file (GPX 1.0/1.1 or NMEA 0183) as fixes, for patrols recorded by something else than our phone.
//!
//! The kind is decided by content, not by name. [`read`] says what is in a file, [`import`] what a patrol keeps of it.
//! A file comes from anywhere, so size, depth and number of points are bounded, and nothing is ever expanded.
//!
//! One decision: dilution of precision (`hdop`) is not accuracy. What the file does not say in metres stays *unknown*.

mod gpx;
mod nmea;

use crate::{
    invalid::{Invalid, Rule},
    position::{BELIEVABLE_MS, Fix},
    track::{Dropped, Filter, Report, Source},
};

/// The largest file that is looked at, bytes: a day's GPX with the chattiest extensions stays under it.
pub const MAX_BYTES: usize = 32 << 20;

/// The most points a file may have: one a second for 24 hours are 86,400. As chunks they are less than 1 MiB.
pub const MAX_POINTS: u32 = 100_000;

/// What is in a track file, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackFile {
    /// Points with a time and a place on the map; their accuracy is unknown. Times are not yet judged.
    pub fixes: Vec<Fix>,
    /// All points of the track, also those that gave no fix.
    pub points_seen: u32,
    /// Points without a time that can be read.
    pub without_time: u32,
    /// Points off the Earth, at 0,0, or without numbers for a place.
    pub off_the_map: u32,
    /// NMEA lines that were damaged (a bad or missing checksum); they are passed over.
    pub damaged_lines: u32,
}

impl TrackFile {
    /// Counts one more point.
    fn see_point(&mut self) -> Result<(), Invalid> {
        if self.points_seen == MAX_POINTS {
            return Err(refused(Rule::TooLarge));
        }
        self.points_seen += 1;
        Ok(())
    }

    /// Refuses a file of which no fix can be believed, with the reason that most of its points share.
    fn judged(self) -> Result<Self, Invalid> {
        if self.points_seen == 0 {
            return Err(refused(Rule::Empty));
        }
        if self.fixes.is_empty() {
            let rule = if self.off_the_map > self.without_time {
                Rule::OffTheMap
            } else {
                Rule::WithoutTimes
            };
            return Err(refused(rule));
        }
        if !self
            .fixes
            .iter()
            .any(|fix| BELIEVABLE_MS.contains(&fix.at_ms))
        {
            return Err(refused(Rule::OutOfTime));
        }
        Ok(self)
    }
}

/// What this file holds.
///
/// # Errors
/// At `track`: `TooLarge`, `Empty` (nothing, or no track points), `Unreadable` (neither XML nor NMEA), `WrongKind` (XML,
/// but not GPX 1.0 or 1.1), `WithoutTimes`, `OutOfTime` and `OffTheMap` (when that is true of every point).
pub fn read(bytes: &[u8]) -> Result<TrackFile, Invalid> {
    if bytes.len() > MAX_BYTES {
        return Err(refused(Rule::TooLarge));
    }
    let text = bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(bytes)
        .trim_ascii();
    let file = match text.first() {
        None => return Err(refused(Rule::Empty)),
        Some(b'<') => gpx::read(text)?,
        Some(_) => nmea::read(text)?,
    };
    file.judged()
}

/// What a patrol keeps of this file, and what became of every point. Fixes are taken in the order of the file, so a
/// segment that goes back in time is dropped as `OutOfOrder`.
///
/// # Errors
/// As [`read`].
pub fn import(bytes: &[u8]) -> Result<(Vec<Fix>, Report), Invalid> {
    let file = read(bytes)?;
    let mut filter = Filter::new(None);
    let mut fixes = file.fixes;
    fixes.retain(|fix| filter.admit(*fix, Source::Imported).is_ok());
    let mut report = filter.into_report();
    report.add_dropped(Dropped::WithoutTime, file.without_time);
    report.add_dropped(Dropped::OffTheMap, file.off_the_map);
    Ok((fixes, report))
}

fn refused(rule: Rule) -> Invalid {
    Invalid::new("track", rule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::{pack, segments};
    use proptest::prelude::*;

    /// The rule for which `bytes` is refused.
    pub(super) fn rule(bytes: impl AsRef<[u8]>) -> Option<Rule> {
        read(bytes.as_ref()).err().map(|invalid| {
            assert_eq!(invalid.field, "track");
            invalid.rule
        })
    }

    #[test]
    fn nothing_and_what_is_no_track_file_are_refused() {
        assert_eq!(rule(b""), Some(Rule::Empty));
        assert_eq!(rule(b" \n\t"), Some(Rule::Empty));
        assert_eq!(rule("lộ trình"), Some(Rule::Unreadable));
        assert_eq!(rule([0xff, 0xd8, 0xff, 0xe0]), Some(Rule::Unreadable));
    }

    #[test]
    fn a_file_of_more_than_32_mib_is_refused_before_it_is_read() {
        assert_eq!(rule(vec![b'<'; MAX_BYTES + 1]), Some(Rule::TooLarge));
        assert_eq!(rule(vec![b'<'; 1_000]), Some(Rule::Unreadable));
    }

    #[test]
    fn a_file_with_more_points_than_a_day_has_seconds_is_refused() {
        let point = "<trkpt lat='1' lon='2'><time>2026-11-23T05:00:00Z</time></trkpt>";
        let gpx = |n: u32| {
            format!(
                "<gpx><trk><trkseg>{}</trkseg></trk></gpx>",
                point.repeat(n as usize)
            )
        };
        assert_eq!(rule(gpx(MAX_POINTS)), None);
        assert_eq!(rule(gpx(MAX_POINTS + 1)), Some(Rule::TooLarge));
    }

    #[test]
    fn an_import_reports_every_point_and_drops_a_segment_that_goes_back_in_time() {
        let point =
            |lat: f64, time: &str| format!("<trkpt lat='{lat}' lon='105.68'>{time}</trkpt>");
        let at = |minute: u8| format!("<time>2026-11-23T12:{minute:02}:00+07:00</time>");
        let gpx = format!(
            "<gpx version='1.1'><trk><trkseg>{}{}{}</trkseg><trkseg>{}{}</trkseg></trk></gpx>",
            point(18.673, &at(10)),
            point(18.674, &at(11)),
            point(18.675, ""),
            point(18.676, &at(5)),
            point(98.0, &at(12)),
        );
        let (fixes, report) = import(gpx.as_bytes()).expect("a track");
        assert_eq!(fixes.len(), 2);
        assert!(fixes.iter().all(|fix| fix.accuracy_dm.is_none()));
        assert_eq!(report.kept, 2);
        let dropped = [
            Dropped::WithoutTime,
            Dropped::OutOfOrder,
            Dropped::OffTheMap,
        ];
        assert_eq!(dropped.map(|reason| report.dropped_for(reason)), [1, 1, 1]);
        assert_eq!(report.seen(), 5);
    }

    #[test]
    fn real_recordings_become_useful_patrols() {
        use std::io::Write as _;
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
        for (name, points) in [("walk-2010.gpx", 296), ("car-2016.gpx", 104)] {
            let Ok(bytes) = std::fs::read(format!("{folder}/{name}")) else {
                // Past libtest, which holds back what passing tests print: tests/run.py counts this line.
                let _ = writeln!(
                    std::io::stderr(),
                    "SKIPPED: real_recordings_become_useful_patrols: {name} is not beside the project"
                );
                continue;
            };
            let (fixes, report) = import(&bytes).expect("a track");
            let bytes: usize = fixes.chunks(60).map(|chunk| pack(chunk).len()).sum();
            eprintln!(
                "{name}: {report:?}, {} segments, {:.0} m, {:.2} bytes per fix",
                segments(&fixes).len(),
                crate::track::length_m(&fixes),
                bytes as f64 / fixes.len() as f64,
            );
            assert_eq!(report.seen(), points);
            assert!(report.kept * 2 > points, "most of it is kept");
            assert_eq!(report.dropped_for(Dropped::OutOfOrder), 0);
        }
    }

    proptest! {
        #[test]
        fn random_text_never_panics(text in "[<$!]?[ -~\n]{0,200}") {
            let _ = import(text.as_bytes());
        }

        #[test]
        fn a_gpx_cut_or_changed_anywhere_never_panics(at in 0_usize..200, byte: u8, cut: bool) {
            let mut gpx = b"<gpx version=\"1.1\"><trk><trkseg><trkpt lat=\"18.6\" lon=\"105.6\"><time>2026-11-23T05:00:00Z</time></trkpt></trkseg></trk></gpx>".to_vec();
            let at = at % gpx.len();
            if cut {
                gpx.truncate(at);
                prop_assert!(import(&gpx).is_err());
            } else {
                gpx[at] = byte;
                let _ = import(&gpx);
            }
        }
    }
}
