//! What the map draws, as JSON for `map.mjs`: the track's unbroken pieces, and observations with a place. Gaps between pieces
//! are the browser's to dash. A document says where officers were, so none of it has a `Debug`.

use super::{language::Language, observation::ObservationRow};
use crate::{
    app::App,
    clock,
    problem::{Answer, Problem},
};
use kieumau_core::id::DocumentId;
use serde::Serialize;

/// One unbroken piece of a track, in words.
pub struct Segment {
    /// From, until.
    pub when: String,
    /// How long.
    pub lasted: String,
}

#[derive(Serialize)]
struct Drawing<'a> {
    segments: Vec<serde_json::Value>,
    observations: Vec<Mark<'a>>,
    words: MapWords,
}

#[derive(Serialize)]
struct Mark<'a> {
    number: usize,
    title: String,
    when: &'a str,
    note: &'a str,
    at: [f64; 2],
}

#[derive(Serialize)]
struct MapWords {
    map: &'static str,
    zoom_in: &'static str,
    zoom_out: &'static str,
    close: &'static str,
}

/// The map of a patrol: its JSON (none without a single place), and its pieces for who reads words.
///
/// # Errors
/// What the database says.
pub async fn read(
    app: &App,
    document: DocumentId,
    observations: &[ObservationRow],
    language: Language,
) -> Answer<(Option<String>, Vec<Segment>)> {
    let rows: Vec<(i64, i64, String)> = sqlx::query_as(
        "select from_ms, until_ms, line from track_segment where document_id = $1 order by number",
    )
    .bind(document.to_string())
    .fetch_all(&app.database.read)
    .await?;
    let mut lines = Vec::with_capacity(rows.len());
    for (_, _, line) in &rows {
        let line: serde_json::Value = serde_json::from_str(line).map_err(Problem::internal)?;
        if line.as_array().is_some_and(|points| !points.is_empty()) {
            lines.push(line);
        }
    }
    let pieces = rows.iter().map(|(from_ms, until_ms, _)| Segment {
        when: format!(
            "{} – {}",
            clock::vietnamese(*from_ms),
            clock::vietnamese(*until_ms)
        ),
        lasted: language.span(until_ms - from_ms),
    });
    let drawing = Drawing {
        segments: lines,
        observations: marks(observations),
        words: map_words(language),
    };
    let nothing = drawing.segments.is_empty() && drawing.observations.is_empty();
    let json = if nothing {
        None
    } else {
        Some(serde_json::to_string(&drawing).map_err(Problem::internal)?)
    };
    Ok((json, pieces.collect()))
}

fn marks(observations: &[ObservationRow]) -> Vec<Mark<'_>> {
    let placed = observations
        .iter()
        .filter(|observation| !observation.withdrawn);
    placed
        .filter_map(|observation| {
            Some(Mark {
                number: observation.number,
                title: format!("{} · {}", observation.category, observation.count),
                when: &observation.happened,
                note: &observation.note,
                at: observation.place?,
            })
        })
        .collect()
}

const fn map_words(language: Language) -> MapWords {
    let w = language.words();
    MapWords {
        map: w.map_keys,
        zoom_in: w.zoom_in,
        zoom_out: w.zoom_out,
        close: w.close,
    }
}
