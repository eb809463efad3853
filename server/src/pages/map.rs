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
    /// Whose phone recorded it.
    pub who: String,
}

#[derive(Serialize)]
struct Drawing<'a> {
    /// Per recorder, the unbroken pieces of the way: gaps are drawn between pieces of one recorder only.
    tracks: Vec<Vec<serde_json::Value>>,
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
    let rows: Vec<(String, String, i64, i64, String)> = sqlx::query_as(
        "select s.person_id, coalesce(person.name, ''), s.from_ms, s.until_ms, s.line from track_segment s \
         left join person on person.person_id = s.person_id where s.document_id = $1 order by s.number",
    )
    .bind(document.to_string())
    .fetch_all(&app.database.read)
    .await?;
    let mut tracks = Vec::new();
    for pieces in rows.chunk_by(|a, b| a.0 == b.0) {
        let lines = pieces.iter().map(|piece| serde_json::from_str(&piece.4));
        tracks.push(lines.collect::<Result<_, _>>().map_err(Problem::internal)?);
    }
    let pieces = rows.iter().map(|(_, who, from_ms, until_ms, _)| Segment {
        when: format!(
            "{} – {}",
            clock::vietnamese(*from_ms),
            clock::vietnamese(*until_ms)
        ),
        lasted: language.span(until_ms.saturating_sub(*from_ms)),
        who: who.clone(),
    });
    let drawing = Drawing {
        tracks,
        observations: marks(observations),
        words: map_words(language),
    };
    let nothing = drawing.tracks.is_empty() && drawing.observations.is_empty();
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
