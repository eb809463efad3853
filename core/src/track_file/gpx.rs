//! GPX 1.0 and 1.1: the track points (`gpx/trk/trkseg/trkpt`) with their own `time`, nothing else of it.
//!
//! Read as a stream of events. Waypoints and routes are places somebody planned, not where a patrol was. Prefixes of
//! names do not matter, text that is not UTF-8 is replaced (only numbers and times are looked at), and a document type
//! is refused: no GPX has one, and entities are what hostile XML is made of.

use super::{TrackFile, refused};
use crate::{
    invalid::{Invalid, Rule},
    position::{Fix, Position},
};
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

/// Deeper than this is not a GPX file. Extensions of vendors go to about eight.
const MAX_DEPTH: usize = 64;

/// `gpx`, `trk`, `trkseg`, `trkpt`: a point's own depth.
const POINT_DEPTH: usize = 4;

/// A point while its element is open.
struct Point {
    position: Option<Position>,
    time: String,
}

pub(super) fn read(bytes: &[u8]) -> Result<TrackFile, Invalid> {
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader::from_str(&text);
    reader.config_mut().expand_empty_elements = true;
    let mut file = TrackFile::default();
    let mut point: Option<Point> = None;
    let mut in_time = false;
    let (mut depth, mut is_gpx) = (0, false);
    loop {
        match reader.read_event().map_err(|_| refused(Rule::Unreadable))? {
            Event::Start(start) => {
                depth += 1;
                let name = start.local_name();
                match depth {
                    1 if is_gpx => return Err(refused(Rule::Unreadable)),
                    1 => is_gpx = check_root(&start)?,
                    POINT_DEPTH if name.as_ref() == "trkpt" => point = Some(open_point(&start)),
                    MAX_DEPTH.. => return Err(refused(Rule::Unreadable)),
                    _ => {}
                }
                in_time = depth == POINT_DEPTH + 1 && name.as_ref() == "time";
            }
            Event::Text(text) if in_time => {
                if let Some(point) = &mut point {
                    point.time.push_str(&text);
                }
            }
            Event::End(_) => {
                in_time = false;
                if depth == POINT_DEPTH
                    && let Some(point) = point.take()
                {
                    close_point(&mut file, &point)?;
                }
                depth -= 1;
            }
            Event::DocType(_) => return Err(refused(Rule::Unreadable)),
            Event::Eof if depth == 0 && is_gpx => return Ok(file),
            Event::Eof => return Err(refused(Rule::Unreadable)),
            _ => {}
        }
    }
}

/// `Ok(true)` if the root is that of GPX 1.0 or 1.1; a file that does not name its version is taken.
fn check_root(start: &BytesStart) -> Result<bool, Invalid> {
    let version = attribute(start, "version");
    let known = matches!(version.as_deref(), None | Some("1.0" | "1.1"));
    if known && start.local_name().as_ref() == "gpx" {
        Ok(true)
    } else {
        Err(refused(Rule::WrongKind))
    }
}

fn open_point(start: &BytesStart) -> Point {
    let degrees = |name| attribute(start, name)?.trim().parse::<f64>().ok();
    let position = degrees("lat")
        .zip(degrees("lon"))
        .and_then(|(lat, lon)| Position::from_degrees(lat, lon).ok());
    Point {
        position,
        time: String::new(),
    }
}

fn close_point(file: &mut TrackFile, point: &Point) -> Result<(), Invalid> {
    file.see_point()?;
    let Some(position) = point.position else {
        file.off_the_map += 1;
        return Ok(());
    };
    // RFC 3339, with any offset and fraction. A time without an offset is nobody's time and counts as none.
    match point.time.trim().parse::<jiff::Timestamp>() {
        Ok(time) => file.fixes.push(Fix {
            at_ms: time.as_millisecond(),
            position,
            accuracy_dm: None,
        }),
        Err(_) => file.without_time += 1,
    }
    Ok(())
}

/// The attribute as it stands. Looked up without the check for duplicates, which is quadratic.
fn attribute(start: &BytesStart, name: &str) -> Option<String> {
    let found = start.try_get_attribute(name).ok()??;
    Some(found.value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{read, tests::rule};
    use super::*;

    fn gpx(points: &str) -> String {
        format!(
            "<?xml version='1.0'?><gpx version='1.1' xmlns='http://www.topografix.com/GPX/1/1'><trk><trkseg>{points}</trkseg></trk></gpx>"
        )
    }

    fn at(time: &str) -> String {
        format!("<trkpt lat='18.6734' lon='105.6813'><time>{time}</time></trkpt>")
    }

    #[test]
    fn times_are_read_with_offsets_and_fractions() {
        let file = read(
            gpx(&[
                at("2026-11-23T12:00:00.250+07:00"),
                at("2026-11-23T05:00:01Z"),
            ]
            .concat())
            .as_bytes(),
        )
        .expect("a track");
        let times: Vec<_> = file.fixes.iter().map(|fix| fix.at_ms).collect();
        assert_eq!(times, [1_795_410_000_250, 1_795_410_001_000]);
    }

    #[test]
    fn only_track_points_with_their_own_time_count_and_hdop_is_not_accuracy() {
        let point = "<trkpt lat='18.6734' lon='105.6813'><hdop>1.2</hdop><extensions><x><time>2001-01-01T00:00:00Z</time></x></extensions><time>2026-11-23T05:00:00Z</time></trkpt>";
        let text = gpx(point).replace(
            "<trk>",
            "<wpt lat='1' lon='1'><time>2026-11-23T04:00:00Z</time></wpt><rte><rtept lat='2' lon='2'/></rte><trk>",
        );
        let file = read(text.as_bytes()).expect("a track");
        assert_eq!(file.points_seen, 1);
        assert_eq!(
            (file.fixes[0].at_ms, file.fixes[0].accuracy_dm),
            (1_795_410_000_000, None)
        );
    }

    #[test]
    fn a_prefix_and_latin_1_text_do_not_matter() {
        let text = gpx(&at("2026-11-23T05:00:00Z"))
            .replace("</", "</g:")
            .replace("<t", "<g:t")
            .replace("<gpx", "<g:gpx");
        let mut bytes = text.into_bytes();
        let end = bytes.len() - "</g:trk></g:gpx>".len();
        bytes.splice(end..end, *b"<name>\xe9</name>");
        assert_eq!(read(&bytes).expect("a track").fixes.len(), 1);
    }

    #[test]
    fn a_file_whose_every_point_has_the_same_fault_is_refused_for_it() {
        assert_eq!(rule(gpx("")), Some(Rule::Empty));
        assert_eq!(
            rule(gpx("<trkpt lat='18.6' lon='105.6'/>")),
            Some(Rule::WithoutTimes)
        );
        assert_eq!(
            rule(gpx(&at("2026-11-23T05:00:00"))),
            Some(Rule::WithoutTimes)
        );
        assert_eq!(
            rule(gpx(&at("1999-12-31T23:59:59Z"))),
            Some(Rule::OutOfTime)
        );
        let nowhere = at("2026-11-23T05:00:00Z")
            .replace("18.6734", "0")
            .replace("105.6813", "0");
        assert_eq!(rule(gpx(&nowhere)), Some(Rule::OffTheMap));
        let mixed = [
            nowhere,
            at("1999-12-31T23:59:59Z"),
            at("2026-11-23T05:00:00Z"),
        ]
        .concat();
        assert_eq!(rule(gpx(&mixed)), None);
    }

    #[test]
    fn what_is_not_whole_xml_or_not_gpx_is_refused() {
        let whole = gpx(&at("2026-11-23T05:00:00Z"));
        assert_eq!(rule(&whole), None);
        assert_eq!(rule(&whole[..whole.len() - 7]), Some(Rule::Unreadable));
        assert_eq!(
            rule(whole.replace("</trkseg>", "</trk>")),
            Some(Rule::Unreadable)
        );
        assert_eq!(rule(whole.replace("'1.1'", "'2.0'")), Some(Rule::WrongKind));
        assert_eq!(rule("<html><body/></html>"), Some(Rule::WrongKind));
    }

    #[test]
    fn a_file_that_nests_without_end_is_refused() {
        let nested = |n: usize| {
            gpx(&format!(
                "{}{}{}",
                "<a>".repeat(n),
                at("2026-11-23T05:00:00Z"),
                "</a>".repeat(n)
            ))
        };
        assert_eq!(rule(nested(100_000)), Some(Rule::Unreadable));
        assert_eq!(rule(nested(50)), Some(Rule::Empty));
    }

    #[test]
    fn entities_are_refused_and_never_expanded() {
        let bomb = "<!DOCTYPE gpx [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]>";
        let text = gpx(&at("2026-11-23T05:00:00Z"));
        assert_eq!(
            rule(text.replace("<gpx", &format!("{bomb}<gpx"))),
            Some(Rule::Unreadable)
        );
        assert_eq!(
            rule(text.replace("05:00:00Z", "&b;")),
            Some(Rule::WithoutTimes)
        );
    }
}
