//! `/quarantine`: what was refused or withheld, and why. The admin sees ids, sizes and reasons of every unit and says whose chief may
//! open what names no unit of its carrier's; the chief of the unit opens the content, which is written down, and lets in what a revoked
//! phone wrote.

use super::{
    html,
    language::Language,
    reader::Reader,
    shell::{Section, Shell},
};
use crate::{
    app::App,
    clock,
    problem::{Answer, Problem},
    quarantine::{self, Item, PAGE, Wanted},
};
use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, Query, State},
    response::{Html, Redirect},
    routing::{get, post},
};
use kieumau_core::{id::UnitId, invalid, person::Role};
use std::collections::BTreeMap;

/// Characters in an item's id: those of a hash.
const ID_LIMIT: usize = 64;

/// `/quarantine`, one item, its routing, its admission.
pub fn router() -> Router<App> {
    Router::new()
        .route("/quarantine", get(list))
        .route("/quarantine/{id}", get(one))
        .route("/quarantine/{id}/unit", post(route))
        .route("/quarantine/{id}/admission", post(admit))
}

/// An item as a row.
struct Row {
    id: String,
    /// The first digits of its hash: enough to speak about it.
    short: String,
    received: String,
    reason: &'static str,
    refused: bool,
    admitted: Option<String>,
    size: String,
    phone: String,
    unit: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Unit {
    unit_id: String,
    name: String,
}

#[derive(Template)]
#[template(path = "quarantine.html")]
struct QuarantinePage {
    shell: Shell,
    /// Whether the reader opens content; who does not, routes.
    opens: bool,
    rows: Vec<Row>,
    units: Vec<Unit>,
    after: usize,
    next: Option<usize>,
}

#[derive(Template)]
#[template(path = "quarantined.html")]
struct ItemPage {
    shell: Shell,
    row: Row,
    fields: Option<Vec<(String, String)>>,
    /// Whether the reader may let it in.
    admits: bool,
}

#[derive(serde::Deserialize)]
struct From {
    #[serde(default)]
    after: usize,
}

#[derive(serde::Deserialize)]
struct RouteForm {
    unit: String,
}

async fn list(
    State(app): State<App>,
    reader: Reader,
    Query(from): Query<From>,
) -> Answer<Html<String>> {
    reader.enter(Section::Phones)?;
    let unit = (!reader.manages_every_unit()).then_some(reader.who.unit);
    let wanted = Wanted {
        unit,
        id: None,
        after: from.after,
        limit: PAGE + 1,
    };
    let mut items = quarantine::list(&app, wanted).await?;
    let more = items.len() > PAGE;
    items.truncate(PAGE);
    let units: Vec<Unit> = sqlx::query_as(
        "select unit_id, name from unit where level = 'ward' and valid_to is null order by name",
    )
    .fetch_all(&app.database.read)
    .await?;
    html(&QuarantinePage {
        shell: Shell::of(&reader, Section::Phones, reader.language.words().quarantine),
        opens: reader.who.role == Role::Chief,
        rows: shown(&app, items, reader.language).await?,
        units,
        after: from.after,
        next: more.then_some(from.after + PAGE),
    })
}

async fn one(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
) -> Answer<Html<String>> {
    reader.enter(Section::Phones)?;
    let id = item_id(id)?;
    let content = quarantine::content(&app, &reader.who, &id).await?;
    let admits = quarantine::may_admit(&reader.who, &content.item);
    let mut rows = shown(&app, vec![content.item], reader.language).await?;
    html(&ItemPage {
        shell: Shell::of(&reader, Section::Phones, reader.language.words().quarantine),
        row: rows.pop().ok_or_else(Problem::not_found)?,
        fields: content.fields,
        admits,
    })
}

async fn admit(State(app): State<App>, reader: Reader, Path(id): Path<String>) -> Answer<Redirect> {
    reader.enter(Section::Phones)?;
    let id = item_id(id)?;
    quarantine::admit(&app, &reader.who, &id).await?;
    Ok(Redirect::to("/quarantine"))
}

async fn route(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
    Form(form): Form<RouteForm>,
) -> Answer<Redirect> {
    reader.enter(Section::Phones)?;
    let id = item_id(id)?;
    let unit: UnitId = form.unit.parse().map_err(|_| Problem::not_found())?;
    quarantine::route(&app, &reader.who, &id, unit).await?;
    Ok(Redirect::to("/quarantine"))
}

/// The id in a path; what cannot be one is not there.
fn item_id(text: String) -> Answer<String> {
    invalid::text("id", &text, ID_LIMIT).map_err(|_| Problem::not_found())?;
    Ok(text)
}

/// Items in words, with the names of phones and units.
async fn shown(app: &App, items: Vec<Item>, language: Language) -> Answer<Vec<Row>> {
    let phones = names(
        app,
        "select phone.phone_id, person.name || ' · ' || phone.model from phone \
         join person on person.person_id = phone.person_id",
    )
    .await?;
    let units = names(app, "select unit_id, name from unit").await?;
    let w = language.words();
    let named = |names: &BTreeMap<String, String>, id: Option<String>| {
        id.map(|id| names.get(&id).cloned().unwrap_or(id))
    };
    let row = |item: Item| Row {
        short: item.hash.chars().take(12).collect(),
        id: item.id,
        received: clock::vietnamese(item.received_at_ms),
        reason: w.refusal(&item.reason),
        refused: item.state == "refused",
        admitted: item.admitted_at_ms.map(clock::vietnamese),
        size: format!("{} B", language.integer(item.size_bytes)),
        phone: named(&phones, item.carrier).unwrap_or_else(|| w.the_server.to_owned()),
        unit: named(&units, item.unit),
    };
    Ok(items.into_iter().map(row).collect())
}

async fn names(app: &App, sql: &'static str) -> Result<BTreeMap<String, String>, sqlx::Error> {
    let rows: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&app.database.read).await?;
    Ok(rows.into_iter().collect())
}
