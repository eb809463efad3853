//! `/patrols/{id}`: one patrol. Facts, map, observations, photos, who wrote what, what the log holds, what was decided.
//! Reading it writes an audit row.

use super::{
    document::{Asked, DocumentPart, Page},
    html,
    language::Language,
    map::{self, Segment},
    observation::{self, ObservationRow},
    photo,
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
use kieumau_core::{id::DocumentId, period};

/// `/patrols/{id}`.
pub fn router() -> Router<App> {
    Router::new().route("/patrols/{id}", get(show))
}

/// The patrol's own row.
#[derive(sqlx::FromRow)]
pub struct Row {
    unit_name: String,
    title: String,
    started_at_ms: i64,
    started_by: Option<String>,
    leader: Option<String>,
    ended_at_ms: Option<i64>,
    imported_at_ms: Option<i64>,
    length_m: f64,
    fix_count: i64,
    accuracy_unknown: i64,
}

impl Row {
    /// The day in Vietnam on which it began: `2026-11-21`.
    pub fn day(&self) -> String {
        period::day_of(self.started_at_ms).to_string()
    }
}

struct Pause {
    when: String,
    lasted: Option<String>,
    who: String,
}

struct Visit {
    checkpoint: String,
    at: String,
    who: String,
    proof: &'static str,
}

#[derive(sqlx::FromRow)]
struct HandoverRow {
    at_ms: i64,
    giver: Option<String>,
    taker: Option<String>,
    note: String,
    confirmed_at_ms: Option<i64>,
}

struct Handover {
    at: String,
    from: String,
    to: String,
    note: String,
    confirmed: Option<String>,
}

struct Facts {
    unit: String,
    started: String,
    started_by: String,
    ended: Option<String>,
    lasted: Option<String>,
    imported: Option<String>,
    leader: String,
    team: Vec<String>,
    forces: Vec<String>,
    vehicles: Vec<String>,
    length: String,
    fixes: String,
    accuracy_unknown: bool,
    pauses: Vec<Pause>,
    visits: Vec<Visit>,
    handovers: Vec<Handover>,
}

#[derive(Template)]
#[template(path = "patrol.html")]
struct PatrolPage {
    shell: Shell,
    facts: Facts,
    map: Option<String>,
    segments: Vec<Segment>,
    observations: Vec<ObservationRow>,
    document: DocumentPart,
}

async fn show(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
) -> Answer<Html<String>> {
    Page::Patrol.read(&app, &reader, &id).await
}

/// The patrol's row, if the reader may know of it.
///
/// # Errors
/// 404 for another unit's, and for an officer who is not on its team.
pub async fn find(app: &App, reader: &Reader, patrol: DocumentId) -> Answer<Row> {
    reader.enter(Section::Patrols)?;
    let row = sqlx::query_as(scoped!(
        "select u.name as unit_name, p.title, p.started_at_ms, starter.name as started_by, leader.name as leader, \
                p.ended_at_ms, p.imported_at_ms, p.length_m, p.fix_count, p.accuracy_unknown \
         from patrol p join unit u on u.unit_id = p.unit_id \
         left join person starter on starter.person_id = p.started_by \
         left join person leader on leader.person_id = p.leader \
         where p.document_id = $2 and p.unit_id in (select unit_id from scope) \
           and ($3 = '' or exists (select 1 from patrol_member m where m.document_id = $2 and m.person_id = $3))"
    ))
    .bind(reader.who.unit.to_string())
    .bind(patrol.to_string())
    .bind(reader.must_be_on_the_team())
    .fetch_optional(&app.database.read)
    .await?;
    row.ok_or_else(Problem::not_found)
}

/// The page, with its form.
///
/// # Errors
/// 404 if the reader may not know of it.
pub async fn page(
    app: &App,
    reader: &Reader,
    patrol: DocumentId,
    asked: Asked,
) -> Answer<Html<String>> {
    let language = reader.language;
    let row = find(app, reader, patrol).await?;
    let photos = photo::read(app, patrol, language).await?;
    let observations = observation::read(app, patrol, &photos, language).await?;
    let (map, segments) = map::read(app, patrol, &observations, language).await?;
    let places = places(&observations, language);
    html(&PatrolPage {
        shell: Shell::of(
            reader,
            Section::Patrols,
            &language.words().patrol_title(row.title.clone()),
        ),
        facts: facts(app, patrol, row, language).await?,
        map,
        segments,
        observations,
        document: DocumentPart::read(app, reader, patrol, photos, places, asked).await?,
    })
}

/// Where a remark can belong.
fn places(observations: &[ObservationRow], language: Language) -> Vec<(String, String)> {
    let w = language.words();
    let whole = ["title", "team", "track", "visits", "attachments"]
        .map(|path| (path.to_owned(), w.field(path)));
    let each = observations
        .iter()
        .filter(|observation| !observation.withdrawn)
        .map(|observation| {
            let words = format!(
                "{} {}: {}",
                w.observation, observation.number, observation.category
            );
            (format!("observations/{}", observation.id), words)
        });
    whole.into_iter().chain(each).collect()
}

async fn facts(app: &App, patrol: DocumentId, row: Row, language: Language) -> Answer<Facts> {
    let team = sqlx::query_scalar(
        "select coalesce(person.name, '') from patrol_member m left join person on person.person_id = m.person_id \
         where m.document_id = $1 and m.since_ms is not null order by m.since_ms, person.name",
    )
    .bind(patrol.to_string())
    .fetch_all(&app.database.read)
    .await?;
    Ok(Facts {
        unit: row.unit_name,
        started: clock::vietnamese(row.started_at_ms),
        started_by: row.started_by.unwrap_or_default(),
        ended: row.ended_at_ms.map(clock::vietnamese),
        lasted: row
            .ended_at_ms
            .map(|ended| language.span(ended.saturating_sub(row.started_at_ms))),
        imported: row.imported_at_ms.map(clock::vietnamese),
        leader: row.leader.unwrap_or_default(),
        team,
        forces: counts(app, patrol, "force", language).await?,
        vehicles: counts(app, patrol, "vehicle", language).await?,
        length: language.kilometres(row.length_m),
        fixes: language.integer(row.fix_count),
        accuracy_unknown: row.accuracy_unknown == 1,
        pauses: pauses(app, patrol, language).await?,
        visits: visits(app, patrol, language).await?,
        handovers: handovers(app, patrol).await?,
    })
}

async fn counts(
    app: &App,
    patrol: DocumentId,
    what: &str,
    language: Language,
) -> Answer<Vec<String>> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select code, count from patrol_count where document_id = $1 and what = $2 and count > 0 order by count desc, code",
    )
    .bind(patrol.to_string())
    .bind(what.to_owned())
    .fetch_all(&app.database.read)
    .await?;
    let in_words = |(code, count): (String, i64)| {
        format!(
            "{}: {}",
            titles::counted(what, &code, language),
            language.integer(count)
        )
    };
    Ok(rows.into_iter().map(in_words).collect())
}

async fn pauses(app: &App, patrol: DocumentId, language: Language) -> Answer<Vec<Pause>> {
    let rows: Vec<(i64, Option<i64>, Option<String>)> = sqlx::query_as(
        "select pause.from_ms, pause.until_ms, person.name from pause \
         left join person on person.person_id = pause.person_id where pause.document_id = $1 order by pause.from_ms",
    )
    .bind(patrol.to_string())
    .fetch_all(&app.database.read)
    .await?;
    let in_words = |(from_ms, until_ms, who): (i64, Option<i64>, Option<String>)| Pause {
        when: clock::vietnamese(from_ms),
        lasted: until_ms.map(|until_ms| language.span(until_ms.saturating_sub(from_ms))),
        who: who.unwrap_or_default(),
    };
    Ok(rows.into_iter().map(in_words).collect())
}

async fn visits(app: &App, patrol: DocumentId, language: Language) -> Answer<Vec<Visit>> {
    let rows: Vec<(String, i64, Option<String>, String)> = sqlx::query_as(
        "select coalesce(checkpoint.name, '…' || substr(visit.checkpoint_id, 31)), visit.at_ms, person.name, visit.proof \
         from visit left join person on person.person_id = visit.person_id \
         left join document on document.document_id = visit.document_id \
         left join checkpoint on checkpoint.unit_id = document.unit_id \
         and checkpoint.checkpoint_id = visit.checkpoint_id \
         where visit.document_id = $1 order by visit.at_ms",
    )
    .bind(patrol.to_string())
    .fetch_all(&app.database.read)
    .await?;
    let in_words = |(checkpoint, at_ms, who, proof): (String, i64, Option<String>, String)| Visit {
        // One that is not published is shown by the end of its id, which is what the plate of a checkpoint carries.
        checkpoint,
        at: clock::vietnamese(at_ms),
        who: who.unwrap_or_default(),
        proof: language.words().proof(&proof),
    };
    Ok(rows.into_iter().map(in_words).collect())
}

async fn handovers(app: &App, patrol: DocumentId) -> Answer<Vec<Handover>> {
    let rows: Vec<HandoverRow> = sqlx::query_as(
        "select handover.at_ms, giver.name as giver, taker.name as taker, handover.note, handover.confirmed_at_ms \
         from handover left join person giver on giver.person_id = handover.from_person_id \
         left join person taker on taker.person_id = handover.to_person_id \
         where handover.document_id = $1 order by handover.at_ms",
    )
    .bind(patrol.to_string())
    .fetch_all(&app.database.read)
    .await?;
    let in_words = |row: HandoverRow| Handover {
        at: clock::vietnamese(row.at_ms),
        from: row.giver.unwrap_or_default(),
        to: row.taker.unwrap_or_default(),
        note: row.note,
        confirmed: row.confirmed_at_ms.map(clock::vietnamese),
    };
    Ok(rows.into_iter().map(in_words).collect())
}
