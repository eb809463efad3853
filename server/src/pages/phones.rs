//! `/phones`: the phones of a unit, when each was last seen, revoking one, and the code that enrols the next: shown once, as a
//! QR and in digits, with the time that is left.

use super::{
    html,
    language::Language,
    reader::Reader,
    shell::{Section, Shell},
};
use crate::{
    app::App,
    clock, enrolment, phone,
    problem::{Answer, Problem},
    qr,
};
use askama::Template;
use axum::{
    Form, Router,
    extract::{Path, State},
    response::{Html, Redirect},
    routing::{get, post},
};
use kieumau_core::id::PersonId;

/// `/phones`, a new code, a revocation.
pub fn router() -> Router<App> {
    Router::new()
        .route("/phones", get(list))
        .route("/phones/codes", post(issue))
        .route("/phones/{phone}/revoke", post(revoke))
}

#[derive(sqlx::FromRow)]
struct Row {
    phone_id: String,
    person: String,
    unit: String,
    model: String,
    app_version: String,
    enrolled_at_ms: i64,
    last_seen_at_ms: Option<i64>,
    revoked_at_ms: Option<i64>,
    revoked_by: Option<String>,
}

struct PhoneRow {
    id: String,
    person: String,
    unit: String,
    model: String,
    version: String,
    enrolled: String,
    seen: Option<String>,
    /// How long ago, if longer than a day.
    silent: Option<String>,
    revoked: Option<String>,
    question: String,
}

#[derive(sqlx::FromRow)]
struct Person {
    person_id: String,
    name: String,
    unit: String,
}

struct Code {
    person: String,
    text: String,
    address: String,
    path: String,
    side: usize,
    expires_at_ms: i64,
    now_ms: i64,
    expires: String,
}

#[derive(Template)]
#[template(path = "phones.html")]
struct PhonesPage {
    shell: Shell,
    every_unit: bool,
    phones: Vec<PhoneRow>,
    people: Vec<Person>,
    code: Option<Code>,
}

#[derive(serde::Deserialize)]
struct IssueForm {
    person: String,
}

async fn list(State(app): State<App>, reader: Reader) -> Answer<Html<String>> {
    reader.enter(Section::Phones)?;
    page(&app, &reader, None).await
}

async fn issue(
    State(app): State<App>,
    reader: Reader,
    Form(form): Form<IssueForm>,
) -> Answer<Html<String>> {
    reader.enter(Section::Phones)?;
    let person: PersonId = form.person.parse().map_err(|_| Problem::not_found())?;
    let issued = enrolment::issue(&app, Some(&reader.who), person).await?;
    let name: String = sqlx::query_scalar("select name from person where person_id = $1")
        .bind(person.to_string())
        .fetch_one(&app.database.read)
        .await?;
    let (path, side) = qr::path(&issued.qr_text).map_err(Problem::internal)?;
    let code = Code {
        person: name,
        text: issued.code.grouped(),
        address: issued.address,
        path,
        side,
        expires_at_ms: issued.expires_at_ms,
        now_ms: clock::now_ms(),
        expires: clock::vietnamese(issued.expires_at_ms),
    };
    // The code is in no address and no history: the answer to the form is the only page that has it.
    let reader = Reader {
        here: Section::Phones.path().to_owned(),
        ..reader
    };
    page(&app, &reader, Some(code)).await
}

async fn revoke(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
) -> Answer<Redirect> {
    reader.enter(Section::Phones)?;
    let id = id.parse().map_err(|_| Problem::not_found())?;
    phone::revoke(&app, Some(&reader.who), id).await?;
    Ok(Redirect::to(Section::Phones.path()))
}

async fn page(app: &App, reader: &Reader, code: Option<Code>) -> Answer<Html<String>> {
    let every_unit = reader.manages_every_unit();
    // Empty: every unit.
    let unit = if every_unit {
        String::new()
    } else {
        reader.who.unit.to_string()
    };
    let phones: Vec<Row> = sqlx::query_as(
        "select phone.phone_id, person.name as person, unit.name as unit, phone.model, phone.app_version, \
                phone.enrolled_at_ms, phone.last_seen_at_ms, phone.revoked_at_ms, revoker.name as revoked_by \
         from phone join person on person.person_id = phone.person_id join unit on unit.unit_id = phone.unit_id \
         left join person revoker on revoker.person_id = phone.revoked_by \
         where $1 = '' or phone.unit_id = $1 \
         order by case when phone.revoked_at_ms is null then 0 else 1 end, unit.name, person.name, phone.phone_id",
    )
    .bind(unit.clone())
    .fetch_all(&app.database.read)
    .await?;
    let people = sqlx::query_as(
        "select person.person_id, person.name, unit.name as unit from person join unit on unit.unit_id = person.unit_id \
         where ($1 = '' or person.unit_id = $1) and person.disabled_at_ms is null and person.role in ('officer', 'chief') \
         order by unit.name, person.name, person.person_id",
    )
    .bind(unit)
    .fetch_all(&app.database.read)
    .await?;
    let now_ms = clock::now_ms();
    html(&PhonesPage {
        shell: Shell::of(reader, Section::Phones, reader.language.words().phones),
        every_unit,
        phones: phones
            .into_iter()
            .map(|row| row.shown(now_ms, reader.language))
            .collect(),
        people,
        code,
    })
}

impl Row {
    fn shown(self, now_ms: i64, language: Language) -> PhoneRow {
        let w = language.words();
        let silent_ms = self.last_seen_at_ms.map_or(0, |seen| now_ms - seen);
        let revoked = self.revoked_at_ms.map(clock::vietnamese);
        PhoneRow {
            question: format!("{} {} · {}?", w.revoke_question, self.model, self.person),
            id: self.phone_id,
            person: self.person,
            unit: self.unit,
            model: self.model,
            version: self.app_version,
            enrolled: clock::vietnamese(self.enrolled_at_ms),
            seen: self.last_seen_at_ms.map(clock::vietnamese),
            silent: (silent_ms > 86_400_000 && revoked.is_none()).then(|| language.span(silent_ms)),
            revoked: match (revoked, self.revoked_by) {
                (Some(at), Some(by)) => Some(format!("{at} · {by}")),
                (at, _) => at,
            },
        }
    }
}
