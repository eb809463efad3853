//! Photos of all sides and sizes, and what must not come through.

use super::*;
use crate::attachment::setting::{photo, settings};
use image::{ImageFormat, Rgba, RgbaImage};
use std::{io::Write as _, path::Path};

const RED: Rgb<u8> = Rgb([220, 20, 20]);
const BLUE: Rgb<u8> = Rgb([20, 20, 220]);

/// A JPEG, 800 × 600, red on the left and blue on the right, with this EXIF orientation and a GPS position.
fn turned(orientation: u8) -> Vec<u8> {
    let photo = RgbImage::from_fn(800, 600, |x, _| if x < 400 { RED } else { BLUE });
    let mut jpeg = Vec::new();
    photo
        .write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, 90))
        .expect("a JPEG");
    // Big-endian TIFF: two entries, orientation (0x0112) and the camera's make (0x010f) with a word to look for.
    let mut tiff = b"MM\0\x2a\0\0\0\x08\0\x02".to_vec();
    tiff.extend(b"\x01\x0f\0\x02\0\0\0\x0c\0\0\0\x26");
    tiff.extend([1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0]);
    tiff.extend(b"\0\0\0\0SECRETPLACE\0");
    let mut segment = b"\xff\xe1".to_vec();
    segment.extend((tiff.len() as u16 + 8).to_be_bytes());
    segment.extend(b"Exif\0\0");
    segment.extend(tiff);
    jpeg.splice(2..2, segment);
    jpeg
}

fn decoded(jpeg: &[u8]) -> RgbImage {
    image::load_from_memory_with_format(jpeg, ImageFormat::Jpeg)
        .expect("a JPEG")
        .to_rgb8()
}

fn is_near(photo: &RgbImage, x: u32, y: u32, colour: Rgb<u8>) -> bool {
    let pixel = photo.get_pixel(x, y);
    (0..3).all(|channel| pixel[channel].abs_diff(colour[channel]) < 30)
}

#[test]
fn a_photo_taken_sideways_comes_out_upright_and_without_metadata() {
    let sideways = turned(6);
    assert!(sideways.windows(11).any(|bytes| bytes == b"SECRETPLACE"));
    let thumbnail = make(&sideways).expect("made");
    let upright = decoded(&thumbnail);
    // Turned a quarter clockwise: what was left is on top.
    assert_eq!(upright.dimensions(), (360, 480));
    assert!(is_near(&upright, 180, 20, RED) && is_near(&upright, 180, 460, BLUE));
    assert!(!thumbnail.windows(11).any(|bytes| bytes == b"SECRETPLACE"));
    assert!(!thumbnail.windows(4).any(|bytes| bytes == b"Exif"));

    // The twin: it is the orientation that turned it.
    let level = decoded(&make(&turned(1)).expect("made"));
    assert_eq!(level.dimensions(), (480, 360));
    assert!(is_near(&level, 20, 180, RED) && is_near(&level, 460, 180, BLUE));
}

#[test]
fn a_small_photo_is_not_blown_up_and_an_orientation_that_is_none_is_ignored() {
    let level = decoded(&make(&turned(99)).expect("made"));
    assert_eq!(level.dimensions(), (480, 360));
    let tiny = RgbImage::from_pixel(10, 20, RED);
    let mut jpeg = Vec::new();
    tiny.write_with_encoder(JpegEncoder::new(&mut jpeg))
        .expect("a JPEG");
    let thumbnail = decoded(&make(&jpeg).expect("made"));
    assert_eq!(thumbnail.dimensions(), (10, 20));
}

#[test]
fn a_transparent_scan_is_read_on_white() {
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let scan = RgbaImage::from_pixel(600, 300, Rgba([0, 0, 0, 0]));
        let mut bytes = Cursor::new(Vec::new());
        scan.write_to(&mut bytes, format).expect("a picture");
        let thumbnail = decoded(&make(bytes.get_ref()).expect("made"));
        assert_eq!(thumbnail.dimensions(), (480, 240));
        assert!(is_near(&thumbnail, 240, 120, Rgb([255; 3])));
    }
}

#[test]
fn a_photo_above_the_limits_is_refused_before_it_is_decoded() {
    // A PNG header is enough to claim any size; the claim alone must be refused.
    let claim = |width: u32, height: u32| {
        let mut png = Vec::new();
        let encoder = image::codecs::png::PngEncoder::new(&mut png);
        RgbImage::new(1, 1)
            .write_with_encoder(encoder)
            .expect("a PNG");
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let checksum = crc32(&png[12..29]);
        png[29..33].copy_from_slice(&checksum.to_be_bytes());
        png
    };
    for (width, height) in [
        (12_001, 10),
        (10, 12_001),
        (12_000, 12_000),
        (65_535, 65_535),
    ] {
        assert!(matches!(
            make(&claim(width, height)),
            Err(ThumbnailError::TooLarge)
        ));
    }
    // The twin: below the limits it is the missing pixels that are refused.
    assert!(matches!(
        make(&claim(5_000, 5_000)),
        Err(ThumbnailError::Unreadable(_))
    ));
}

#[test]
fn metadata_that_claims_more_than_there_is_costs_the_orientation_and_not_the_photo() {
    let photo = turned(6);
    let tiff = photo.windows(6).position(|at| at == b"Exif\0\0");
    let tiff = tiff.expect("metadata") + 6;
    // An entry of four thousand million, a directory that is its own successor, a directory of 65,535 entries.
    let claims: [(usize, &[u8]); 3] = [(14, &[0xff; 4]), (34, &[0, 0, 0, 8]), (8, &[0xff, 0xff])];
    for (at, claim) in claims {
        let mut bent = photo.clone();
        bent[tiff + at..tiff + at + claim.len()].copy_from_slice(claim);
        let thumbnail = make(&bent).expect("made");
        assert!(!thumbnail.windows(4).any(|bytes| bytes == b"Exif"));
        assert_eq!(
            decoded(&thumbnail)
                .dimensions()
                .0
                .max(decoded(&thumbnail).dimensions().1),
            SIDE_PX
        );
    }
    // As much of it as a JPEG can hold, a hundred times over.
    let mut large = photo.clone();
    let segment: Vec<u8> = [&[0xff, 0xe1, 0xff, 0xff][..], &[0; 65_533]].concat();
    large.splice(2..2, segment.repeat(100));
    assert_eq!(decoded(&make(&large).expect("made")).width().max(480), 480);
}

/// The checksum of a PNG chunk.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
}

#[test]
fn bytes_that_only_begin_as_a_photo_have_no_thumbnail() {
    assert!(matches!(
        make(&photo(10_000, 1)),
        Err(ThumbnailError::Unreadable(_))
    ));
    assert!(matches!(make(b""), Err(ThumbnailError::Unreadable(_))));
}

#[test]
fn a_real_photo_taken_sideways_comes_out_upright() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/photo-rotated.jpg");
    let Ok(photo) = std::fs::read(&path) else {
        // Past libtest, which holds back what passing tests print: tests/run.py counts this line.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: a_real_photo_taken_sideways_comes_out_upright: {} is not there",
            path.display()
        );
        return;
    };
    let lies = image::load_from_memory(&photo).expect("a photo");
    let upright = decoded(&make(&photo).expect("made"));
    assert_eq!(
        lies.width() > lies.height(),
        upright.height() > upright.width()
    );
    assert_eq!(upright.width().max(upright.height()), SIDE_PX);
}

#[tokio::test]
async fn a_photo_waits_until_its_thumbnail_is_made_or_cannot_be() {
    for setting in settings().await {
        let app = &setting.app;
        let unit = setting.people.truong_vinh;
        let good = turned(6);
        let bad = photo(1_000, 1);
        let mut paper = b"%PDF-1.7".to_vec();
        paper.resize(100, b' ');
        for file in [&good, &bad, &paper] {
            setting.bring(&setting.an, file).await;
        }
        let mut pending = pending_thumbnails(app, 0).await.expect("rows");
        pending.sort();
        let mut expected = [(unit, Sha256::of(&good)), (unit, Sha256::of(&bad))];
        expected.sort();
        assert_eq!(pending, expected);
        for (unit, sha256) in pending {
            let bytes = original(app, unit, sha256).await.expect("the original");
            let thumbnail = make(&bytes).ok();
            store_thumbnail(app, unit, sha256, thumbnail.as_deref())
                .await
                .expect("kept");
        }
        assert_eq!(pending_thumbnails(app, 0).await.expect("rows"), []);
        for (file, word) in [(&good, "made"), (&bad, "none"), (&paper, "none")] {
            let held = Held::find(&app.database, unit, Sha256::of(file))
                .await
                .expect("a row")
                .expect("held");
            assert_eq!(held.thumbnail, word);
        }
    }
}

#[tokio::test]
async fn a_photo_that_cannot_be_read_for_a_moment_is_tried_again_and_holds_up_no_other() {
    for setting in settings().await {
        // Workers that die over everything: what they are given has no thumbnail.
        let app = App {
            workers: crate::worker::Workers::new("/bin/false".into()),
            ..(*setting.app).clone()
        };
        let unit = setting.people.truong_vinh;
        let (away, here) = (turned(6), turned(1));
        for file in [&away, &here] {
            setting.bring(&setting.an, file).await;
        }
        let word = async |file: &[u8]| {
            let held = Held::find(&app.database, unit, Sha256::of(file)).await;
            held.expect("a row").expect("held").thumbnail
        };
        // Its key is not the one that it lies under: it opens as little as a file that is not there.
        let key = "update attachment set wrapped_key = $3 where unit_id = $1 and sha256 = $2";
        let hash = Sha256::of(&away).to_string();
        let row = sqlx::query("select wrapped_key from attachment where sha256 = $1")
            .bind(&hash)
            .fetch_one(&app.database.read)
            .await
            .expect("a row");
        let kept: Vec<u8> = sqlx::Row::get(&row, 0);
        let texts = [unit.to_string(), hash];
        let texts = texts.each_ref().map(String::as_str);
        setting.run(key, &texts, Some(vec![0; 72])).await;
        for _ in 0..3 {
            crate::checker::round(&app).await.expect("looks");
        }
        assert_eq!(word(&away).await, "waiting");
        // The twin: a photo that can be read and makes its workers die is given up.
        assert_eq!(word(&here).await, "none");
        let now_ms = crate::clock::now_ms();
        assert_eq!(pending_thumbnails(&app, now_ms).await.expect("rows"), []);
        let later = pending_thumbnails(&app, now_ms + PUT_OFF_MS).await;
        assert_eq!(later.expect("rows"), [(unit, Sha256::of(&away))]);
        setting.run(key, &texts, Some(kept)).await;
        original(&app, unit, Sha256::of(&away))
            .await
            .expect("read again");
    }
}
