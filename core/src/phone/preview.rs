//! The small picture of a photo, made on the phone when it is attached: upright, without metadata, at most 40 KB, so that on a slow
//! line a supervisor can see it long before the original is there.
//!
//! It is labelled inside: a JPEG comment says what it is and of which original, so that nobody takes it for evidence. The
//! original's bytes are never touched. A photo that does not decode within the bounds has none, and is attached all the same.

use crate::{attachment::PREVIEW_LIMIT_BYTES, hash::Sha256};
use image::{
    DynamicImage, ImageDecoder as _, ImageReader, ImageResult, Limits, Rgb, RgbImage,
    codecs::jpeg::JpegEncoder,
};
use std::{
    fs::File,
    io::{BufReader, Cursor},
    path::Path,
};

/// The largest preview, bytes.
pub(super) const LIMIT_BYTES: usize = PREVIEW_LIMIT_BYTES as usize;
/// The longest side of a photo that is looked at, pixels.
const PHOTO_SIDE_LIMIT_PX: u32 = 12_000;
/// What a photo may take in memory, bytes: 25 million pixels. Phones give 12, and have 2 GB to share with everything else.
const DECODE_LIMIT_BYTES: u64 = 75_000_000;
/// Longest sides and qualities, tried in this order until one is small enough. The last always is: 96 × 96 pixels at most.
const TRIES: [(u32, u8); 5] = [(640, 70), (640, 45), (480, 40), (320, 35), (96, 30)];

/// The preview of the photo at `path`, whose hash is `original`; none if it does not decode within the bounds.
pub(super) fn make(path: &Path, original: Sha256) -> Option<Vec<u8>> {
    // A decoder that panics takes away the preview and not the evidence.
    let photo = std::panic::catch_unwind(|| decoded(path)).ok()?.ok()?;
    TRIES
        .into_iter()
        .filter_map(|(side, quality)| encoded(&photo, side, quality).ok())
        .map(|jpeg| labelled(&jpeg, original))
        .find(|jpeg| jpeg.len() <= LIMIT_BYTES)
}

/// Upright, and no longer than the first try needs.
fn decoded(path: &Path) -> ImageResult<RgbImage> {
    let mut reader = ImageReader::new(BufReader::new(File::open(path)?)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(PHOTO_SIDE_LIMIT_PX);
    limits.max_image_height = Some(PHOTO_SIDE_LIMIT_PX);
    limits.max_alloc = Some(DECODE_LIMIT_BYTES);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // Not every decoder keeps the limit on what it gives out itself.
    limits.reserve(decoder.total_bytes())?;
    let orientation = decoder.orientation()?;
    let photo = DynamicImage::from_decoder(decoder)?;
    let mut small = on_white(&fitting(photo, TRIES[0].0));
    small.apply_orientation(orientation);
    Ok(small.into_rgb8())
}

fn fitting(photo: DynamicImage, side: u32) -> DynamicImage {
    if photo.width().max(photo.height()) > side {
        photo.thumbnail(side, side)
    } else {
        photo
    }
}

/// Without transparency: a scan whose paper is transparent is read on white.
fn on_white(photo: &DynamicImage) -> DynamicImage {
    let photo = photo.to_rgba8();
    DynamicImage::ImageRgb8(RgbImage::from_fn(photo.width(), photo.height(), |x, y| {
        let [red, green, blue, alpha] = photo.get_pixel(x, y).0.map(u32::from);
        let mixed = |colour: u32| {
            u8::try_from((colour * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)
        };
        Rgb([mixed(red), mixed(green), mixed(blue)])
    }))
}

fn encoded(photo: &RgbImage, side: u32, quality: u8) -> ImageResult<Vec<u8>> {
    let mut jpeg = Cursor::new(Vec::new());
    fitting(DynamicImage::ImageRgb8(photo.clone()), side)
        .write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, quality))?;
    Ok(jpeg.into_inner())
}

/// With a comment right after the two bytes that every JPEG begins with.
fn labelled(jpeg: &[u8], original: Sha256) -> Vec<u8> {
    let label = format!("kieumau preview of {original}");
    let (start, rest) = jpeg.split_at(jpeg.len().min(2));
    // The length of a comment counts its own two bytes.
    let length = u16::try_from(label.len() + 2).unwrap_or(u16::MAX);
    [
        start,
        &[0xff, 0xfe],
        &length.to_be_bytes(),
        label.as_bytes(),
        rest,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, metadata::Orientation};

    const ORIGINAL: Sha256 = Sha256([7; 32]);

    /// Noise: what compresses worst.
    fn noisy(width: u32, height: u32) -> RgbImage {
        let mut noise = 7_u32;
        RgbImage::from_fn(width, height, |_, _| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [a, b, c, _] = noise.to_le_bytes();
            Rgb([a, b, c])
        })
    }

    fn written(folder: &Path, bytes: &[u8]) -> std::path::PathBuf {
        let path = folder.join("photo");
        std::fs::write(&path, bytes).expect("written");
        path
    }

    fn jpeg(photo: &RgbImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        photo
            .write_to(&mut bytes, ImageFormat::Jpeg)
            .expect("encodes");
        bytes.into_inner()
    }

    /// The photo with an EXIF segment that says how it was held, and where.
    fn held(jpeg: &[u8], orientation: Orientation) -> Vec<u8> {
        let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x02".to_vec();
        exif.extend([0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation.to_exif(), 0, 0]);
        exif.extend([0x01, 0x0f, 0, 2, 0, 0, 0, 4]);
        exif.extend(b"VINH\0\0\0\0");
        let length = u16::try_from(exif.len() + 2).expect("short");
        [
            &jpeg[..2],
            &[0xff, 0xe1],
            &length.to_be_bytes(),
            &exif,
            &jpeg[2..],
        ]
        .concat()
    }

    #[test]
    fn the_preview_of_noise_is_small_labelled_and_decodes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = written(folder.path(), &jpeg(&noisy(2_000, 1_500)));
        let preview = make(&path, ORIGINAL).expect("is made");
        assert!(preview.len() <= LIMIT_BYTES, "{} bytes", preview.len());
        let label = format!("kieumau preview of {ORIGINAL}");
        assert!(
            preview
                .windows(label.len())
                .any(|part| part == label.as_bytes())
        );
        image::load_from_memory_with_format(&preview, ImageFormat::Jpeg).expect("decodes");
    }

    #[test]
    fn the_preview_is_upright_and_says_nothing_of_the_camera() {
        let folder = tempfile::tempdir().expect("a folder");
        let photo = held(&jpeg(&noisy(64, 32)), Orientation::Rotate90);
        let preview = make(&written(folder.path(), &photo), ORIGINAL).expect("is made");
        let seen = image::load_from_memory(&preview).expect("decodes");
        assert_eq!((seen.width(), seen.height()), (32, 64));
        for said in [&b"Exif"[..], b"VINH"] {
            assert!(photo.windows(4).any(|part| part == said));
            assert!(!preview.windows(4).any(|part| part == said));
        }
    }

    #[test]
    fn a_picture_of_more_pixels_than_a_phone_takes_has_no_preview() {
        let folder = tempfile::tempdir().expect("a folder");
        // A PNG's head says 11,000 × 11,000; nothing of it has to be there.
        let mut bytes = Cursor::new(Vec::new());
        noisy(8, 8)
            .write_to(&mut bytes, ImageFormat::Png)
            .expect("encodes");
        let mut bytes = bytes.into_inner();
        assert!(make(&written(folder.path(), &bytes), ORIGINAL).is_some());
        bytes[16..24].copy_from_slice(&[0, 0, 0x2a, 0xf8, 0, 0, 0x2a, 0xf8]);
        let crc = crc(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        assert!(make(&written(folder.path(), &bytes), ORIGINAL).is_none());
    }

    /// The checksum of a PNG's chunk.
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        })
    }
}
