//! Writes a document's rows: the old ones go, the new ones come, in the caller's transaction.

use super::{Content, PatrolRows, Rows};
use crate::database::Tx;
use kieumau_core::{
    document::Key,
    evidence::EvidenceFile,
    id::{CheckpointId, DocumentId},
    observation::Observation,
    reference::Checkpoint,
    review::Review,
};
use std::collections::BTreeMap;

/// Every table of the projection.
const TABLES: [&str; 14] = [
    "patrol",
    "patrol_member",
    "handover",
    "patrol_count",
    "pause",
    "observation",
    "measure_taken",
    "visit",
    "track_segment",
    "evidence",
    "attachment_use",
    "decision",
    "clash",
    "checkpoint",
];

/// Drops rows of documents that are not there.
///
/// # Errors
/// What the database says.
pub async fn drop_strays(tx: &mut Tx) -> Result<(), sqlx::Error> {
    for table in TABLES {
        let sql = format!(
            "delete from {table} where document_id not in (select document_id from document)"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Replaces the rows of the document of `key`.
///
/// # Errors
/// What the database says.
pub async fn replace(tx: &mut Tx, key: &Key, rows: &Rows) -> Result<(), sqlx::Error> {
    let id = key.document().to_string();
    for table in TABLES {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "delete from {table} where document_id = $1"
        )))
        .bind(&id)
        .execute(&mut **tx)
        .await?;
    }
    match &rows.content {
        Content::Nothing => {}
        Content::Patrol(patrol) => put_patrol(tx, key, &id, patrol, rows.attachments.len()).await?,
        Content::Evidence(file) => put_evidence(tx, key, &id, file).await?,
        Content::Review(reviewed, review) => put_review(tx, &id, *reviewed, review).await?,
        Content::Reference(checkpoints) => put_checkpoints(tx, key, &id, checkpoints).await?,
    }
    for (attachment_id, attachment) in &rows.attachments {
        sqlx::query(
            "insert into attachment_use (document_id, attachment_id, item_id, sha256, size_bytes, media_type, \
             attached_at_ms, attached_by, withdrawn_at_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(&id)
        .bind(attachment_id)
        .bind(&attachment.item)
        .bind(attachment.sha256.to_string())
        .bind(attachment.size_bytes)
        .bind(&attachment.media_type)
        .bind(attachment.attached_at_ms)
        .bind(attachment.attached_by.to_string())
        .bind(attachment.withdrawn_at_ms)
        .execute(&mut **tx)
        .await?;
    }
    for clash in &rows.clashes {
        for (number, (value, phone)) in (0_i64..).zip(&clash.values) {
            sqlx::query("insert into clash (document_id, path, value_number, value, phone_id) values ($1, $2, $3, $4, $5)")
                .bind(&id)
                .bind(&clash.path)
                .bind(number)
                .bind(value)
                .bind(phone)
                .execute(&mut **tx)
                .await?;
        }
    }
    Ok(())
}

async fn put_patrol(
    tx: &mut Tx,
    key: &Key,
    id: &str,
    patrol: &PatrolRows,
    attachments: usize,
) -> Result<(), sqlx::Error> {
    let log = &patrol.log;
    // Joined by QR and not yet met by its start: there is nothing to show, but the team may read it already.
    let (Some(started_at_ms), Some(started_by)) = (log.started_at_ms, log.started_by) else {
        return put_team(tx, id, patrol).await;
    };
    let standing = log
        .observations
        .values()
        .filter(|observation| observation.withdrawn_at_ms.is_none())
        .count();
    sqlx::query(
        "insert into patrol (document_id, unit_id, title, started_at_ms, started_by, leader, ended_at_ms, \
         imported_at_ms, length_m, fix_count, accuracy_unknown, observation_count, attachment_count, visit_count) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(id)
    .bind(key.unit.to_string())
    .bind(log.title.clone().unwrap_or_default())
    .bind(started_at_ms)
    .bind(started_by.to_string())
    .bind(log.leader.unwrap_or(started_by).to_string())
    .bind(log.ended_at_ms)
    .bind(log.imported_at_ms)
    .bind(patrol.length_m)
    .bind(count(patrol.fix_count))
    .bind(i64::from(patrol.accuracy_unknown))
    .bind(count(standing))
    .bind(count(attachments))
    .bind(count(log.visits.len()))
    .execute(&mut **tx)
    .await?;
    put_team(tx, id, patrol).await?;
    put_track(tx, id, patrol).await?;
    for (pause_id, pause) in &log.pauses {
        sqlx::query("insert into pause (document_id, pause_id, from_ms, until_ms, person_id) values ($1, $2, $3, $4, $5)")
            .bind(id)
            .bind(pause_id.to_string())
            .bind(pause.from_ms)
            .bind(pause.until_ms)
            .bind(pause.by.to_string())
            .execute(&mut **tx)
            .await?;
    }
    for (visit_id, visit) in &log.visits {
        sqlx::query(
            "insert into visit (document_id, visit_id, checkpoint_id, at_ms, person_id, proof) \
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id)
        .bind(visit_id.to_string())
        .bind(visit.checkpoint.to_string())
        .bind(visit.at_ms)
        .bind(visit.by.to_string())
        .bind(&visit.proof)
        .execute(&mut **tx)
        .await?;
    }
    for (handover_id, handover) in &log.handovers {
        sqlx::query(
            "insert into handover (document_id, handover_id, from_person_id, to_person_id, at_ms, note, confirmed_at_ms) \
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(id)
        .bind(handover_id.to_string())
        .bind(handover.from.to_string())
        .bind(handover.to.to_string())
        .bind(handover.at_ms)
        .bind(&handover.note)
        .bind(handover.confirmed_at_ms)
        .execute(&mut **tx)
        .await?;
    }
    for (observation_id, observation) in &log.observations {
        put_observation(tx, key, id, &observation_id.to_string(), observation).await?;
    }
    Ok(())
}

async fn put_team(tx: &mut Tx, id: &str, patrol: &PatrolRows) -> Result<(), sqlx::Error> {
    for person in patrol.log.readers() {
        sqlx::query(
            "insert into patrol_member (document_id, person_id, since_ms) values ($1, $2, $3)",
        )
        .bind(id)
        .bind(person.to_string())
        .bind(patrol.log.team.get(&person))
        .execute(&mut **tx)
        .await?;
    }
    let counts = [
        ("force", &patrol.log.forces),
        ("vehicle", &patrol.log.vehicles),
    ];
    for (what, counts) in counts {
        for (code, count) in counts {
            sqlx::query(
                "insert into patrol_count (document_id, what, code, count) values ($1, $2, $3, $4)",
            )
            .bind(id)
            .bind(what)
            .bind(code)
            .bind(count)
            .execute(&mut **tx)
            .await?;
        }
    }
    Ok(())
}

async fn put_track(tx: &mut Tx, id: &str, patrol: &PatrolRows) -> Result<(), sqlx::Error> {
    for (number, segment) in (0_i64..).zip(&patrol.segments) {
        let line: Vec<String> = segment
            .line
            .iter()
            .map(|(lon, lat)| {
                format!(
                    "[{:.7},{:.7}]",
                    f64::from(*lon) / 1e7,
                    f64::from(*lat) / 1e7
                )
            })
            .collect();
        sqlx::query("insert into track_segment (document_id, number, person_id, from_ms, until_ms, line) values ($1, $2, $3, $4, $5, $6)")
            .bind(id)
            .bind(number)
            .bind(segment.by.to_string())
            .bind(segment.from_ms)
            .bind(segment.until_ms)
            .bind(format!("[{}]", line.join(",")))
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn put_observation(
    tx: &mut Tx,
    key: &Key,
    id: &str,
    observation_id: &str,
    observation: &Observation,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into observation (document_id, observation_id, unit_id, category, count, count_unit, happened_at_ms, \
         recorded_at_ms, recorded_by, edited_by, lat_e7, lon_e7, fine_vnd, exhibits_held, vehicles_held, record_number, \
         handed_over_to, note, withdrawn_at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
    )
    .bind(id)
    .bind(observation_id)
    .bind(key.unit.to_string())
    .bind(&observation.category)
    .bind(observation.count)
    .bind(&observation.count_unit)
    .bind(observation.happened_at_ms)
    .bind(observation.recorded_at_ms)
    .bind(observation.recorded_by.to_string())
    .bind(observation.edited_by.map(|person| person.to_string()))
    .bind(observation.lat_e7.map(i64::from))
    .bind(observation.lon_e7.map(i64::from))
    .bind(observation.fine_vnd)
    .bind(observation.exhibits_held)
    .bind(observation.vehicles_held)
    .bind(&observation.record_number)
    .bind(&observation.handed_over_to)
    .bind(&observation.note)
    .bind(observation.withdrawn_at_ms)
    .execute(&mut **tx)
    .await?;
    for (code, taken) in &observation.measures_taken {
        if *taken {
            sqlx::query(
                "insert into measure_taken (document_id, observation_id, code) values ($1, $2, $3)",
            )
            .bind(id)
            .bind(observation_id)
            .bind(code)
            .execute(&mut **tx)
            .await?;
        }
    }
    Ok(())
}

async fn put_evidence(
    tx: &mut Tx,
    key: &Key,
    id: &str,
    file: &EvidenceFile,
) -> Result<(), sqlx::Error> {
    let Some((criterion, period)) = key.evidence_of() else {
        return Ok(());
    };
    for (evidence_id, item) in &file.items {
        sqlx::query(
            "insert into evidence (document_id, evidence_id, unit_id, criterion, period, evidence_kind, summary, \
             document_number, issued_on, issued_by, signed_by, note, recorded_at_ms, recorded_by, edited_by, \
             withdrawn_at_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        )
        .bind(id)
        .bind(evidence_id.to_string())
        .bind(key.unit.to_string())
        .bind(i64::from(criterion.get()))
        .bind(period.to_string())
        .bind(&item.evidence_kind)
        .bind(&item.summary)
        .bind(&item.document_number)
        .bind(&item.issued_on)
        .bind(&item.issued_by)
        .bind(&item.signed_by)
        .bind(&item.note)
        .bind(item.recorded_at_ms)
        .bind(item.recorded_by.to_string())
        .bind(item.edited_by.map(|person| person.to_string()))
        .bind(item.withdrawn_at_ms)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

async fn put_review(
    tx: &mut Tx,
    id: &str,
    reviewed: DocumentId,
    review: &Review,
) -> Result<(), sqlx::Error> {
    for (decision_id, decision) in &review.decisions {
        sqlx::query(
            "insert into decision (document_id, decision_id, reviewed_id, decision, heads, field, remark, person_id, \
             at_ms, withdraws) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(id)
        .bind(decision_id.to_string())
        .bind(reviewed.to_string())
        .bind(&decision.verdict)
        .bind(&decision.heads)
        .bind(&decision.field)
        .bind(&decision.remark)
        .bind(decision.by.to_string())
        .bind(decision.at_ms)
        .bind(decision.withdraws.map(|id| id.to_string()))
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

async fn put_checkpoints(
    tx: &mut Tx,
    key: &Key,
    id: &str,
    checkpoints: &BTreeMap<CheckpointId, Checkpoint>,
) -> Result<(), sqlx::Error> {
    for (checkpoint_id, checkpoint) in checkpoints {
        sqlx::query(
            "insert into checkpoint (document_id, checkpoint_id, unit_id, name, lat_e7, lon_e7) \
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id)
        .bind(checkpoint_id.to_string())
        .bind(key.unit.to_string())
        .bind(&checkpoint.name)
        .bind(i64::from(checkpoint.lat_e7))
        .bind(i64::from(checkpoint.lon_e7))
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
