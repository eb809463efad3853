//! Checkpoints (điểm chốt) of a unit: added and removed one by one in the unit's reference document, which carries them to its phones.
//! A removed one stays there, marked: its name belongs to the visits of it. The rows listed here are that document's projection.

use crate::{
    app::App,
    audit::Deed,
    clock, own,
    problem::{Answer, Problem},
    reference,
    row::parsed,
    unit,
    worker::Edit,
};
use kieumau_core::{
    document::Key,
    id::{CheckpointId, UnitId},
    invalid::{self, Invalid, Rule},
    person::NAME_LIMIT,
    position::Position,
    reference::Checkpoint,
};
use sqlx::{Row as _, any::AnyRow};

/// Adds a checkpoint and publishes it to the phones of `unit`.
///
/// # Errors
/// 404 for an unknown unit; 422 for a name that breaks a rule.
pub async fn add(app: &App, unit: UnitId, name: &str, place: Position) -> Answer<CheckpointId> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Invalid::new("name", Rule::Required).into());
    }
    invalid::text("name", name, NAME_LIMIT)?;
    let checkpoint = Checkpoint {
        name: name.to_owned(),
        lat_e7: place.lat_e7,
        lon_e7: place.lon_e7,
        removed_at_ms: None,
    };
    let id = CheckpointId::fresh(clock::now_ms(), rand::random());
    write(app, unit, id, checkpoint, "checkpoint-added").await?;
    Ok(id)
}

/// Takes a checkpoint off the phones of `unit`, which offer it no more. Who visited it stays recorded, under its name.
///
/// # Errors
/// 404 for an unknown unit, and for a checkpoint that is not the unit's.
pub async fn remove(app: &App, unit: UnitId, id: CheckpointId) -> Answer<()> {
    let mut there = list(app, unit).await?.into_iter();
    let (_, there) = there
        .find(|(there, _)| *there == id)
        .ok_or_else(Problem::not_found)?;
    let removed = Checkpoint {
        removed_at_ms: Some(clock::now_ms()),
        ..there
    };
    write(app, unit, id, removed, "checkpoint-removed").await
}

/// The checkpoints that `unit` has now, by name.
///
/// # Errors
/// 404 for an unknown unit.
pub async fn list(app: &App, unit: UnitId) -> Answer<Vec<(CheckpointId, Checkpoint)>> {
    known(app, unit).await?;
    let rows = sqlx::query(
        "select checkpoint_id, name, lat_e7, lon_e7, removed_at_ms from checkpoint \
         where unit_id = $1 and removed_at_ms is null order by name, checkpoint_id",
    )
    .bind(unit.to_string())
    .fetch_all(&app.database.read)
    .await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

fn read(row: &AnyRow) -> Result<(CheckpointId, Checkpoint), sqlx::Error> {
    let degrees = |column| {
        let e7: i64 = row.try_get(column)?;
        i32::try_from(e7).map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let checkpoint = Checkpoint {
        name: row.try_get("name")?,
        lat_e7: degrees("lat_e7")?,
        lon_e7: degrees("lon_e7")?,
        removed_at_ms: row.try_get("removed_at_ms")?,
    };
    Ok((parsed(row, "checkpoint_id")?, checkpoint))
}

async fn known(app: &App, unit: UnitId) -> Answer<()> {
    let found = unit::find(app, unit).await?;
    found.map(|_| ()).ok_or_else(Problem::not_found)
}

/// Sets one entry of the reference document.
async fn write(
    app: &App,
    unit: UnitId,
    id: CheckpointId,
    checkpoint: Checkpoint,
    action: &str,
) -> Answer<()> {
    known(app, unit).await?;
    let author = reference::author(app, unit).await?;
    let edit = serde_json::to_string(&(id, checkpoint)).map_err(Problem::internal)?;
    let change = own::make(app, &Key::reference(unit), author, Edit::Checkpoint(edit)).await?;
    let deed = Deed {
        unit: Some(unit),
        action,
        subject: Some(id.to_string()),
        ..Deed::default()
    };
    let mut tx = app.database.begin().await?;
    own::write(app, &mut tx, &change, deed).await?;
    tx.commit().await?;
    app.live.grew([unit]);
    Ok(())
}
