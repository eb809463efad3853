//! Photos and files of a document. The bytes may still be on the phone, or their small picture not made yet: each says so.

use super::language::Language;
use crate::{app::App, clock, problem::Answer};
use kieumau_core::id::DocumentId;

#[derive(sqlx::FromRow)]
struct Row {
    item_id: Option<String>,
    sha256: String,
    size_bytes: i64,
    media_type: String,
    attached_at_ms: i64,
    attached_by: Option<String>,
    unit_id: String,
    thumbnail: Option<String>,
    has_preview: i64,
}

/// A photo or file.
#[derive(Clone, Debug)]
pub struct Photo {
    /// The item it belongs to; none = the whole document.
    pub item: Option<String>,
    /// Where it can be read; none while its bytes are not here.
    pub address: Option<String>,
    /// Where its small picture can be read; none if there is none (yet).
    pub small: Option<String>,
    /// Whether that is only what the phone sent before it: the photo itself is not here.
    pub is_preview: bool,
    /// Whether its small picture is still being made.
    pub small_waits: bool,
    /// Its media type and size.
    pub about: String,
    /// Who attached it and when.
    pub from: String,
}

/// What hangs on a document and was not withdrawn, in the order it was attached.
///
/// # Errors
/// What the database says.
pub async fn read(app: &App, document: DocumentId, language: Language) -> Answer<Vec<Photo>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select u.item_id, u.sha256, u.size_bytes, u.media_type, u.attached_at_ms, person.name as attached_by, \
                doc.unit_id, held.thumbnail, \
                cast(case when p.of_sha256 is null then 0 else 1 end as bigint) as has_preview \
         from attachment_use u join document doc on doc.document_id = u.document_id \
         left join attachment held on held.unit_id = doc.unit_id and held.sha256 = u.sha256 \
         left join preview p on p.unit_id = doc.unit_id and p.of_sha256 = u.sha256 \
         left join person on person.person_id = u.attached_by \
         where u.document_id = $1 and u.withdrawn_at_ms is null order by u.attached_at_ms, u.attachment_id",
    )
    .bind(document.to_string())
    .fetch_all(&app.database.read)
    .await?;
    Ok(rows.into_iter().map(|row| row.shown(language)).collect())
}

impl Row {
    fn shown(self, language: Language) -> Photo {
        let address = self
            .thumbnail
            .is_some()
            .then(|| format!("/attachments/{}/{}", self.unit_id, self.sha256));
        let is_preview = address.is_none() && self.has_preview > 0;
        let small = match self.thumbnail.as_deref() {
            _ if is_preview => Some(format!(
                "/attachments/{}/{}/preview",
                self.unit_id, self.sha256
            )),
            Some("made") => address
                .as_ref()
                .map(|address| format!("{address}/thumbnail")),
            _ => None,
        };
        let kind = self
            .media_type
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_uppercase();
        Photo {
            item: self.item_id,
            small_waits: self.thumbnail.as_deref() == Some("waiting"),
            address,
            small,
            is_preview,
            about: format!(
                "{kind} · {} KB",
                language.integer(self.size_bytes.div_euclid(1024) + 1)
            ),
            from: format!(
                "{} · {}",
                self.attached_by.unwrap_or_default(),
                clock::vietnamese(self.attached_at_ms)
            ),
        }
    }
}

/// Parts `photos` into those of `item` and the rest.
pub fn of_item(photos: &[Photo], item: &str) -> Vec<Photo> {
    photos
        .iter()
        .filter(|photo| photo.item.as_deref() == Some(item))
        .cloned()
        .collect()
}
