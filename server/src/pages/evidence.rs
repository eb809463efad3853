//! `/evidence/{document}`: one evidence file: its items with the five heads of official documents, their attachments, who wrote
//! what, what was decided. Reading it writes an audit row.

use super::{
    document::{Asked, DocumentPart, Page},
    dossier, evidence_list, html,
    language::Language,
    photo::{self, Photo},
    reader::Reader,
    shell::{Section, Shell},
    titles,
};
use crate::{
    app::App,
    clock,
    problem::{Answer, Problem},
    scope::scoped,
};
use askama::Template;
use axum::{
    Router,
    extract::{Path, State},
    response::Html,
    routing::get,
};
use kieumau_core::{
    catalogue::Catalogue,
    criterion::{Criterion, CriterionNumber},
    id::DocumentId,
};

/// `/evidence/{document}`.
pub fn router() -> Router<App> {
    Router::new().route("/evidence/{document}", get(show))
}

/// What a file is about.
#[derive(sqlx::FromRow)]
pub struct File {
    unit_name: String,
    criterion: i64,
    period: String,
}

impl File {
    /// What it is about, in a file's name: `tieu-chi-15-2025-11-16_2026-11-15`.
    pub fn short_name(&self) -> String {
        format!(
            "tieu-chi-{}-{}",
            self.criterion,
            dossier::dates(&self.period)
        )
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    evidence_id: String,
    evidence_kind: String,
    summary: String,
    document_number: Option<String>,
    issued_on: Option<String>,
    issued_by: Option<String>,
    signed_by: Option<String>,
    note: Option<String>,
    recorded_at_ms: i64,
    recorded_by: Option<String>,
    edited_by: Option<String>,
    withdrawn_at_ms: Option<i64>,
}

struct Item {
    id: String,
    kind: String,
    summary: String,
    heads: Vec<(&'static str, String)>,
    note: String,
    recorded: String,
    by: String,
    edited_by: Option<String>,
    withdrawn: bool,
    photos: Vec<Photo>,
}

#[derive(Template)]
#[template(path = "evidence.html")]
struct EvidencePage {
    shell: Shell,
    placeholder: bool,
    unit: String,
    period: String,
    missing: Vec<String>,
    items: Vec<Item>,
    document: DocumentPart,
}

async fn show(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
) -> Answer<Html<String>> {
    Page::Evidence.read(&app, &reader, &id).await
}

/// What the file is about, if the reader may know of it.
///
/// # Errors
/// 404 for another unit's.
pub async fn find(app: &App, reader: &Reader, document: DocumentId) -> Answer<File> {
    reader.enter(Section::Evidence)?;
    let file = sqlx::query_as(scoped!(
        "select u.name as unit_name, e.criterion, e.period from evidence e join unit u on u.unit_id = e.unit_id \
         where e.document_id = $2 and e.unit_id in (select unit_id from scope) limit 1"
    ))
    .bind(reader.who.unit.to_string())
    .bind(document.to_string())
    .fetch_optional(&app.database.read)
    .await?;
    file.ok_or_else(Problem::not_found)
}

/// The page, with its form.
///
/// # Errors
/// 404 if the reader may not know of it.
pub async fn page(
    app: &App,
    reader: &Reader,
    document: DocumentId,
    asked: Asked,
) -> Answer<Html<String>> {
    let language = reader.language;
    let file = find(app, reader, document).await?;
    let photos = photo::read(app, document, language).await?;
    let rows = rows(app, document).await?;
    let places = places(&rows, language);
    let kinds = rows
        .iter()
        .filter(|row| row.withdrawn_at_ms.is_none())
        .map(|row| row.evidence_kind.as_str());
    let missing = criterion(file.criterion)
        .map(|criterion| titles::missing(criterion, &kinds.collect::<Vec<_>>(), language));
    let title = format!(
        "{}. {}",
        file.criterion,
        titles::criterion(file.criterion, language)
    );
    html(&EvidencePage {
        shell: Shell::of(reader, Section::Evidence, &title),
        placeholder: Catalogue::placeholder().placeholder,
        unit: file.unit_name,
        period: evidence_list::in_words(&file.period),
        missing: missing.unwrap_or_default(),
        items: rows
            .into_iter()
            .map(|row| row.shown(&photos, language))
            .collect(),
        document: DocumentPart::read(app, reader, document, photos, places, asked).await?,
    })
}

fn criterion(number: i64) -> Option<&'static Criterion> {
    let number = CriterionNumber::new(u8::try_from(number).ok()?).ok()?;
    Catalogue::placeholder().criterion(number)
}

fn places(rows: &[Row], language: Language) -> Vec<(String, String)> {
    let present = rows.iter().filter(|row| row.withdrawn_at_ms.is_none());
    present
        .map(|row| {
            let kind = titles::evidence_kind(&row.evidence_kind, language);
            (
                format!("items/{}", row.evidence_id),
                format!("{kind}: {}", row.summary),
            )
        })
        .collect()
}

async fn rows(app: &App, document: DocumentId) -> Answer<Vec<Row>> {
    let rows = sqlx::query_as(
        "select e.evidence_id, e.evidence_kind, e.summary, e.document_number, e.issued_on, e.issued_by, e.signed_by, \
                e.note, e.recorded_at_ms, writer.name as recorded_by, editor.name as edited_by, e.withdrawn_at_ms \
         from evidence e left join person writer on writer.person_id = e.recorded_by \
         left join person editor on editor.person_id = e.edited_by \
         where e.document_id = $1 order by e.recorded_at_ms, e.evidence_id",
    )
    .bind(document.to_string())
    .fetch_all(&app.database.read)
    .await?;
    Ok(rows)
}

impl Row {
    fn shown(self, photos: &[Photo], language: Language) -> Item {
        let w = language.words();
        let issued_on = self.issued_on.map(|date| {
            let known = date.parse::<jiff::civil::Date>();
            known.map_or(date, |date| date.strftime("%d/%m/%Y").to_string())
        });
        let heads = [
            (w.document_number, self.document_number),
            (w.issued_on, issued_on),
            (w.issued_by, self.issued_by),
            (w.signed_by, self.signed_by),
        ];
        Item {
            photos: photo::of_item(photos, &self.evidence_id),
            id: self.evidence_id,
            kind: titles::evidence_kind(&self.evidence_kind, language),
            summary: self.summary,
            heads: heads
                .into_iter()
                .filter_map(|(name, text)| Some((name, text?)))
                .collect(),
            note: self.note.unwrap_or_default(),
            recorded: clock::vietnamese(self.recorded_at_ms),
            by: self.recorded_by.unwrap_or_default(),
            edited_by: self.edited_by,
            withdrawn: self.withdrawn_at_ms.is_some(),
        }
    }
}
