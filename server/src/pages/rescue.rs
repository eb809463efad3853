//! `/rescue`: hands in a rescue file (tệp cứu hộ) and says what became of it, in numbers and reasons. Nothing of its content is
//! here, so that an admin may hand one in too, and a chief one of another unit.

use super::{
    html,
    language::Language,
    reader::Reader,
    shell::{Section, Shell},
};
use crate::{
    app::App,
    problem::{Answer, Problem},
    rescue::{Carrier, receive},
};
use askama::Template;
use axum::{
    Router,
    extract::{DefaultBodyLimit, Multipart, State},
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
    routing::{get, post},
};
use kieumau_core::{
    invalid::{Invalid, Rule},
    rescue::Taken,
};
use std::collections::BTreeMap;

/// `/rescue`.
pub fn router() -> Router<App> {
    let take = post(take).layer(DefaultBodyLimit::disable());
    Router::new().route("/rescue", get(form).merge(take))
}

#[derive(Template)]
#[template(path = "rescue.html")]
struct RescuePage {
    shell: Shell,
    result: Option<Shown>,
    refused: Option<&'static str>,
}

/// What became of a file, in words.
struct Shown {
    counts: Vec<(&'static str, String)>,
    anything_new: bool,
    kept: Vec<Kept>,
}

/// What was not taken, by reason.
struct Kept {
    title: &'static str,
    says: Option<&'static str>,
    rows: Vec<(&'static str, String)>,
}

async fn form(reader: Reader) -> Answer<Html<String>> {
    reader.enter(Section::Phones)?;
    page(&reader, None, None)
}

async fn take(
    State(app): State<App>,
    reader: Reader,
    mut multipart: Multipart,
) -> Answer<Response> {
    reader.enter(Section::Phones)?;
    let malformed = || Problem::from(Invalid::new("file", Rule::Malformed));
    let field = multipart.next_field().await.map_err(|_| malformed())?;
    let field = field
        .filter(|field| field.name() == Some("file"))
        .ok_or_else(malformed)?;
    let carrier = Carrier {
        person: Some(reader.who.person),
        phone: None,
        unit: Some(reader.who.unit),
    };
    let taken = match receive::receive(&app, None, field).await {
        // A task of its own: who closes the page does not leave half a file taken.
        Ok(received) => tokio::spawn(async move { received.take(&app, carrier).await })
            .await
            .map_err(Problem::internal)?,
        Err(problem) => Err(problem),
    };
    let w = reader.language.words();
    match taken {
        Ok(taken) => Ok(page(&reader, Some(shown(&taken, reader.language)), None)?.into_response()),
        Err(problem) => match w.rescue_refusal(problem.word()) {
            Some(why) => {
                let page = page(&reader, None, Some(why))?;
                Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
            }
            None => Err(problem),
        },
    }
}

fn page(
    reader: &Reader,
    result: Option<Shown>,
    refused: Option<&'static str>,
) -> Answer<Html<String>> {
    html(&RescuePage {
        shell: Shell::of(reader, Section::Phones, reader.language.words().rescue),
        result,
        refused,
    })
}

fn shown(taken: &Taken, language: Language) -> Shown {
    let w = language.words();
    let count = |name, number: u32| (name, language.integer(i64::from(number)));
    let mut counts = vec![
        count(w.rescue_taken, taken.changes_taken),
        count(w.rescue_held, taken.changes_held),
        count(w.rescue_files_taken, taken.files_taken),
        count(w.rescue_files_held, taken.files_held),
    ];
    if taken.changes_waiting > 0 {
        counts.push(count(w.rescue_waiting, taken.changes_waiting));
    }
    let rows = |words: &BTreeMap<String, u32>| {
        let row = |(word, number): (&String, &u32)| count(w.refusal(word), *number);
        words.iter().map(row).collect()
    };
    let quarantined = Kept {
        title: w.rescue_quarantined,
        says: Some(w.rescue_quarantined_says),
        rows: rows(&taken.quarantined),
    };
    let files = Kept {
        title: w.rescue_files_refused,
        says: None,
        rows: rows(&taken.files_refused),
    };
    let mut kept = vec![quarantined, files];
    kept.retain(|kept| !kept.rows.is_empty());
    Shown {
        counts,
        anything_new: taken.changes_taken + taken.files_taken > 0 || !kept.is_empty(),
        kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kieumau_core::log::admission::Refusal;

    #[test]
    fn every_refusal_has_words_of_its_own() {
        let w = Language::Vietnamese.words();
        for refusal in Refusal::ALL {
            assert_ne!(w.refusal(refusal.word()), w.refused_otherwise);
        }
    }
}
