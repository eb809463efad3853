//! Thumbnails: a photo upright, at most 480 pixels long, as a JPEG without metadata.
//!
//! [`make`] is a function from bytes to bytes for the worker process: decoders are where hostile files bite, so the server's
//! own process never decodes. The rest is the server's side: which attachments wait for one, and keeping what was made,
//! sealed beside the original under its key.

use super::{
    Held,
    store::{self, Part},
};
use crate::{
    app::App,
    problem::{Answer, Problem},
    row::parsed,
};
use image::{
    DynamicImage, ImageDecoder as _, ImageError, ImageReader, Limits, Rgb, RgbImage,
    codecs::jpeg::JpegEncoder, metadata::Orientation,
};
use kieumau_core::{hash::Sha256, id::UnitId};
use std::io::Cursor;

/// The longest side of a thumbnail, pixels.
pub const SIDE_PX: u32 = 480;
/// The longest side of a photo that is looked at, pixels.
pub const PHOTO_SIDE_LIMIT_PX: u32 = 12_000;
/// What decoding may allocate, bytes: a photo of 55 million pixels. A worker maps no more than 256 MiB, the file itself included.
pub const DECODE_LIMIT_BYTES: u64 = 160 << 20;
const QUALITY: u8 = 80;
/// How many that wait are named at a time.
const PENDING_LIMIT: i64 = 100;
/// When a photo that could not be read is tried again: ten minutes.
const PUT_OFF_MS: i64 = 600_000;

/// There is no small picture of these bytes.
#[derive(Debug, thiserror::Error)]
pub enum ThumbnailError {
    /// Larger than what is looked at.
    #[error("the photo is too large to be decoded")]
    TooLarge,
    /// Not a JPEG, PNG or WebP that decodes.
    #[error("the photo does not decode")]
    Unreadable(#[source] ImageError),
}

impl From<ImageError> for ThumbnailError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooLarge,
            error => Self::Unreadable(error),
        }
    }
}

/// The thumbnail of a photo. Decodes what a stranger wrote: for the worker process only.
///
/// # Errors
/// Why there is none.
pub fn make(bytes: &[u8]) -> Result<Vec<u8>, ThumbnailError> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(ImageError::IoError)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(PHOTO_SIDE_LIMIT_PX);
    limits.max_image_height = Some(PHOTO_SIDE_LIMIT_PX);
    limits.max_alloc = Some(DECODE_LIMIT_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder()?;
    // Not every decoder keeps the limit on what it gives out itself.
    if decoder.total_bytes() > DECODE_LIMIT_BYTES {
        return Err(ThumbnailError::TooLarge);
    }
    let photo = DynamicImage::from_decoder(decoder)?;
    let small = if photo.width().max(photo.height()) > SIDE_PX {
        photo.thumbnail(SIDE_PX, SIDE_PX)
    } else {
        photo
    };
    let mut upright = DynamicImage::ImageRgb8(on_white(&small));
    upright.apply_orientation(orientation(bytes));
    let mut jpeg = Vec::new();
    upright.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, QUALITY))?;
    Ok(jpeg)
}

/// How the camera was held, as EXIF says; upright if it does not.
fn orientation(bytes: &[u8]) -> Orientation {
    exif::Reader::new()
        .read_from_container(&mut Cursor::new(bytes))
        .ok()
        .and_then(|exif| {
            exif.get_field(exif::Tag::Orientation, exif::In::PRIMARY)?
                .value
                .get_uint(0)
        })
        .and_then(|value| Orientation::from_exif(u8::try_from(value).ok()?))
        .unwrap_or(Orientation::NoTransforms)
}

/// Without transparency: a scan whose paper is transparent is read on white.
fn on_white(photo: &DynamicImage) -> RgbImage {
    let photo = photo.to_rgba8();
    RgbImage::from_fn(photo.width(), photo.height(), |x, y| {
        let [red, green, blue, alpha] = photo.get_pixel(x, y).0.map(u16::from);
        let mixed = |colour: u16| ((colour * alpha + 255 * (255 - alpha)) / 255) as u8;
        Rgb([mixed(red), mixed(green), mixed(blue)])
    })
}

/// Photos that wait for their thumbnail and are not put off, those received first first; at most 100.
///
/// # Errors
/// What the database says.
pub async fn pending_thumbnails(
    app: &App,
    now_ms: i64,
) -> Result<Vec<(UnitId, Sha256)>, sqlx::Error> {
    let rows = sqlx::query(
        "select unit_id, sha256 from attachment where thumbnail = 'waiting' and thumbnail_after_ms <= $1 \
         order by received_at_ms, unit_id, sha256 limit $2",
    )
    .bind(now_ms)
    .bind(PENDING_LIMIT)
    .fetch_all(&app.database.read)
    .await?;
    rows.iter()
        .map(|row| Ok((parsed(row, "unit_id")?, parsed(row, "sha256")?)))
        .collect()
}

/// The whole original, for the worker; at most 64 MiB.
///
/// # Errors
/// `not-found`, or `internal` for what the database or the store says.
pub async fn original(app: &App, unit: UnitId, sha256: Sha256) -> Answer<Vec<u8>> {
    let held = Held::find(&app.database, unit, sha256)
        .await?
        .ok_or_else(Problem::not_found)?;
    let reading = held.open(app, Part::Original).await?;
    reading
        .read(0..reading.size_bytes())
        .await
        .map_err(Problem::internal)
}

/// Puts a photo off whose original cannot be read: its disk or its bucket may be back later, and others wait meanwhile.
///
/// # Errors
/// What the database says.
pub async fn put_off(
    app: &App,
    unit: UnitId,
    sha256: Sha256,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let mut tx = app.database.begin().await?;
    sqlx::query(
        "update attachment set thumbnail_after_ms = $3 \
         where unit_id = $1 and sha256 = $2 and thumbnail = 'waiting'",
    )
    .bind(unit.to_string())
    .bind(sha256.to_string())
    .bind(now_ms + PUT_OFF_MS)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Keeps the thumbnail that the worker made, or that it could make none. Done twice, it is done once.
///
/// # Errors
/// `not-found`, or `internal` for what the database or the store says.
pub async fn store_thumbnail(
    app: &App,
    unit: UnitId,
    sha256: Sha256,
    jpeg: Option<&[u8]>,
) -> Answer<()> {
    let held = Held::find(&app.database, unit, sha256)
        .await?
        .ok_or_else(Problem::not_found)?;
    if let Some(jpeg) = jpeg {
        let sealed = store::seal(&held.key(&app.vault)?, Part::Thumbnail, jpeg);
        app.objects
            .create(&Part::Thumbnail.name(&held.object), sealed)
            .await
            .map_err(Problem::internal)?;
    }
    // The file first: a row that says 'made' is never wrong.
    let mut tx = app.database.begin().await?;
    sqlx::query(
        "update attachment set thumbnail = $3 \
         where unit_id = $1 and sha256 = $2 and thumbnail = 'waiting'",
    )
    .bind(unit.to_string())
    .bind(sha256.to_string())
    .bind(if jpeg.is_some() { "made" } else { "none" })
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests;
