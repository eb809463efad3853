//! What changed between what a chief saw and what stands, field by field in the words of the page: a pure function from two states
//! of a document's rows to lines. What was never in doubt (who wrote it, when it came) stands beside it in [`super::change`].

use super::{language::Language, reader::Reader, titles};
use crate::{
    app::App,
    clock, past,
    problem::Answer,
    projection::{Content, PatrolRows, Rows},
};
use kieumau_core::{
    attachment::Attachment,
    evidence::Evidence,
    hash::Sha256,
    id::DocumentId,
    observation::Observation,
    patrol::{Handover, Pause, Visit},
};
use std::collections::BTreeMap;

/// Lines shown; more than a decision needs.
const LINES: usize = 60;

/// One thing of a document, as far as it is compared.
struct Thing {
    /// What it is: an observation, a visit. Empty for the document itself.
    kind: &'static str,
    /// Which one.
    title: String,
    /// Each field's name and text; empty for nothing.
    fields: Vec<(&'static str, String)>,
}

/// The things of a document, in the order of the page.
type Things = BTreeMap<(u8, String), Thing>;

/// Names of people and checkpoints, by id.
type Names = BTreeMap<String, String>;

/// What `document` says now and did not say at the `seen` heads, or says otherwise. Nothing if no worker can tell.
///
/// # Errors
/// What the database says.
pub async fn since(
    app: &App,
    reader: &Reader,
    document: DocumentId,
    seen: Vec<Sha256>,
    now: Vec<Sha256>,
) -> Answer<Vec<String>> {
    let Some([then, now]) = past::rows(app, document, [seen, now]).await? else {
        return Ok(Vec::new());
    };
    let names: Vec<(String, String)> = sqlx::query_as(
        "select person_id, name from person union all select checkpoint_id, name from checkpoint",
    )
    .fetch_all(&app.database.read)
    .await?;
    let view = View {
        names: &names.into_iter().collect(),
        language: reader.language,
    };
    Ok(view.lines(&then, &now))
}

/// Through whose words it is seen.
#[derive(Clone, Copy)]
struct View<'a> {
    names: &'a Names,
    language: Language,
}

impl View<'_> {
    fn lines(self, then: &Rows, now: &Rows) -> Vec<String> {
        let (then, now) = (self.things(then), self.things(now));
        let mut lines = Vec::new();
        for (id, thing) in &now {
            match then.get(id) {
                None => lines.push(self.appeared(thing)),
                Some(before) => lines.extend(changed(before, thing)),
            }
        }
        lines.truncate(LINES);
        lines
    }

    fn appeared(self, thing: &Thing) -> String {
        // What the title says is not said again.
        let titled =
            |text: &str| thing.title == text || thing.title.ends_with(&format!("({text})"));
        let given = thing.fields.iter();
        let given = given.filter(|(_, text)| !text.is_empty() && !titled(text));
        let given: Vec<String> = given
            .map(|(name, text)| format!("{name}: {text}"))
            .collect();
        let newly = self.language.words().newly;
        format!(
            "{}{newly}: {} · {}",
            thing.kind,
            thing.title,
            given.join(" · ")
        )
    }

    fn things(self, rows: &Rows) -> Things {
        let mut things = Things::new();
        match &rows.content {
            Content::Patrol(patrol) => self.patrol(patrol, &mut things),
            Content::Evidence(file) => {
                for (id, item) in &file.items {
                    things.insert((1, id.to_string()), self.item(item));
                }
            }
            Content::Review(..) | Content::Reference(_) | Content::Nothing => {}
        }
        for (id, file) in &rows.attachments {
            things.insert((5, id.clone()), self.file(file));
        }
        things
    }

    fn patrol(self, patrol: &PatrolRows, things: &mut Things) {
        things.insert((0, String::new()), self.whole(patrol));
        let log = &patrol.log;
        let mut observations: Vec<_> = log.observations.iter().collect();
        observations.sort_by_key(|(id, one)| (one.happened_at_ms, **id));
        for (index, (id, one)) in observations.into_iter().enumerate() {
            things.insert((1, id.to_string()), self.observation(index + 1, one));
        }
        for (id, visit) in &log.visits {
            things.insert((2, id.to_string()), self.visit(visit));
        }
        for (id, pause) in &log.pauses {
            things.insert((3, id.to_string()), self.pause(pause));
        }
        for (id, handover) in &log.handovers {
            things.insert((4, id.to_string()), self.handover(handover));
        }
    }

    fn whole(self, patrol: &PatrolRows) -> Thing {
        let (w, log) = (self.language.words(), &patrol.log);
        let team: Vec<String> = log.team.keys().map(|person| self.name(person)).collect();
        let counted = |what: &str, counts: &BTreeMap<String, i64>| {
            let each = counts.iter().map(|(code, count)| {
                let title = titles::counted(what, code, self.language);
                format!("{title} {}", self.language.integer(*count))
            });
            each.collect::<Vec<_>>().join(", ")
        };
        let fields = vec![
            (w.field_title, log.title.clone().unwrap_or_default()),
            (w.started, time(log.started_at_ms)),
            (w.ended_at, time(log.ended_at_ms)),
            (
                w.leader,
                log.leader
                    .as_ref()
                    .map_or_else(String::new, |id| self.name(id)),
            ),
            (w.team, team.join(", ")),
            (w.forces, counted("force", &log.forces)),
            (w.vehicles, counted("vehicle", &log.vehicles)),
            (w.imported, time(log.imported_at_ms)),
            (w.length, self.language.kilometres(patrol.length_m)),
            (
                w.fixes,
                self.language
                    .integer(i64::try_from(patrol.fix_count).unwrap_or(i64::MAX)),
            ),
        ];
        Thing {
            kind: "",
            title: String::new(),
            fields,
        }
    }

    fn observation(self, number: usize, one: &Observation) -> Thing {
        let (w, language) = (self.language.words(), self.language);
        let number_of =
            |value: Option<i64>| value.map_or_else(String::new, |value| language.integer(value));
        let measures = one.measures_taken.keys();
        let measures: Vec<String> = measures
            .map(|code| titles::measure_taken(code, language))
            .collect();
        let place = one
            .position()
            .map(|at| format!("{:.5}, {:.5}", at.lat(), at.lon()));
        let category = titles::category(&one.category, language);
        let fields = vec![
            (w.field_category, category.clone()),
            (w.count, language.integer(one.count)),
            (
                w.field_count_unit,
                titles::count_unit(&one.count_unit, language),
            ),
            (w.time, clock::vietnamese(one.happened_at_ms)),
            (w.done, measures.join(", ")),
            (w.fined, number_of(one.fine_vnd)),
            (w.exhibits_held, number_of(one.exhibits_held)),
            (w.vehicles_held, number_of(one.vehicles_held)),
            (
                w.record_number,
                one.record_number.clone().unwrap_or_default(),
            ),
            (
                w.handed_over_to,
                one.handed_over_to.clone().unwrap_or_default(),
            ),
            (w.field_note, one.note.clone().unwrap_or_default()),
            (w.place, place.unwrap_or_default()),
            (w.withdrawn, time(one.withdrawn_at_ms)),
        ];
        Thing {
            kind: w.observation,
            title: format!("{number} ({category})"),
            fields,
        }
    }

    fn visit(self, visit: &Visit) -> Thing {
        let w = self.language.words();
        let fields = vec![
            (w.time, clock::vietnamese(visit.at_ms)),
            (w.who, self.name(&visit.by)),
            (w.proof, w.proof(&visit.proof).to_owned()),
        ];
        Thing {
            kind: w.visits,
            title: self.name(&visit.checkpoint),
            fields,
        }
    }

    fn pause(self, pause: &Pause) -> Thing {
        let w = self.language.words();
        let fields = vec![
            (w.until, time(pause.until_ms)),
            (w.who, self.name(&pause.by)),
        ];
        Thing {
            kind: w.pauses,
            title: clock::vietnamese(pause.from_ms),
            fields,
        }
    }

    fn handover(self, handover: &Handover) -> Thing {
        let w = self.language.words();
        let fields = vec![
            (w.handed_over_by, self.name(&handover.from)),
            (w.taken_over_by, self.name(&handover.to)),
            (w.field_note, handover.note.clone()),
            (w.confirmed_at, time(handover.confirmed_at_ms)),
        ];
        Thing {
            kind: w.handovers,
            title: clock::vietnamese(handover.at_ms),
            fields,
        }
    }

    fn item(self, item: &Evidence) -> Thing {
        let w = self.language.words();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let kind = titles::evidence_kind(&item.evidence_kind, self.language);
        let fields = vec![
            (w.field_evidence_kind, kind),
            (w.summary, item.summary.clone()),
            (w.document_number, text(&item.document_number)),
            (w.issued_on, text(&item.issued_on)),
            (w.issued_by, text(&item.issued_by)),
            (w.signed_by, text(&item.signed_by)),
            (w.field_note, text(&item.note)),
            (w.withdrawn, time(item.withdrawn_at_ms)),
        ];
        Thing {
            kind: w.items,
            title: item.summary.clone(),
            fields,
        }
    }

    fn file(self, file: &Attachment) -> Thing {
        let w = self.language.words();
        let kilobytes = self.language.integer(file.size_bytes / 1024 + 1);
        let fields = vec![
            (w.time, clock::vietnamese(file.attached_at_ms)),
            (w.who, self.name(&file.attached_by)),
            (w.withdrawn, time(file.withdrawn_at_ms)),
        ];
        Thing {
            kind: w.photos,
            title: format!("{} · {kilobytes} KB", file.media_type),
            fields,
        }
    }

    /// Who or what has this id; the end of the id for one that no table knows.
    fn name(self, id: &impl ToString) -> String {
        let id = id.to_string();
        let end = |id: &String| format!("…{}", id.get(30..).unwrap_or(id));
        self.names.get(&id).cloned().unwrap_or_else(|| end(&id))
    }
}

fn time(at_ms: Option<i64>) -> String {
    at_ms.map_or_else(String::new, clock::vietnamese)
}

/// The fields of one thing that differ.
fn changed(before: &Thing, now: &Thing) -> Vec<String> {
    let pairs = before.fields.iter().zip(&now.fields);
    let differing = pairs.filter(|(before, now)| before.1 != now.1);
    let said = |text: &String| {
        if text.is_empty() {
            "–".to_owned()
        } else {
            text.clone()
        }
    };
    differing
        .map(|(before, (name, text))| {
            let which = match now.kind {
                "" => String::new(),
                kind => format!("{kind} {} · ", now.title),
            };
            format!("{which}{name}: {} →\u{a0}{}", said(&before.1), said(text))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kieumau_core::{
        evidence::{EvidenceFile, NewEvidence},
        id::PersonId,
        observation::NewObservation,
        patrol::{NewPatrol, PatrolLog},
        stamp::Stamp,
    };

    const AN: PersonId = PersonId::from_bytes([1; 16]);

    fn at(second: u8) -> Stamp {
        Stamp {
            by: AN,
            at_ms: i64::from(second) * 1_000,
            random: [second; 10],
        }
    }

    fn rows(content: Content) -> Rows {
        Rows {
            content,
            ..Rows::default()
        }
    }

    fn of(log: &PatrolLog) -> Rows {
        rows(Content::Patrol(Box::new(PatrolRows {
            log: log.clone(),
            length_m: 0.0,
            fix_count: 0,
            accuracy_unknown: false,
            segments: Vec::new(),
        })))
    }

    fn told(then: &Rows, now: &Rows) -> Vec<String> {
        let names = Names::from([(AN.to_string(), "An".to_owned())]);
        let view = View {
            names: &names,
            language: Language::Vietnamese,
        };
        view.lines(then, now)
    }

    #[test]
    fn a_count_that_changed_and_an_observation_that_is_new_are_told_and_nothing_else() {
        let mut log = PatrolLog::default();
        let new = NewPatrol {
            title: "Ca đêm".to_owned(),
            ..NewPatrol::default()
        };
        log.start(at(1), new).expect("starts");
        let cases = |count| NewObservation::of("urban-order", count, "case");
        let first = log.observe(at(2), cases(3)).expect("observes");
        let seen = log.clone();
        assert_eq!(told(&of(&seen), &of(&log)), [""; 0]);
        log.edit_observation(at(3), first, cases(5)).expect("edits");
        log.observe(at(4), cases(1)).expect("observes");
        log.end(at(5)).expect("ends");
        assert_eq!(
            told(&of(&seen), &of(&log)),
            [
                "Kết thúc: – →\u{a0}01/01/1970 07:00",
                "Vụ việc 1 (Trật tự đô thị) · Số lượng: 3 →\u{a0}5",
                "Vụ việc mới: 2 (Trật tự đô thị) · Số lượng: 1 · Đơn vị tính: trường hợp · \
                 Thời gian: 01/01/1970 07:00",
            ]
        );
    }

    #[test]
    fn evidence_is_compared_item_by_item() {
        let mut file = EvidenceFile::default();
        let photo = |summary: &str| NewEvidence {
            evidence_kind: "photo".to_owned(),
            summary: summary.to_owned(),
            ..NewEvidence::default()
        };
        let id = file.file(at(1), photo("Vỉa hè")).expect("filed");
        let seen = rows(Content::Evidence(file.clone()));
        file.edit(at(2), id, photo("Vỉa hè Lê Lợi"))
            .expect("edited");
        let now = rows(Content::Evidence(file));
        assert_eq!(
            told(&seen, &now),
            ["Minh chứng Vỉa hè Lê Lợi · Trích yếu: Vỉa hè →\u{a0}Vỉa hè Lê Lợi"]
        );
    }
}
