//! `/evidence`: the catalogue's criteria and what the unit shows for each in one period: how many items, which required kinds
//! are missing, how the file stands with the supervisors.

use super::{
    dossier, html,
    language::Language,
    patrols::{self, FILTER_LIMIT},
    reader::Reader,
    shell::{Section, Shell},
    standing::{Standing, current_decision},
    titles,
};
use crate::{app::App, clock, problem::Answer, scope::scoped};
use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    response::Html,
    routing::get,
};
use kieumau_core::{
    catalogue::Catalogue,
    criterion::Criterion,
    invalid,
    period::{self, Period},
};

/// `/evidence`.
pub fn router() -> Router<App> {
    Router::new().route("/evidence", get(list))
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Filter {
    period: String,
    criterion: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    document_id: String,
    unit_id: String,
    unit_name: String,
    criterion: i64,
    items: i64,
    decision: Option<String>,
    same: i64,
}

struct File {
    id: String,
    unit: String,
    mine: bool,
    items: String,
    missing: Vec<String>,
    standing: Standing,
}

struct CriterionRow {
    number: u8,
    /// The group's title where a new group begins.
    group: Option<String>,
    title: String,
    required: Vec<String>,
    files: Vec<File>,
}

/// All of a unit in the period, as one file.
struct UnitDossier {
    unit: String,
    path: String,
}

struct Choice {
    value: String,
    name: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "evidence_list.html")]
struct EvidenceListPage {
    shell: Shell,
    placeholder: bool,
    periods: Vec<Choice>,
    criteria: Vec<Choice>,
    rows: Vec<CriterionRow>,
    shown: usize,
    dossiers: Vec<UnitDossier>,
    server_key: String,
}

async fn list(
    State(app): State<App>,
    reader: Reader,
    Query(filter): Query<Filter>,
) -> Answer<Html<String>> {
    reader.enter(Section::Evidence)?;
    invalid::text("period", &filter.period, FILTER_LIMIT)?;
    let language = reader.language;
    let catalogue = Catalogue::placeholder();
    let current = Period::of_programme(period::day_of(clock::now_ms())).to_string();
    let chosen = if filter.period.is_empty() {
        &current
    } else {
        &filter.period
    };
    let rows = rows(&app, &reader, chosen, &filter.criterion).await?;
    html(&EvidenceListPage {
        shell: Shell::of(&reader, Section::Evidence, language.words().evidence),
        placeholder: catalogue.placeholder,
        periods: periods(&app, &reader, &current, chosen).await?,
        criteria: criteria(catalogue, &filter.criterion, language),
        shown: rows.iter().filter(|row| !row.files.is_empty()).count(),
        rows,
        dossiers: dossiers(&app, &reader, chosen).await?,
        server_key: dossier::server_key(&app),
    })
}

/// The units that the reader may take whole and that have something in the period.
async fn dossiers(app: &App, reader: &Reader, period: &str) -> Answer<Vec<UnitDossier>> {
    let Some(period) = period.parse::<Period>().ok() else {
        return Ok(Vec::new());
    };
    if !reader.who.role.reads_the_unit() {
        return Ok(Vec::new());
    }
    let day = |date: jiff::civil::Date, later| patrols::day("period", &date.to_string(), later);
    let units: Vec<(String, String)> = sqlx::query_as(scoped!(
        "select unit.unit_id, unit.name from unit join scope on scope.unit_id = unit.unit_id \
         where exists (select 1 from evidence e where e.unit_id = unit.unit_id and e.period = $2) \
            or exists (select 1 from patrol p where p.unit_id = unit.unit_id and p.started_at_ms >= $3 and p.started_at_ms < $4) \
         order by unit.name"
    ))
    .bind(reader.who.unit.to_string())
    .bind(period.to_string())
    .bind(day(period.starts_on(), 0)?)
    .bind(day(period.ends_on(), 1)?)
    .fetch_all(&app.database.read)
    .await?;
    let dossier = |(unit_id, unit)| UnitDossier {
        unit,
        path: format!("/units/{unit_id}/dossier?period={period}"),
    };
    Ok(units.into_iter().map(dossier).collect())
}

/// The criteria with what is on file for each; all of them unless one number is chosen.
async fn rows(app: &App, reader: &Reader, period: &str, chosen: &str) -> Answer<Vec<CriterionRow>> {
    let files = files(app, reader, period).await?;
    let kinds = kinds(app, reader, period).await?;
    let mut group = None;
    let criteria = Catalogue::placeholder().criteria.iter();
    Ok(criteria
        .filter(|criterion| chosen.is_empty() || criterion.number.get().to_string() == chosen)
        .map(|criterion| row(criterion, &mut group, &files, &kinds, reader))
        .collect())
}

fn row(
    criterion: &Criterion,
    group: &mut Option<char>,
    files: &[Row],
    kinds: &[(String, String)],
    reader: &Reader,
) -> CriterionRow {
    let language = reader.language;
    let new_group = group.replace(criterion.group) != Some(criterion.group);
    let title = Catalogue::placeholder()
        .group(criterion.group)
        .filter(|_| new_group);
    let of_criterion = files
        .iter()
        .filter(|row| row.criterion == i64::from(criterion.number.get()));
    let own = reader.who.unit.to_string();
    CriterionRow {
        number: criterion.number.get(),
        group: title.map(|group| {
            format!(
                "{} · {}",
                group.letter,
                language.pick(&group.title_vi, &group.title_en)
            )
        }),
        title: language
            .pick(&criterion.title_vi, &criterion.title_en)
            .to_owned(),
        required: titles::missing(criterion, &[], language),
        files: of_criterion
            .map(|row| {
                let shown: Vec<&str> = kinds
                    .iter()
                    .filter(|(id, _)| *id == row.document_id)
                    .map(|(_, kind)| kind.as_str())
                    .collect();
                File {
                    id: row.document_id.clone(),
                    mine: row.unit_id == own,
                    unit: row.unit_name.clone(),
                    items: language.integer(row.items),
                    missing: titles::missing(criterion, &shown, language),
                    standing: Standing::of(row.decision.as_deref(), row.same == 1),
                }
            })
            .collect(),
    }
}

fn criteria(catalogue: &Catalogue, chosen: &str, language: Language) -> Vec<Choice> {
    let choice = |criterion: &Criterion| {
        let value = criterion.number.get().to_string();
        let title = language.pick(&criterion.title_vi, &criterion.title_en);
        Choice {
            name: format!("{value}. {title}"),
            chosen: value == chosen,
            value,
        }
    };
    catalogue.criteria.iter().map(choice).collect()
}

/// The files of a period, each with how many items stand in it.
async fn files(app: &App, reader: &Reader, period: &str) -> Answer<Vec<Row>> {
    let rows = sqlx::query_as(scoped!(
        "select f.document_id, f.unit_id, u.name as unit_name, f.criterion, f.items, d.decision, \
                cast(case when d.heads = doc.checked_heads then 1 else 0 end as bigint) as same \
         from (select document_id, unit_id, criterion, \
                      cast(sum(case when withdrawn_at_ms is null then 1 else 0 end) as bigint) as items \
               from evidence where period = $2 and unit_id in (select unit_id from scope) \
               group by document_id, unit_id, criterion) f \
         join unit u on u.unit_id = f.unit_id join document doc on doc.document_id = f.document_id ",
        current_decision!("f.document_id"),
        "order by f.criterion, u.name"
    ))
    .bind(reader.who.unit.to_string())
    .bind(period.to_owned())
    .fetch_all(&app.database.read)
    .await?;
    Ok(rows)
}

/// The kinds that each file of a period shows.
async fn kinds(app: &App, reader: &Reader, period: &str) -> Answer<Vec<(String, String)>> {
    let rows = sqlx::query_as(scoped!(
        "select distinct document_id, evidence_kind from evidence \
         where period = $2 and withdrawn_at_ms is null and unit_id in (select unit_id from scope)"
    ))
    .bind(reader.who.unit.to_string())
    .bind(period.to_owned())
    .fetch_all(&app.database.read)
    .await?;
    Ok(rows)
}

/// The current period and every one that has evidence, newest first.
async fn periods(app: &App, reader: &Reader, current: &str, chosen: &str) -> Answer<Vec<Choice>> {
    let mut values: Vec<String> = sqlx::query_scalar(scoped!(
        "select distinct period from evidence where unit_id in (select unit_id from scope)"
    ))
    .bind(reader.who.unit.to_string())
    .fetch_all(&app.database.read)
    .await?;
    values.push(current.to_owned());
    values.push(chosen.to_owned());
    values.sort();
    values.dedup();
    let choice = |value: String| Choice {
        name: in_words(&value),
        chosen: value == chosen,
        value,
    };
    Ok(values.into_iter().rev().map(choice).collect())
}

/// `2025-11-16..2026-11-15` as the desk reads it: `16/11/2025 – 15/11/2026`.
pub(super) fn in_words(period: &str) -> String {
    let day = |date: jiff::civil::Date| date.strftime("%d/%m/%Y").to_string();
    period.parse::<Period>().map_or_else(
        |_| period.to_owned(),
        |period| format!("{} – {}", day(period.starts_on()), day(period.ends_on())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_read_as_two_dates() {
        assert_eq!(
            in_words("2025-11-16..2026-11-15"),
            "16/11/2025 – 15/11/2026"
        );
        assert_eq!(in_words("some day"), "some day");
    }
}
