//! The observations (vụ việc) of one patrol as its page shows them: counts and categories in words, in the order they happened.

use super::{
    language::Language,
    photo::{self, Photo},
    titles,
};
use crate::{app::App, clock, problem::Answer};
use kieumau_core::id::DocumentId;

#[derive(sqlx::FromRow)]
struct Row {
    observation_id: String,
    category: String,
    count: i64,
    count_unit: String,
    happened_at_ms: i64,
    recorded_at_ms: i64,
    recorded_by: Option<String>,
    edited_by: Option<String>,
    lat_e7: Option<i64>,
    lon_e7: Option<i64>,
    fine_vnd: Option<i64>,
    exhibits_held: Option<i64>,
    vehicles_held: Option<i64>,
    record_number: Option<String>,
    handed_over_to: Option<String>,
    note: Option<String>,
    withdrawn_at_ms: Option<i64>,
}

/// One observation in words.
pub struct ObservationRow {
    /// Its id, to hang a remark on.
    pub id: String,
    /// Its number on this page, from 1.
    pub number: usize,
    /// When it happened.
    pub happened: String,
    /// When it was recorded, if that was another minute.
    pub recorded: Option<String>,
    /// What kind.
    pub category: String,
    /// How many of what.
    pub count: String,
    /// What was done about it: measures, fines, what is held, papers.
    pub done: Vec<String>,
    /// The note; empty for none.
    pub note: String,
    /// Who recorded it.
    pub by: String,
    /// Who changed it last, if anybody.
    pub edited_by: Option<String>,
    /// Longitude and latitude, degrees.
    pub place: Option<[f64; 2]>,
    /// Taken back as a slip.
    pub withdrawn: bool,
    /// Its photos.
    pub photos: Vec<Photo>,
}

/// The observations of a patrol.
///
/// # Errors
/// What the database says.
pub async fn read(
    app: &App,
    patrol: DocumentId,
    photos: &[Photo],
    language: Language,
) -> Answer<Vec<ObservationRow>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select o.observation_id, o.category, o.count, o.count_unit, o.happened_at_ms, o.recorded_at_ms, \
                writer.name as recorded_by, editor.name as edited_by, o.lat_e7, o.lon_e7, o.fine_vnd, o.exhibits_held, \
                o.vehicles_held, o.record_number, o.handed_over_to, o.note, o.withdrawn_at_ms \
         from observation o left join person writer on writer.person_id = o.recorded_by \
         left join person editor on editor.person_id = o.edited_by \
         where o.document_id = $1 order by o.happened_at_ms, o.observation_id",
    )
    .bind(patrol.to_string())
    .fetch_all(&app.database.read)
    .await?;
    let measures: Vec<(String, String)> = sqlx::query_as(
        "select observation_id, code from measure_taken where document_id = $1 order by code",
    )
    .bind(patrol.to_string())
    .fetch_all(&app.database.read)
    .await?;
    let shown = rows.into_iter().enumerate().map(|(index, row)| {
        let taken = measures.iter().filter(|(of, _)| *of == row.observation_id);
        let done = taken
            .map(|(_, code)| titles::measure_taken(code, language))
            .collect();
        row.shown(index + 1, done, photos, language)
    });
    Ok(shown.collect())
}

impl Row {
    fn shown(
        self,
        number: usize,
        mut done: Vec<String>,
        photos: &[Photo],
        language: Language,
    ) -> ObservationRow {
        let w = language.words();
        if let Some(vnd) = self.fine_vnd.filter(|vnd| *vnd > 0) {
            done.push(format!("{} {}\u{a0}₫", w.fined, language.integer(vnd)));
        }
        for (held, name) in [
            (self.exhibits_held, w.exhibits_held),
            (self.vehicles_held, w.vehicles_held),
        ] {
            if let Some(count) = held.filter(|count| *count > 0) {
                done.push(format!("{name}: {}", language.integer(count)));
            }
        }
        for (text, name) in [
            (self.record_number, w.record_number),
            (self.handed_over_to, w.handed_over_to),
        ] {
            if let Some(text) = text {
                done.push(format!("{name}: {text}"));
            }
        }
        let happened = clock::vietnamese(self.happened_at_ms);
        let recorded = clock::vietnamese(self.recorded_at_ms);
        ObservationRow {
            photos: photo::of_item(photos, &self.observation_id),
            id: self.observation_id,
            number,
            recorded: (recorded != happened).then_some(recorded),
            happened,
            category: titles::category(&self.category, language),
            count: format!(
                "{} {}",
                language.integer(self.count),
                titles::count_unit(&self.count_unit, language)
            ),
            done,
            note: self.note.unwrap_or_default(),
            by: self.recorded_by.unwrap_or_default(),
            edited_by: self.edited_by,
            place: self
                .lon_e7
                .zip(self.lat_e7)
                .map(|(lon, lat)| [degrees(lon), degrees(lat)]),
            withdrawn: self.withdrawn_at_ms.is_some(),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a 1e-7 degree on the Earth fits an f64 exactly"
)]
fn degrees(e7: i64) -> f64 {
    e7 as f64 / 1e7
}
