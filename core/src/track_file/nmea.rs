//! NMEA 0183 logs: the sentences RMC (time, date, place) and GGA (time, place), each with its checksum.
//!
//! A receiver says each moment several times; one moment is one point. GGA has no date, so it takes the day that puts it
//! nearest to the last RMC (before the first: to the next), which also carries it over midnight. Other sentences are
//! passed over; damaged lines are counted and passed over, since a log on a serial line always has some.

use super::{TrackFile, refused};
use crate::{
    invalid::{Invalid, Rule},
    position::{Fix, Position},
};
use nmea::{
    ParseResult, parse_str,
    sentences::{FixType, rmc::RmcStatusOfFix},
};

const DAY_MS: i64 = 86_400_000;

/// A place at a time of the day (milliseconds), of which the date is not known yet.
struct Undated {
    time_ms: i64,
    place: Option<(f64, f64)>,
}

#[derive(Default)]
struct Log {
    file: TrackFile,
    /// The moment of the last RMC.
    rmc_at_ms: Option<i64>,
    /// The moment of the last point: what another sentence says about it is not another point.
    point_at_ms: Option<i64>,
    /// What came before the first date.
    undated: Vec<Undated>,
}

pub(super) fn read(bytes: &[u8]) -> Result<TrackFile, Invalid> {
    let mut log = Log::default();
    let mut sentences = 0_u32;
    for line in bytes.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let line = line.trim_ascii();
        if !line.starts_with(b"$") {
            continue;
        }
        let parsed = str::from_utf8(line).ok().map(parse_str);
        match parsed {
            None | Some(Err(nmea::Error::ASCII | nmea::Error::ChecksumMismatch { .. })) => {
                log.file.damaged_lines += 1;
                continue;
            }
            Some(Ok(ParseResult::RMC(rmc))) if rmc.status_of_fix != RmcStatusOfFix::Invalid => {
                if let Some((date, time)) = rmc.fix_date.zip(rmc.fix_time) {
                    let at_ms = date.and_time(time).and_utc().timestamp_millis();
                    log.dated(at_ms, rmc.lat.zip(rmc.lon))?;
                }
            }
            Some(Ok(ParseResult::GGA(gga))) if gga.fix_type != Some(FixType::Invalid) => {
                if let Some(time) = gga.fix_time {
                    let time_ms = time
                        .signed_duration_since(Default::default())
                        .num_milliseconds();
                    log.undated(Undated {
                        time_ms,
                        place: gga.latitude.zip(gga.longitude),
                    })?;
                }
            }
            // A sentence we do not read, or a receiver that does not know yet where it is.
            Some(Ok(_)) => {}
            // A line that was cut: no checksum, or fields missing under a good one.
            Some(Err(error)) => {
                if !matches!(error, nmea::Error::DisabledSentence) {
                    log.file.damaged_lines += 1;
                    continue;
                }
            }
        }
        sentences += 1;
    }
    if sentences == 0 {
        return Err(refused(Rule::Unreadable));
    }
    log.file.without_time += u32::try_from(log.undated.len()).unwrap_or(u32::MAX);
    Ok(log.file)
}

impl Log {
    /// An RMC: it dates itself, what follows and, if it is the first, what came before.
    fn dated(&mut self, at_ms: i64, place: Option<(f64, f64)>) -> Result<(), Invalid> {
        self.rmc_at_ms = Some(at_ms);
        for waiting in std::mem::take(&mut self.undated) {
            self.point(nearest(at_ms, waiting.time_ms), waiting.place);
        }
        if self.point_at_ms != Some(at_ms) {
            self.file.see_point()?;
            self.point(at_ms, place);
        }
        Ok(())
    }

    /// A GGA: dated by the last RMC, or waiting for the first.
    fn undated(&mut self, gga: Undated) -> Result<(), Invalid> {
        let at_ms = self
            .rmc_at_ms
            .map(|rmc_at_ms| nearest(rmc_at_ms, gga.time_ms));
        if at_ms.is_some() && at_ms == self.point_at_ms {
            return Ok(());
        }
        self.file.see_point()?;
        match at_ms {
            Some(at_ms) => self.point(at_ms, gga.place),
            None => self.undated.push(gga),
        }
        Ok(())
    }

    /// The fix of a point that was already counted.
    fn point(&mut self, at_ms: i64, place: Option<(f64, f64)>) {
        self.point_at_ms = Some(at_ms);
        match place.map(|(lat, lon)| Position::from_degrees(lat, lon)) {
            Some(Ok(position)) => self.file.fixes.push(Fix {
                at_ms,
                position,
                accuracy_dm: None,
            }),
            _ => self.file.off_the_map += 1,
        }
    }
}

/// The moment at this time of the day that is nearest to `rmc_at_ms`: less than half a day before or after.
fn nearest(rmc_at_ms: i64, time_ms: i64) -> i64 {
    let at_ms = rmc_at_ms - rmc_at_ms.rem_euclid(DAY_MS) + time_ms;
    match at_ms - rmc_at_ms {
        ahead if ahead > DAY_MS / 2 => at_ms - DAY_MS,
        behind if behind < -DAY_MS / 2 => at_ms + DAY_MS,
        _ => at_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{read, tests::rule};
    use super::*;

    /// The sentence with its checksum.
    fn sentence(body: &str) -> String {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        format!("${body}*{sum:02X}\r\n")
    }

    fn rmc(date: &str, time: &str) -> String {
        sentence(&format!(
            "GPRMC,{time},A,1840.404,N,10540.878,E,2.5,54.7,{date},,,A"
        ))
    }

    fn gga(time: &str) -> String {
        sentence(&format!(
            "GPGGA,{time},1840.404,N,10540.878,E,1,08,0.9,12.0,M,-25.0,M,,"
        ))
    }

    fn times(log: &[String]) -> Vec<i64> {
        let file = read(log.concat().as_bytes()).expect("a track");
        file.fixes.iter().map(|fix| fix.at_ms).collect()
    }

    /// 2026-11-23T05:00:00Z.
    const START_MS: i64 = 1_795_410_000_000;

    #[test]
    fn a_moment_that_two_sentences_tell_is_one_point() {
        let log = [
            gga("050000.00"),
            rmc("231126", "050000.00"),
            gga("050000.00"),
            rmc("231126", "050001.50"),
        ];
        assert_eq!(times(&log), [START_MS, START_MS + 1_500]);
        let file = read(log.concat().as_bytes()).expect("a track");
        assert_eq!(file.points_seen, 2);
        let position = file.fixes[0].position;
        assert_eq!(
            (position.lat_e7, position.lon_e7),
            (186_734_000, 1_056_813_000)
        );
        assert_eq!(file.fixes[0].accuracy_dm, None);
    }

    #[test]
    fn a_place_without_a_date_takes_that_of_the_nearest_rmc_also_over_midnight() {
        let log = [gga("235958"), rmc("241126", "000001"), gga("000002")];
        let midnight = START_MS + 19 * 3_600_000;
        assert_eq!(
            times(&log),
            [midnight - 2_000, midnight + 1_000, midnight + 2_000]
        );
        let log = [rmc("231126", "235959"), gga("000001")];
        assert_eq!(times(&log), [midnight - 1_000, midnight + 1_000]);
    }

    #[test]
    fn damaged_lines_are_counted_and_passed_over() {
        let bad = rmc("231126", "050005")
            .replace("054", "154")
            .replace("2.5", "9.5");
        let log = [
            rmc("231126", "050000"),
            bad,
            "$GPRMC,0500\r\n".into(),
            gga("050010"),
        ];
        let file = read(log.concat().as_bytes()).expect("a track");
        assert_eq!((file.damaged_lines, file.fixes.len()), (2, 2));
    }

    #[test]
    fn a_receiver_that_does_not_know_where_it_is_gives_no_point() {
        let void = sentence("GPRMC,050000,V,,,,,,,231126,,,N");
        assert_eq!(rule(&void), Some(Rule::Empty));
        assert_eq!(times(&[void, rmc("231126", "050001")]), [START_MS + 1_000]);
    }

    #[test]
    fn a_log_without_dates_without_sentences_or_before_2000_is_refused() {
        assert_eq!(
            rule([gga("050000"), gga("050001")].concat()),
            Some(Rule::WithoutTimes)
        );
        assert_eq!(
            rule(gga("050000").replace("GPGGA", "GPGGB")),
            Some(Rule::Unreadable)
        );
        assert_eq!(rule(rmc("231199", "050000")), Some(Rule::OutOfTime));
    }
}
