//! `/patrols`: the patrols of the reader's unit and of the units it came from, newest first, by unit, date and state; fifty at
//! a time, continued by the last row's key, so that a page costs the same wherever it is.

use super::{
    html,
    language::Language,
    reader::{ReachedUnit, Reader},
    shell::{Section, Shell},
    standing::{Standing, current_decision},
    words::Words,
};
use crate::{app::App, clock, live::stream, problem::Answer, scope::scoped};
use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    response::Html,
    routing::get,
};
use kieumau_core::invalid::{self, Invalid, Rule};

/// Rows on one page.
const PAGE: usize = 50;

/// Characters in a filter: an id, two dates, or a time and an id.
pub(super) const FILTER_LIMIT: usize = 100;

/// The states that the list can be narrowed to; the empty one is all.
const STATES: [&str; 7] = [
    "",
    "unreviewed",
    "again",
    "returned",
    "approved",
    "going-on",
    "ended",
];

/// `/patrols`.
pub fn router() -> Router<App> {
    Router::new().route("/patrols", get(list))
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Filter {
    unit: String,
    from: String,
    to: String,
    state: String,
    /// The last row of the page before: `started_at_ms.document_id`.
    after: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    document_id: String,
    unit_name: String,
    title: String,
    started_at_ms: i64,
    ended_at_ms: Option<i64>,
    length_m: f64,
    observation_count: i64,
    attachment_count: i64,
    visit_count: i64,
    leader: String,
    decision: Option<String>,
    same: i64,
}

struct PatrolRow {
    id: String,
    unit: String,
    title: String,
    started: String,
    ended: Option<String>,
    length: String,
    observations: String,
    photos: String,
    visits: String,
    leader: String,
    standing: Standing,
}

struct Choice {
    value: &'static str,
    name: &'static str,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "patrols.html")]
struct PatrolsPage {
    shell: Shell,
    filter: Filter,
    units: Vec<ReachedUnit>,
    states: Vec<Choice>,
    filtered: bool,
    rows: Vec<PatrolRow>,
    /// How far the feed could be served before the rows were read.
    number: i64,
    next: Option<String>,
}

async fn list(
    State(app): State<App>,
    reader: Reader,
    Query(filter): Query<Filter>,
) -> Answer<Html<String>> {
    reader.enter(Section::Patrols)?;
    filter.check()?;
    let number = stream::through(&app, reader.who.unit).await?;
    let units = reader.units(&app).await?;
    let mut rows = read(&app, &reader, &filter).await?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let last = rows.last().filter(|_| more);
    let w = reader.language.words();
    html(&PatrolsPage {
        shell: Shell::of(&reader, Section::Patrols, w.patrols),
        next: last.map(|last| format!("{}.{}", last.started_at_ms, last.document_id)),
        filtered: filter.is_narrow(),
        number,
        rows: rows
            .into_iter()
            .map(|row| row.shown(reader.language))
            .collect(),
        states: states(w, &filter.state),
        filter,
        units,
    })
}

fn states(w: &Words, chosen: &str) -> Vec<Choice> {
    let choice = |value: &'static str| Choice {
        value,
        name: w.patrol_state(value),
        chosen: value == chosen,
    };
    STATES.map(choice).into()
}

impl Filter {
    /// What goes to the database as it was typed. Days are parsed, a state is one of ours.
    fn check(&self) -> Result<(), Invalid> {
        invalid::text("unit", &self.unit, FILTER_LIMIT)?;
        invalid::text("after", &self.after, FILTER_LIMIT)
    }

    fn is_narrow(&self) -> bool {
        [&self.unit, &self.from, &self.to, &self.state]
            .into_iter()
            .any(|field| !field.is_empty())
    }
}

async fn read(app: &App, reader: &Reader, filter: &Filter) -> Answer<Vec<Row>> {
    let (before_ms, before_id) = after(&filter.after)?;
    // A state that this page does not know is all of them.
    let known = STATES.into_iter().find(|state| *state == filter.state);
    let rows = sqlx::query_as(scoped!(
        // The page's rows first, by narrow columns, and only then what is joined to them: in a ward of 10,000 patrols the
        // decision of each would otherwise be looked up before 50 are kept.
        "select p.document_id, u.name as unit_name, p.title, p.started_at_ms, p.ended_at_ms, p.length_m, \
                p.observation_count, p.attachment_count, p.visit_count, coalesce(leader.name, '') as leader, d.decision, \
                cast(case when d.heads = doc.checked_heads then 1 else 0 end as bigint) as same \
         from (select p.document_id from patrol p \
               where p.unit_id in (select unit_id from scope) and ($2 = '' or p.unit_id = $2) \
                 and ($3 = '' or exists (select 1 from patrol_member m \
                                         where m.document_id = p.document_id and m.person_id = $3)) \
                 and p.started_at_ms >= $4 and p.started_at_ms < $5 \
                 and (p.started_at_ms < $6 or (p.started_at_ms = $6 and p.document_id < $7)) \
                 and case $8 when '' then 1 \
                       when 'going-on' then case when p.ended_at_ms is null then 1 else 0 end \
                       when 'ended' then case when p.ended_at_ms is null then 0 else 1 end \
                       else (select case $8 \
                                 when 'unreviewed' then case when d.decision is null then 1 else 0 end \
                                 when 'again' then case when d.heads <> doc.checked_heads then 1 else 0 end \
                                 else case when d.decision = $8 and d.heads = doc.checked_heads then 1 else 0 end end \
                             from document doc ",
        current_decision!("doc.document_id"),
        "where doc.document_id = p.document_id) end = 1 \
               order by p.started_at_ms desc, p.document_id desc limit 51) chosen \
         join patrol p on p.document_id = chosen.document_id \
         join unit u on u.unit_id = p.unit_id join document doc on doc.document_id = p.document_id \
         left join person leader on leader.person_id = p.leader ",
        current_decision!("p.document_id"),
        "order by p.started_at_ms desc, p.document_id desc"
    ))
    .bind(reader.who.unit.to_string())
    .bind(filter.unit.clone())
    .bind(reader.must_be_on_the_team())
    .bind(day("from", &filter.from, 0)?.unwrap_or(i64::MIN))
    .bind(day("to", &filter.to, 1)?.unwrap_or(i64::MAX))
    .bind(before_ms)
    .bind(before_id)
    .bind(known.unwrap_or_default().to_owned())
    .fetch_all(&app.database.read)
    .await?;
    Ok(rows)
}

impl Row {
    fn shown(self, language: Language) -> PatrolRow {
        PatrolRow {
            id: self.document_id,
            unit: self.unit_name,
            title: language.words().patrol_title(self.title),
            started: clock::vietnamese(self.started_at_ms),
            ended: self
                .ended_at_ms
                .map(|ended| language.span(ended.saturating_sub(self.started_at_ms))),
            length: language.kilometres(self.length_m),
            observations: language.integer(self.observation_count),
            photos: language.integer(self.attachment_count),
            visits: language.integer(self.visit_count),
            leader: self.leader,
            standing: Standing::of(self.decision.as_deref(), self.same == 1),
        }
    }
}

/// Where the page begins: below this time and, at the same time, below this id.
fn after(key: &str) -> Result<(i64, String), Invalid> {
    if key.is_empty() {
        return Ok((i64::MAX, String::new()));
    }
    let parts = key
        .split_once('.')
        .and_then(|(ms, id)| Some((ms.parse().ok()?, id.to_owned())));
    parts.ok_or_else(|| Invalid::new("after", Rule::Malformed))
}

/// The first moment of a day in Vietnam, `later` days on; none for none.
pub(super) fn day(field: &'static str, text: &str, later: i64) -> Result<Option<i64>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let malformed = || Invalid::new(field, Rule::Malformed);
    let date: jiff::civil::Date = text.parse().map_err(|_| malformed())?;
    let midnight = date.to_datetime(jiff::civil::Time::midnight());
    let at = clock::VIETNAM
        .to_timestamp(midnight)
        .map_err(|_| malformed())?;
    Ok(Some(at.as_millisecond() + later * 86_400_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_vietnam() {
        assert_eq!(day("from", "1970-01-02", 0), Ok(Some(17 * 3_600_000)));
        assert_eq!(day("to", "1970-01-01", 1), Ok(Some(17 * 3_600_000)));
        assert_eq!(day("from", "", 0), Ok(None));
        assert_eq!(
            day("from", "22/11/2026", 0),
            Err(Invalid::new("from", Rule::Malformed))
        );
    }

    #[test]
    fn a_page_goes_on_where_the_last_one_ended() {
        assert_eq!(after("5.abc"), Ok((5, "abc".to_owned())));
        assert_eq!(after(""), Ok((i64::MAX, String::new())));
        assert_eq!(after("x"), Err(Invalid::new("after", Rule::Malformed)));
    }
}
