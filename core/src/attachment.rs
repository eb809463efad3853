//! A file that hangs on a record: a photo of an observation, a scanned decision. The document holds its hash and what the
//! officer needs to recognise it; the bytes travel apart, and are the same bytes or not this attachment.

use crate::{
    hash::Sha256,
    id::{AttachmentId, PersonId},
    invalid::{Invalid, Rule},
    stamp::{self, Stamp},
};
use autosurgeon::{Hydrate, Reconcile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The largest file taken, bytes: 64 MiB. A phone photo has 2 to 12 MB, a scanned document less.
pub const SIZE_LIMIT_BYTES: u64 = 64 << 20;

/// The largest preview of a photo, bytes: what a phone sends before the photo, on a line that bears little.
pub const PREVIEW_LIMIT_BYTES: u64 = 40_000;

/// One attachment as the document holds it.
#[derive(Clone, Debug, PartialEq, Hydrate, Reconcile, Serialize, Deserialize)]
pub struct Attachment {
    /// The record inside the document that it hangs on; none for the document itself.
    #[autosurgeon(missing = "Option::default")]
    pub item: Option<String>,
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Its size, bytes.
    pub size_bytes: i64,
    /// What it is: one of [`MediaType`]'s words.
    pub media_type: String,
    /// When it was attached, by the phone's clock, Unix milliseconds.
    pub attached_at_ms: i64,
    /// Who attached it.
    pub attached_by: PersonId,
    /// When it was withdrawn as a slip, Unix milliseconds.
    #[autosurgeon(missing = "Option::default")]
    pub withdrawn_at_ms: Option<i64>,
}

impl Attachment {
    /// Whether it could have come from a phone that keeps the rules.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self) -> Result<(), Invalid> {
        crate::invalid::text("media_type", &self.media_type, 100)?;
        crate::invalid::text("item", self.item.as_deref().unwrap_or_default(), 36)?;
        stamp::time("attached_at_ms", self.attached_at_ms)?;
        stamp::time("withdrawn_at_ms", self.withdrawn_at_ms.unwrap_or(0))?;
        match u64::try_from(self.size_bytes) {
            Ok(1..=SIZE_LIMIT_BYTES) => Ok(()),
            _ => Err(Invalid::new("size_bytes", Rule::TooLarge)),
        }
    }
}

/// Hangs `attachment` among a document's others. The same file on the same record again is the one that hangs there.
pub(crate) fn hang(
    attachments: &mut BTreeMap<AttachmentId, Attachment>,
    stamp: Stamp,
    attachment: Attachment,
) -> AttachmentId {
    let same = |held: &Attachment| {
        held.sha256 == attachment.sha256
            && held.item == attachment.item
            && held.withdrawn_at_ms.is_none()
    };
    if let Some((id, _)) = attachments.iter().find(|(_, held)| same(held)) {
        return *id;
    }
    let id = AttachmentId::fresh(stamp.at_ms, stamp.random);
    attachments.insert(id, attachment);
    id
}

/// Withdraws one that was hung on a record by mistake: that it was attached stays, the file is no longer shown.
///
/// # Errors
/// At `attachment`: `Unknown` if there is none of that id, `Already` when it is withdrawn.
pub(crate) fn withdraw(
    attachments: &mut BTreeMap<AttachmentId, Attachment>,
    stamp: Stamp,
    id: AttachmentId,
) -> Result<(), Invalid> {
    let at = |rule| Invalid::new("attachment", rule);
    let attachment = attachments.get_mut(&id).ok_or_else(|| at(Rule::Unknown))?;
    if attachment.withdrawn_at_ms.is_some() {
        return Err(at(Rule::Already));
    }
    attachment.withdrawn_at_ms = Some(stamp.at_ms);
    Ok(())
}

/// SHA-256 of what hangs on `item` and stands.
pub fn hanging_on(
    attachments: &BTreeMap<AttachmentId, Attachment>,
    item: impl std::fmt::Display,
) -> Vec<Sha256> {
    let item = item.to_string();
    let stands =
        |held: &&Attachment| held.item.as_ref() == Some(&item) && held.withdrawn_at_ms.is_none();
    let standing = attachments.values().filter(stands);
    standing.map(|held| held.sha256).collect()
}

/// The kinds of file that are taken, told by their first bytes and never by their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `image/jpeg`
    Jpeg,
    /// `image/png`
    Png,
    /// `image/webp`
    Webp,
    /// `application/pdf`
    Pdf,
    /// `video/mp4`: what phones film.
    Video,
    /// `audio/mp4`: what phones record sound as.
    Sound,
}

impl MediaType {
    /// How many leading bytes [`MediaType::of`] looks at.
    pub const SNIFFED_BYTES: usize = 12;

    /// What a file of `size_bytes` that begins with `head` is.
    ///
    /// # Errors
    /// At `attachment`: `Empty`, `TooLarge`, or `WrongKind` for what is none of these (SVG and HTML among them: they run).
    pub fn of(head: &[u8], size_bytes: u64) -> Result<Self, Invalid> {
        let broken = |rule| Err(Invalid::new("attachment", rule));
        match head {
            _ if size_bytes == 0 => broken(Rule::Empty),
            _ if size_bytes > SIZE_LIMIT_BYTES => broken(Rule::TooLarge),
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Self::Png),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Ok(Self::Webp),
            [b'%', b'P', b'D', b'F', b'-', ..] => Ok(Self::Pdf),
            [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand {
                [b'M', b'4', b'A', b' ', ..] => Ok(Self::Sound),
                [b'i', b's', b'o', b'm' | b'2'..=b'9', ..]
                | [b'm', b'p', b'4', b'1' | b'2', ..]
                | [b'M', b'4', b'V', b' ', ..]
                | [b'a', b'v', b'c', b'1', ..]
                | [b'3', b'g', b'p', ..] => Ok(Self::Video),
                // HEIC and AVIF pictures too are of this family: no browser of ours shows them.
                _ => broken(Rule::WrongKind),
            },
            _ => broken(Rule::WrongKind),
        }
    }

    /// Whether a file that calls itself so may be one that is taken.
    #[must_use]
    pub fn is_word(word: &str) -> bool {
        use MediaType::{Jpeg, Pdf, Png, Sound, Video, Webp};
        [Jpeg, Png, Webp, Pdf, Video, Sound]
            .iter()
            .any(|kind| kind.word() == word)
    }

    /// The registered media type.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Pdf => "application/pdf",
            Self::Video => "video/mp4",
            Self::Sound => "audio/mp4",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_first_bytes_say() {
        assert_eq!(
            MediaType::of(b"\xff\xd8\xff\xe0rest", 8),
            Ok(MediaType::Jpeg)
        );
        assert_eq!(MediaType::of(b"%PDF-1.7", 8), Ok(MediaType::Pdf));
        for (brand, kind) in [
            (b"isom", MediaType::Video),
            (b"mp42", MediaType::Video),
            (b"3gp4", MediaType::Video),
            (b"M4A ", MediaType::Sound),
        ] {
            let head = [b"\0\0\0\x18ftyp", &brand[..]].concat();
            assert_eq!(MediaType::of(&head, 5_000), Ok(kind));
            assert!(MediaType::is_word(kind.word()));
        }
        for page in [
            &b"<svg xmlns="[..],
            b"<!DOCTYPE html>",
            b"not a photo",
            b"\0\0\0\x18ftypheic",
            b"\0\0\0\x18ftypavif",
        ] {
            assert_eq!(
                MediaType::of(page, 12),
                Err(Invalid::new("attachment", Rule::WrongKind))
            );
        }
    }

    #[test]
    fn an_empty_file_and_one_of_200_megabytes_are_refused() {
        assert_eq!(
            MediaType::of(b"", 0),
            Err(Invalid::new("attachment", Rule::Empty))
        );
        assert_eq!(
            MediaType::of(b"\xff\xd8\xff", 200 << 20),
            Err(Invalid::new("attachment", Rule::TooLarge))
        );
    }
}
