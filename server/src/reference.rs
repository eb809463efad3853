//! What phones of a unit have to know, published as a document: catalogue, people, the unit and those linked with it.

use crate::{
    app::App,
    audit::Deed,
    own, person,
    problem::{Answer, Problem},
    unit,
    worker::Edit,
};
use kieumau_core::{
    catalogue::Catalogue,
    document::Key,
    id::{CheckpointId, PersonId, UnitId},
    reference::{Checkpoint, Reference, ReferencePerson, ReferenceUnit},
};
use std::collections::BTreeMap;

/// Publishes to the phones of `unit` what stands in the tables now. Writes nothing if nothing differs.
///
/// # Errors
/// `internal`.
pub async fn publish(
    app: &App,
    unit_id: UnitId,
    checkpoints: BTreeMap<CheckpointId, Checkpoint>,
) -> Answer<()> {
    let people = person::list(app, Some(unit_id)).await?;
    let author = author(app, unit_id).await?;
    let mut units = unit::predecessors(app, unit_id).await?;
    units.push(unit_id);
    let mut reference = Reference {
        catalogue: Some(
            serde_json::to_string(Catalogue::placeholder()).map_err(Problem::internal)?,
        ),
        checkpoints,
        ..Reference::default()
    };
    // Who is disabled takes over no shift, and is called something where they once did.
    for person in people {
        let shown = ReferencePerson {
            name: person.name,
            role: person.role.word().to_owned(),
            left_at_ms: person.disabled_at_ms,
        };
        reference.people.insert(person.person, shown);
    }
    for unit in units {
        if let Some(found) = unit::find(app, unit).await? {
            let shown = ReferenceUnit {
                name: found.name,
                valid_from: found.valid_from.to_string(),
                valid_to: found.valid_to.map(|date| date.to_string()),
            };
            reference.units.insert(unit, shown);
        }
    }
    let edit = Edit::Publish(serde_json::to_string(&reference).map_err(Problem::internal)?);
    let key = Key::reference(unit_id);
    let deed = Deed {
        unit: Some(unit_id),
        action: "reference-published",
        subject: Some(key.document().to_string()),
        ..Deed::default()
    };
    let change = own::make(app, &key, author, edit).await?;
    let mut tx = app.database.begin().await?;
    own::write(app, &mut tx, &change, deed).await?;
    tx.commit().await?;
    app.live.grew([unit_id]);
    Ok(())
}

/// In whose name the server publishes to `unit`: no change is without a person, and the first of the unit stands for it.
///
/// # Errors
/// `internal`.
pub async fn author(app: &App, unit: UnitId) -> Answer<PersonId> {
    let people = person::list(app, Some(unit)).await?;
    let first = people.first().map(|person| person.person);
    Ok(first.unwrap_or(PersonId::from_bytes([0; 16])))
}
