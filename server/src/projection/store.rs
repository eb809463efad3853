//! Writes documents' rows: the old ones go, the new ones come, in the caller's transaction, for many documents at once and in
//! as few statements as there are tables.

use super::{Content, PatrolRows, Rows};
use crate::{
    database::Tx,
    insert::{Insert, Value},
};
use kieumau_core::{
    document::Key, evidence::EvidenceFile, id::DocumentId, observation::Observation, review::Review,
};
use std::fmt::Write as _;

/// Every table of the projection, with its columns behind `document_id` and how many columns it has.
const TABLES: [(&str, &str, usize); 14] = [
    (
        "patrol",
        "insert into patrol (document_id, unit_id, title, started_at_ms, started_by, leader, ended_at_ms, \
         imported_at_ms, length_m, fix_count, accuracy_unknown, observation_count, attachment_count, visit_count) values",
        14,
    ),
    (
        "patrol_member",
        "insert into patrol_member (document_id, person_id, since_ms) values",
        3,
    ),
    (
        "handover",
        "insert into handover (document_id, handover_id, from_person_id, to_person_id, at_ms, note, confirmed_at_ms) values",
        7,
    ),
    (
        "patrol_count",
        "insert into patrol_count (document_id, what, code, count) values",
        4,
    ),
    (
        "pause",
        "insert into pause (document_id, pause_id, from_ms, until_ms, person_id) values",
        5,
    ),
    (
        "observation",
        "insert into observation (document_id, observation_id, unit_id, category, count, count_unit, happened_at_ms, \
         recorded_at_ms, recorded_by, edited_by, lat_e7, lon_e7, fine_vnd, exhibits_held, vehicles_held, record_number, \
         handed_over_to, note, withdrawn_at_ms) values",
        19,
    ),
    (
        "measure_taken",
        "insert into measure_taken (document_id, observation_id, code) values",
        3,
    ),
    (
        "visit",
        "insert into visit (document_id, visit_id, checkpoint_id, at_ms, person_id, proof) values",
        6,
    ),
    (
        "track_segment",
        "insert into track_segment (document_id, number, person_id, from_ms, until_ms, line) values",
        6,
    ),
    (
        "evidence",
        "insert into evidence (document_id, evidence_id, unit_id, criterion, period, evidence_kind, summary, \
         document_number, issued_on, issued_by, signed_by, note, recorded_at_ms, recorded_by, edited_by, \
         withdrawn_at_ms) values",
        16,
    ),
    (
        "attachment_use",
        "insert into attachment_use (document_id, attachment_id, item_id, sha256, size_bytes, media_type, \
         attached_at_ms, attached_by, withdrawn_at_ms) values",
        9,
    ),
    (
        "decision",
        "insert into decision (document_id, decision_id, reviewed_id, decision, heads, field, remark, person_id, \
         at_ms, withdraws) values",
        10,
    ),
    (
        "clash",
        "insert into clash (document_id, path, value_number, value, phone_id) values",
        5,
    ),
    (
        "checkpoint",
        "insert into checkpoint (document_id, checkpoint_id, unit_id, name, lat_e7, lon_e7, removed_at_ms) values",
        7,
    ),
];

/// Drops rows of documents that are not there.
///
/// # Errors
/// What the database says.
pub async fn drop_strays(tx: &mut Tx) -> Result<(), sqlx::Error> {
    for (table, _, _) in TABLES {
        let sql = format!(
            "delete from {table} where document_id not in (select document_id from document)"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// The rows of some documents on their way into the database.
pub struct Projected {
    old: Vec<DocumentId>,
    new: [Insert; TABLES.len()],
}

impl Default for Projected {
    fn default() -> Self {
        Self {
            old: Vec::new(),
            new: TABLES.map(|(_, head, columns)| Insert::new(head, columns, "")),
        }
    }
}

impl Projected {
    /// Takes up the rows of the document of `key`; `shown` says whether it may have rows already, which go.
    pub fn add(&mut self, key: &Key, rows: &Rows, shown: bool) {
        let id = key.document();
        if shown {
            self.old.push(id);
        }
        match &rows.content {
            Content::Nothing => {}
            Content::Patrol(patrol) => {
                let of = rows.attachments.iter();
                let standing = of.filter(|(_, attachment)| attachment.withdrawn_at_ms.is_none());
                self.patrol(key, patrol, standing.count());
            }
            Content::Evidence(file) => self.evidence(key, file),
            Content::Review(reviewed, review) => self.review(id, *reviewed, review),
            Content::Reference(checkpoints) => {
                for (checkpoint, place) in checkpoints {
                    self.table("checkpoint").push([
                        Value::text(id),
                        Value::text(checkpoint),
                        Value::text(key.unit),
                        Value::text(&place.name),
                        i64::from(place.lat_e7).into(),
                        i64::from(place.lon_e7).into(),
                        place.removed_at_ms.into(),
                    ]);
                }
            }
        }
        for (attachment_id, attachment) in &rows.attachments {
            self.table("attachment_use").push([
                Value::text(id),
                Value::text(attachment_id),
                attachment.item.clone().into(),
                Value::text(attachment.sha256),
                attachment.size_bytes.into(),
                Value::text(&attachment.media_type),
                attachment.attached_at_ms.into(),
                Value::text(attachment.attached_by),
                attachment.withdrawn_at_ms.into(),
            ]);
        }
        for clash in &rows.clashes {
            for (number, (value, phone)) in (0_i64..).zip(&clash.values) {
                self.table("clash").push([
                    Value::text(id),
                    Value::text(&clash.path),
                    number.into(),
                    Value::text(value),
                    phone.clone().into(),
                ]);
            }
        }
    }

    /// Drops the old rows and writes the new ones.
    ///
    /// # Errors
    /// What the database says.
    pub async fn store(self, tx: &mut Tx) -> Result<(), sqlx::Error> {
        for id in self.old {
            for (table, _, _) in TABLES {
                let sql = format!("delete from {table} where document_id = $1");
                sqlx::query(sqlx::AssertSqlSafe(sql))
                    .bind(id.to_string())
                    .execute(&mut **tx)
                    .await?;
            }
        }
        for rows in self.new {
            rows.execute(tx).await?;
        }
        Ok(())
    }

    fn table(&mut self, name: &str) -> &mut Insert {
        let place = TABLES.iter().position(|(table, _, _)| *table == name);
        &mut self.new[place.expect("every table written to is in the list")]
    }

    fn patrol(&mut self, key: &Key, patrol: &PatrolRows, attachments: usize) {
        let id = key.document();
        let log = &patrol.log;
        self.team(id, patrol);
        let Some(began_at_ms) = log.began_at_ms() else {
            return;
        };
        // Joined by QR and not yet met by its start: what the team recorded is shown, without a title and a leader.
        let started_by = log.started_by.map(|by| by.to_string()).unwrap_or_default();
        let leader = log.leader.map(|leader| leader.to_string());
        let standing = log
            .observations
            .values()
            .filter(|observation| observation.withdrawn_at_ms.is_none())
            .count();
        self.table("patrol").push([
            Value::text(id),
            Value::text(key.unit),
            log.title.clone().unwrap_or_default().into(),
            began_at_ms.into(),
            Value::text(&started_by),
            Value::text(leader.as_ref().unwrap_or(&started_by)),
            log.ended_at_ms.into(),
            log.imported_at_ms.into(),
            patrol.length_m.into(),
            count(patrol.fix_count).into(),
            i64::from(patrol.accuracy_unknown).into(),
            count(standing).into(),
            count(attachments).into(),
            count(log.visits.len()).into(),
        ]);
        self.track(id, patrol);
        for (pause_id, pause) in &log.pauses {
            self.table("pause").push([
                Value::text(id),
                Value::text(pause_id),
                pause.from_ms.into(),
                pause.until_ms.into(),
                Value::text(pause.by),
            ]);
        }
        for (visit_id, visit) in &log.visits {
            self.table("visit").push([
                Value::text(id),
                Value::text(visit_id),
                Value::text(visit.checkpoint),
                visit.at_ms.into(),
                Value::text(visit.by),
                Value::text(&visit.proof),
            ]);
        }
        for (handover_id, handover) in &log.handovers {
            self.table("handover").push([
                Value::text(id),
                Value::text(handover_id),
                Value::text(handover.from),
                Value::text(handover.to),
                handover.at_ms.into(),
                Value::text(&handover.note),
                handover.confirmed_at_ms.into(),
            ]);
        }
        for (observation_id, observation) in &log.observations {
            self.observation(key, &observation_id.to_string(), observation);
        }
    }

    fn team(&mut self, id: DocumentId, patrol: &PatrolRows) {
        for person in patrol.log.readers() {
            let since_ms = patrol.log.team.get(&person).copied();
            self.table("patrol_member").push([
                Value::text(id),
                Value::text(person),
                since_ms.into(),
            ]);
        }
        let counts = [
            ("force", &patrol.log.forces),
            ("vehicle", &patrol.log.vehicles),
        ];
        for (what, counts) in counts {
            for (code, count) in counts {
                self.table("patrol_count").push([
                    Value::text(id),
                    what.into(),
                    Value::text(code),
                    (*count).into(),
                ]);
            }
        }
    }

    fn track(&mut self, id: DocumentId, patrol: &PatrolRows) {
        for (number, segment) in (0_i64..).zip(&patrol.segments) {
            let mut line = String::from("[");
            for (lon_e7, lat_e7) in &segment.line {
                if line.len() > 1 {
                    line.push(',');
                }
                // Writing to a string does not fail.
                let _ = write!(line, "[{},{}]", degrees(*lon_e7), degrees(*lat_e7));
            }
            line.push(']');
            self.table("track_segment").push([
                Value::text(id),
                number.into(),
                Value::text(segment.by),
                segment.from_ms.into(),
                segment.until_ms.into(),
                line.into(),
            ]);
        }
    }

    fn observation(&mut self, key: &Key, observation_id: &str, observation: &Observation) {
        let id = key.document();
        self.table("observation").push([
            Value::text(id),
            observation_id.into(),
            Value::text(key.unit),
            Value::text(&observation.category),
            observation.count.into(),
            Value::text(&observation.count_unit),
            observation.happened_at_ms.into(),
            observation.recorded_at_ms.into(),
            Value::text(observation.recorded_by),
            Value::text_or_null(observation.edited_by),
            observation.lat_e7.map(i64::from).into(),
            observation.lon_e7.map(i64::from).into(),
            observation.fine_vnd.into(),
            observation.exhibits_held.into(),
            observation.vehicles_held.into(),
            observation.record_number.clone().into(),
            observation.handed_over_to.clone().into(),
            observation.note.clone().into(),
            observation.withdrawn_at_ms.into(),
        ]);
        for (code, taken) in &observation.measures_taken {
            if *taken {
                self.table("measure_taken").push([
                    Value::text(id),
                    observation_id.into(),
                    Value::text(code),
                ]);
            }
        }
    }

    fn evidence(&mut self, key: &Key, file: &EvidenceFile) {
        let Some((criterion, period)) = key.evidence_of() else {
            return;
        };
        for (evidence_id, item) in &file.items {
            self.table("evidence").push([
                Value::text(key.document()),
                Value::text(evidence_id),
                Value::text(key.unit),
                i64::from(criterion.get()).into(),
                Value::text(period),
                Value::text(&item.evidence_kind),
                Value::text(&item.summary),
                item.document_number.clone().into(),
                item.issued_on.clone().into(),
                item.issued_by.clone().into(),
                item.signed_by.clone().into(),
                item.note.clone().into(),
                item.recorded_at_ms.into(),
                Value::text(item.recorded_by),
                Value::text_or_null(item.edited_by),
                item.withdrawn_at_ms.into(),
            ]);
        }
    }

    fn review(&mut self, id: DocumentId, reviewed: DocumentId, review: &Review) {
        for (decision_id, decision) in &review.decisions {
            self.table("decision").push([
                Value::text(id),
                Value::text(decision_id),
                Value::text(reviewed),
                Value::text(&decision.verdict),
                Value::text(&decision.heads),
                decision.field.clone().into(),
                decision.remark.clone().into(),
                Value::text(decision.by),
                decision.at_ms.into(),
                Value::text_or_null(decision.withdraws),
            ]);
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// As JSON writes degrees: seven places, exactly what was recorded. Writing them as floating point numbers took a hundredth of an upload
/// and its check.
fn degrees(e7: i32) -> String {
    let sign = if e7 < 0 { "-" } else { "" };
    let (whole, part) = (
        e7.unsigned_abs() / 10_000_000,
        e7.unsigned_abs() % 10_000_000,
    );
    format!("{sign}{whole}.{part:07}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_are_what_was_recorded() {
        for (e7, text) in [
            (0, "0.0000000"),
            (-5, "-0.0000005"),
            (1_056_813_000, "105.6813000"),
            (-186_734_001, "-18.6734001"),
            (i32::MIN, "-214.7483648"),
        ] {
            assert_eq!(degrees(e7), text);
            // As rows of before have it.
            assert_eq!(format!("{:.7}", f64::from(e7) / 1e7), text);
        }
    }
}
