//! `/audit`: who did what to what (nhật ký truy cập). A chief reads the own unit's rows, an auditor all; by day and person, a
//! hundred at a time. Rows hold ids and stable words, never content; what a subject is called is [`subject`]'s to find.

mod subject;

use super::{
    html,
    language::Language,
    patrols::{FILTER_LIMIT, day},
    reader::Reader,
    shell::{Section, Shell},
    words::Words,
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
    invalid::{self, Invalid, Rule},
    person::Role,
};
use subject::{Named, Subject};

/// Rows on one page.
const PAGE: usize = 100;

/// `/audit`.
pub fn router() -> Router<App> {
    Router::new().route("/audit", get(list))
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Filter {
    day: String,
    person: String,
    /// The last row of the page before: `at_ms.audit_id`.
    after: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    audit_id: String,
    at_ms: i64,
    person: Option<String>,
    model: Option<String>,
    unit: Option<String>,
    action: String,
    subject: Option<String>,
    detail: Option<String>,
    #[sqlx(flatten)]
    named: Named,
}

struct Deed {
    at: String,
    who: String,
    phone: String,
    unit: String,
    action: String,
    subject: Option<Subject>,
    detail: String,
}

#[derive(sqlx::FromRow)]
struct Person {
    person_id: String,
    name: String,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    shell: Shell,
    filter: Filter,
    filtered: bool,
    people: Vec<Person>,
    deeds: Vec<Deed>,
    next: Option<String>,
}

async fn list(
    State(app): State<App>,
    reader: Reader,
    Query(filter): Query<Filter>,
) -> Answer<Html<String>> {
    reader.enter(Section::Audit)?;
    invalid::text("person", &filter.person, FILTER_LIMIT)?;
    invalid::text("after", &filter.after, FILTER_LIMIT)?;
    // Empty: every unit.
    let every_unit = reader.who.role == Role::Auditor;
    let unit = if every_unit {
        String::new()
    } else {
        reader.who.unit.to_string()
    };
    let people = people(&app, unit.clone()).await?;
    let mut rows = read(&app, &reader, unit, &filter).await?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let last = rows.last().filter(|_| more);
    html(&AuditPage {
        shell: Shell::of(&reader, Section::Audit, reader.language.words().audit),
        next: last.map(|last| format!("{}.{}", last.at_ms, last.audit_id)),
        filtered: !(filter.day.is_empty() && filter.person.is_empty()),
        filter,
        people,
        deeds: rows
            .into_iter()
            .map(|row| row.shown(reader.language))
            .collect(),
    })
}

async fn people(app: &App, unit: String) -> Answer<Vec<Person>> {
    let people = sqlx::query_as(
        "select person_id, name from person where $1 = '' or unit_id = $1 order by name, person_id",
    )
    .bind(unit)
    .fetch_all(&app.database.read)
    .await?;
    Ok(people)
}

/// The rows of a page and one more. Subjects are looked up for these alone, and in the same statement.
/// The unit whose content this reader knows; empty for who reads none, wherever they serve.
fn content_of(reader: &Reader) -> String {
    if reader.who.role.reads_the_unit() {
        reader.who.unit.to_string()
    } else {
        String::new()
    }
}

async fn read(app: &App, reader: &Reader, unit: String, filter: &Filter) -> Answer<Vec<Row>> {
    let (before_ms, before_id) = match filter.after.split_once('.') {
        None if filter.after.is_empty() => (i64::MAX, ""),
        Some((ms, id)) => (
            ms.parse()
                .map_err(|_| Invalid::new("after", Rule::Malformed))?,
            id,
        ),
        None => return Err(Invalid::new("after", Rule::Malformed).into()),
    };
    let rows = sqlx::query_as(scoped!(
        "select a.audit_id, a.at_ms, person.name as person, phone.model, unit.name as unit, a.action, a.subject, a.detail, ",
        subject::named!(),
        "from (select * from audit \
               where ($2 = '' or unit_id = $2) and ($3 = '' or person_id = $3) and at_ms >= $4 and at_ms < $5 \
                 and (at_ms < $6 or (at_ms = $6 and audit_id < $7)) \
               order by at_ms desc, audit_id desc limit 101) a \
         left join person on person.person_id = a.person_id left join phone on phone.phone_id = a.phone_id \
         left join unit on unit.unit_id = a.unit_id ",
        subject::joined!(),
        "order by a.at_ms desc, a.audit_id desc"
    ))
    .bind(content_of(reader))
    .bind(unit)
    .bind(filter.person.clone())
    .bind(day("day", &filter.day, 0)?.unwrap_or(i64::MIN))
    .bind(day("day", &filter.day, 1)?.unwrap_or(i64::MAX))
    .bind(before_ms)
    .bind(before_id.to_owned())
    .fetch_all(&app.database.read)
    .await?;
    Ok(rows)
}

impl Row {
    fn shown(self, language: Language) -> Deed {
        let w = language.words();
        Deed {
            at: clock::vietnamese(self.at_ms),
            who: self
                .person
                .unwrap_or_else(|| nobody(w, &self.action).to_owned()),
            phone: self.model.unwrap_or_default(),
            unit: self.unit.unwrap_or_default(),
            action: w.deed(&self.action).unwrap_or(&self.action).to_owned(),
            subject: self.subject.map(|id| self.named.shown(id, language)),
            detail: self
                .detail
                .map_or_else(String::new, |detail| in_words(w, &self.action, &detail)),
        }
    }
}

/// Who did what no person of ours is written beside: what was refused came from somebody unknown, all else from whoever holds
/// the server itself.
fn nobody(w: &Words, action: &str) -> &'static str {
    match action {
        "sign-in-failed" | "enrolment-refused" | "rescue-refused" => w.somebody,
        _ => w.command_line,
    }
}

/// What a deed's row tells besides: one stable word, a number of documents (of entries of the log for a backup), or several numbers with the word of each before it.
/// A word that is newer than this page stands for itself.
fn in_words(w: &Words, action: &str, detail: &str) -> String {
    if let Ok(count) = detail.parse::<u64>() {
        let what = match (action, count) {
            ("backed-up", _) => w.log_entries,
            (_, 1) => w.document,
            _ => w.documents,
        };
        return format!("{detail} {what}");
    }
    let parts: Vec<&str> = detail.split(' ').collect();
    if let [_, _, ..] = parts[..] {
        let counted = parts.chunks(2).map(|part| match *part {
            [word, number] => format!("{} {number}", w.detail(word).unwrap_or(word)),
            _ => part.join(" "),
        });
        return counted.collect::<Vec<_>>().join(", ");
    }
    w.detail(detail).unwrap_or(detail).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::words::{ENGLISH, VIETNAMESE};

    #[test]
    fn a_detail_is_read_in_the_language_of_the_page() {
        let vietnamese = |detail| in_words(&VIETNAMESE, "exported", detail);
        assert_eq!(vietnamese("approved"), VIETNAMESE.approved);
        assert_eq!(vietnamese("code-used"), VIETNAMESE.code_used);
        assert_eq!(vietnamese("rescue-damaged"), VIETNAMESE.rescue_damaged);
        assert_eq!(vietnamese("chief"), VIETNAMESE.chief);
        assert_eq!(vietnamese("2"), "2 tài liệu");
        assert_eq!(
            vietnamese("taken 3 held 0 waiting 0 quarantined 1 files 2"),
            "mới nhận 3, đã có 0, đang chờ 0, cách ly 1, ảnh, tệp 2"
        );
        assert_eq!(in_words(&ENGLISH, "exported", "2"), "2 documents");
        assert_eq!(in_words(&ENGLISH, "exported", "1"), "1 document");
        assert_eq!(
            in_words(&ENGLISH, "backed-up", "10"),
            "10 entries of the log"
        );
        assert_eq!(vietnamese("from-the-future"), "from-the-future");
    }

    /// Every word that the server writes into a row, as the sources say them, has one of the page's.
    #[test]
    fn every_detail_that_is_written_has_words() {
        use crate::unit::Link;
        use kieumau_core::{person::Role, review::Verdict};
        let roles = [
            Role::Officer,
            Role::Chief,
            Role::Appraiser,
            Role::Admin,
            Role::Auditor,
        ];
        let written = [Link::Merge, Link::Split, Link::Rename].map(Link::word);
        let written = written.into_iter().chain(roles.map(Role::word));
        let written = written
            .chain([Verdict::Approved, Verdict::Returned, Verdict::Withdrawn].map(Verdict::word));
        let written = written.chain(["set", "removed", "thumbnail"]);
        let written =
            written.chain(crate::enrolment::Refusal::ALL.map(crate::enrolment::Refusal::word));
        for word in written {
            assert!(VIETNAMESE.detail(word).is_some(), "{word}");
        }
    }
}
