//! The track and the picture that the story uses: our own, or what `TRACK` and `PHOTO` name. A file is judged here, before
//! anything starts: by the rules of the core, and a picture also by whether it decodes, which the server would find out
//! later. What it broke is told with what to do about it.

use crate::stage::Failed;
use jiff::Timestamp;
use kieumau_core::{
    attachment::MediaType,
    invalid::{Invalid, Rule},
    position::Fix,
    track_file,
};
use std::{fmt::Write as _, io::Read as _, path::Path};

/// A street of nowhere, drawn by us; wider than high, the moon at the top right.
const STREET: &[u8] = include_bytes!("../../../demo/street.jpg");

/// Corners of a round through Trường Vinh, degrees; our own reading of where streets cross.
const ROUND: [(f64, f64); 8] = [
    (18.6713, 105.6866),
    (18.6742, 105.6893),
    (18.6771, 105.6921),
    (18.6795, 105.6886),
    (18.6812, 105.6851),
    (18.6784, 105.6818),
    (18.6753, 105.6789),
    (18.6726, 105.6827),
];
/// The built-in walk: a fix every ten seconds for forty minutes.
const STEPS: u32 = 240;
const STEP_MS: i64 = 10_000;
/// Where the receiver was silent for four minutes.
const SILENT: std::ops::Range<u32> = 110..134;
/// Where it was wrong once, by a kilometre.
const WILD: u32 = 60;

/// See the module.
pub struct Brought {
    /// The track file's bytes.
    pub track: Vec<u8>,
    /// What a patrol keeps of it.
    pub fixes: Vec<Fix>,
    /// The picture's bytes.
    pub photo: Vec<u8>,
}

impl Brought {
    /// What is named, or our own.
    ///
    /// # Errors
    /// The rule that a file breaks, and what to do.
    pub fn new(track: Option<&Path>, photo: Option<&Path>) -> Result<Self, Failed> {
        let bytes = match track {
            Some(path) => read("TRACK", path)?,
            None => vinh(Timestamp::now().as_millisecond()).into_bytes(),
        };
        let (fixes, _) =
            track_file::import(&bytes).map_err(|invalid| refused("TRACK", track, &invalid))?;
        if fixes.is_empty() {
            let invalid = Invalid::new("track", Rule::Empty);
            return Err(refused("TRACK", track, &invalid));
        }
        let picture = match photo {
            Some(path) => read("PHOTO", path)?,
            None => STREET.to_vec(),
        };
        check_photo(&picture).map_err(|invalid| refused("PHOTO", photo, &invalid))?;
        Ok(Self {
            track: bytes,
            fixes,
            photo: picture,
        })
    }

    /// When the patrol begins: the track's own first time.
    pub fn first_ms(&self) -> i64 {
        self.fixes.first().map_or(0, |fix| fix.at_ms)
    }

    /// When it ends: the track's own last time.
    pub fn last_ms(&self) -> i64 {
        self.fixes.last().map_or(0, |fix| fix.at_ms)
    }

    /// The fix nearest to the middle of the patrol in time.
    pub fn middle(&self) -> Option<&Fix> {
        let middle_ms = i64::midpoint(self.first_ms(), self.last_ms());
        self.fixes
            .iter()
            .min_by_key(|fix| fix.at_ms.abs_diff(middle_ms))
    }
}

fn read(variable: &str, path: &Path) -> Result<Vec<u8>, Failed> {
    let failed = |error| Failed::new(format!("{variable}={}: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    // One byte above the largest that any rule takes, so that the rule speaks and not the memory.
    file.take(kieumau_core::attachment::SIZE_LIMIT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

/// Whether this is a photo: of a kind that is taken, and whole.
fn check_photo(bytes: &[u8]) -> Result<(), Invalid> {
    let head = &bytes[..bytes.len().min(MediaType::SNIFFED_BYTES)];
    if MediaType::of(head, bytes.len() as u64)? == MediaType::Pdf {
        return Err(Invalid::new("attachment", Rule::WrongKind));
    }
    match image::load_from_memory(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(Invalid::new("attachment", Rule::Unreadable)),
    }
}

/// The broken rule in its own word, and what to do.
fn refused(variable: &str, path: Option<&Path>, invalid: &Invalid) -> Failed {
    let name = path.map_or_else(|| "built in".to_owned(), |path| path.display().to_string());
    let to_do = match (variable, invalid.rule) {
        ("TRACK", Rule::WithoutTimes) => {
            "các điểm không có giờ: xuất lại kèm giờ · its points have no times: export it again with a time for each point"
        }
        ("TRACK", Rule::OutOfTime) => {
            "giờ trước năm 2000 hoặc sau năm 2100: đặt lại đồng hồ máy thu · times before 2000 or after 2100: set the \
             receiver's clock, or take another track"
        }
        ("TRACK", Rule::OffTheMap) => {
            "không có vị trí dùng được · it has no place on the map: take another track"
        }
        ("TRACK", Rule::Empty) => {
            "tệp không có điểm nào · it has no track points: take another track"
        }
        ("TRACK", Rule::TooLarge) => {
            "tệp quá lớn: cắt thành từng ca · too large: cut it into shifts"
        }
        ("TRACK", _) => {
            "chỉ nhận GPX 1.0, 1.1 hoặc NMEA, còn nguyên vẹn · only GPX 1.0, 1.1 and NMEA are taken, and whole: export it again as one of these"
        }
        (_, Rule::TooLarge) => {
            "ảnh lớn hơn 64 MiB: thu nhỏ lại · larger than 64 MiB: make it smaller"
        }
        _ => {
            "không phải ảnh, hoặc ảnh bị hỏng: chọn tệp JPEG, PNG hoặc WebP · no photo, or a damaged one: take a JPEG, PNG or WebP"
        }
    };
    Failed::new(format!("{variable}={name}: {invalid}: {to_do}"))
}

/// A walk through Vinh as GPX 1.1, ending a minute before `now_ms`: with a receiver's noise, a silence and one wild fix, the
/// same each time but for the clock.
fn vinh(now_ms: i64) -> String {
    let start_ms = now_ms - 60_000 - i64::from(STEPS) * STEP_MS;
    let mut gpx = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<gpx version=\"1.1\" creator=\"kieumau demo\" \
         xmlns=\"http://www.topografix.com/GPX/1/1\"><trk><trkseg>\n",
    );
    for step in (0..STEPS).filter(|step| !SILENT.contains(step)) {
        let along = f64::from(step) / f64::from(STEPS) * ROUND.len() as f64;
        let corner = along as usize;
        let part = along.fract();
        let (from, to) = (
            ROUND[corner % ROUND.len()],
            ROUND[(corner + 1) % ROUND.len()],
        );
        let noise = |salt: u32| (f64::from((step + 1) * salt % 97) / 97.0 - 0.5) * 0.00004;
        let wild = if step == WILD { 0.01 } else { 0.0 };
        let lat = from.0 + (to.0 - from.0) * part + noise(31) + wild;
        let lon = from.1 + (to.1 - from.1) * part + noise(57);
        let at =
            Timestamp::from_millisecond(start_ms + i64::from(step) * STEP_MS).unwrap_or_default();
        writeln!(
            gpx,
            "<trkpt lat=\"{lat:.7}\" lon=\"{lon:.7}\"><time>{at:.3}</time></trkpt>"
        )
        .expect("a string takes any text");
    }
    gpx.push_str("</trkseg></trk></gpx>\n");
    gpx
}
