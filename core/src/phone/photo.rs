//! What a photo says about itself: where and when the camera says it was taken. Facts for the officer's screen, before and after it is
//! attached; the file is only read, and its bytes stay what they are.
//!
//! Nothing here is believed by anybody else: the place of an observation is the phone's own, and a camera may say what it likes.

use super::error::PhoneError;
use crate::position::Position;
use exif::{Exif, In, Rational, Tag, Value};
use std::{fs::File, io::BufReader, path::Path};

/// What a photo says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhotoFacts {
    /// Where.
    pub position: Option<Position>,
    /// When by the camera's clock, `2026-11-21T21:05:00`, and without a zone unless the camera names one: `…+07:00`.
    pub taken_at: Option<String>,
    /// When by the satellites' clock, Unix milliseconds.
    pub gps_at_ms: Option<i64>,
}

/// What the photo at `path` says about itself; nothing for a file that says nothing.
///
/// # Errors
/// `NotFound` for no file; `Internal` when the disk fails.
pub fn photo_facts(path: &Path) -> Result<PhotoFacts, PhoneError> {
    let mut file = BufReader::new(File::open(path)?);
    // A reader that panics on a bent file takes away facts and not the photo.
    let read = std::panic::catch_unwind(move || {
        let exif = exif::Reader::new().read_from_container(&mut file).ok()?;
        Some(facts(&exif))
    });
    Ok(read.ok().flatten().unwrap_or_default())
}

fn facts(exif: &Exif) -> PhotoFacts {
    PhotoFacts {
        position: position(exif),
        taken_at: taken_at(exif),
        gps_at_ms: gps_at_ms(exif),
    }
}

fn position(exif: &Exif) -> Option<Position> {
    let lat = degrees(exif, Tag::GPSLatitude, Tag::GPSLatitudeRef, "S")?;
    let lon = degrees(exif, Tag::GPSLongitude, Tag::GPSLongitudeRef, "W")?;
    Position::from_degrees(lat, lon).ok()
}

/// Degrees, minutes, seconds; below zero on the side called `below_zero`.
fn degrees(exif: &Exif, value: Tag, side: Tag, below_zero: &str) -> Option<f64> {
    let [degrees, minutes, seconds] = three(exif, value)?;
    let size = degrees + minutes / 60.0 + seconds / 3_600.0;
    let below = text(exif, side)?.eq_ignore_ascii_case(below_zero);
    Some(if below { -size } else { size })
}

fn three(exif: &Exif, tag: Tag) -> Option<[f64; 3]> {
    let Value::Rational(parts) = &exif.get_field(tag, In::PRIMARY)?.value else {
        return None;
    };
    let numbers: Vec<f64> = parts.iter().map(Rational::to_f64).collect();
    let three: [f64; 3] = numbers.try_into().ok()?;
    three.iter().all(|part| part.is_finite()).then_some(three)
}

fn text(exif: &Exif, tag: Tag) -> Option<String> {
    let Value::Ascii(texts) = &exif.get_field(tag, In::PRIMARY)?.value else {
        return None;
    };
    let text = String::from_utf8(texts.first()?.clone()).ok()?;
    Some(text.trim().to_owned())
}

/// EXIF writes `2026:11:21 21:05:00`.
fn taken_at(exif: &Exif) -> Option<String> {
    let written = text(exif, Tag::DateTimeOriginal)?;
    let at = jiff::civil::DateTime::strptime("%Y:%m:%d %H:%M:%S", written).ok()?;
    let zone = text(exif, Tag::OffsetTimeOriginal)
        .filter(|zone| zone == "Z" || (zone.len() == 6 && zone.starts_with(['+', '-'])))
        .unwrap_or_default();
    Some(format!("{at}{zone}"))
}

/// The satellites' clock is UTC.
fn gps_at_ms(exif: &Exif) -> Option<i64> {
    let day = jiff::civil::Date::strptime("%Y:%m:%d", text(exif, Tag::GPSDateStamp)?).ok()?;
    let [hour, minute, second] = three(exif, Tag::GPSTimeStamp)?;
    let seconds = hour * 3_600.0 + minute * 60.0 + second;
    if !(0.0..86_401.0).contains(&seconds) {
        return None;
    }
    let midnight = jiff::tz::Offset::UTC
        .to_timestamp(day.at(0, 0, 0, 0))
        .ok()?;
    Some(midnight.as_millisecond() + (seconds * 1_000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use exif::{Field, experimental::Writer};
    use std::io::Cursor;

    fn field(tag: Tag, value: Value) -> Field {
        Field {
            tag,
            ifd_num: In::PRIMARY,
            value,
        }
    }

    fn ascii(tag: Tag, text: &str) -> Field {
        field(tag, Value::Ascii(vec![text.as_bytes().to_vec()]))
    }

    fn rational(tag: Tag, parts: [(u32, u32); 3]) -> Field {
        let parts = parts.map(|(num, denom)| Rational { num, denom });
        field(tag, Value::Rational(parts.to_vec()))
    }

    /// A photo that says these things.
    fn photo(fields: &[Field]) -> Vec<u8> {
        let mut writer = Writer::new();
        for field in fields {
            writer.push_field(field);
        }
        let mut tiff = Cursor::new(Vec::new());
        writer.write(&mut tiff, false).expect("written");
        let exif = [b"Exif\0\0", tiff.into_inner().as_slice()].concat();
        let length = u16::try_from(exif.len() + 2).expect("short");
        let begin = [0xff, 0xd8, 0xff, 0xe1];
        [&begin, &length.to_be_bytes()[..], &exif, &[0xff, 0xd9]].concat()
    }

    fn read(bytes: &[u8]) -> PhotoFacts {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("photo");
        std::fs::write(&path, bytes).expect("written");
        let facts = photo_facts(&path).expect("reads");
        assert_eq!(std::fs::read(&path).expect("reads"), bytes);
        facts
    }

    fn in_vinh() -> Vec<Field> {
        vec![
            ascii(Tag::GPSLatitudeRef, "N"),
            rational(Tag::GPSLatitude, [(18, 1), (40, 1), (2_424, 100)]),
            ascii(Tag::GPSLongitudeRef, "E"),
            rational(Tag::GPSLongitude, [(105, 1), (40, 1), (5_268, 100)]),
            ascii(Tag::GPSDateStamp, "2026:11:21"),
            rational(Tag::GPSTimeStamp, [(14, 1), (5, 1), (30, 1)]),
            ascii(Tag::DateTimeOriginal, "2026:11:21 21:05:30"),
            ascii(Tag::OffsetTimeOriginal, "+07:00"),
        ]
    }

    #[test]
    fn a_photo_says_where_and_when_it_was_taken_and_keeps_its_bytes() {
        let facts = read(&photo(&in_vinh()));
        let vinh = Position::from_degrees(18.673_4, 105.681_3).expect("on the map");
        assert_eq!(facts.position, Some(vinh));
        assert_eq!(facts.taken_at.as_deref(), Some("2026-11-21T21:05:30+07:00"));
        let at: jiff::Timestamp = "2026-11-21T14:05:30Z".parse().expect("a time");
        assert_eq!(facts.gps_at_ms, Some(at.as_millisecond()));
    }

    #[test]
    fn what_a_photo_says_wrongly_or_not_at_all_is_not_said() {
        let mut fields = in_vinh();
        fields[1] = rational(Tag::GPSLatitude, [(118, 1), (0, 1), (0, 1)]);
        fields[5] = rational(Tag::GPSTimeStamp, [(14, 0), (5, 1), (30, 1)]);
        fields[6] = ascii(Tag::DateTimeOriginal, "0000:00:00 00:00:00");
        assert_eq!(read(&photo(&fields)), PhotoFacts::default());
        assert_eq!(read(b"%PDF-1.7"), PhotoFacts::default());
        assert_eq!(read(b""), PhotoFacts::default());
        let whole = photo(&in_vinh());
        for cut in 0..whole.len() {
            read(&whole[..cut]);
        }
        let nowhere = photo_facts(Path::new("/nowhere/photo.jpg"));
        assert!(matches!(nowhere, Err(PhoneError::NotFound)));
    }
}
