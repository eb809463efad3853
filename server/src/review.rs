//! Decisions of a chief about a document, bound to the heads that were seen. Changed meanwhile is 409, and nothing is written.

use crate::{
    app::App,
    audit::Deed,
    feed, own,
    problem::{Answer, Problem},
    row::parsed,
    scope,
    session::SignedIn,
    stored::{StoredDocument, parse_hashes},
    worker::Edit,
};
use kieumau_core::{
    document::{Key, Kind},
    id::{DecisionId, DocumentId, UnitId},
    review::{NewDecision, Verdict, heads_text},
};
use sqlx::Row as _;
use std::collections::BTreeSet;

/// Writes an approval or a return of `reviewed`.
///
/// # Errors
/// `forbidden` for who does not review, `not-found` for a document that the unit does not reach, `changed-meanwhile` when what was seen is
/// not what stands, `invalid` for a return without a remark, or at `decision` (`Already`) for the one that stands, sent twice.
pub async fn decide(
    app: &App,
    by: &SignedIn,
    reviewed: DocumentId,
    new: NewDecision,
) -> Answer<()> {
    write(app, by, reviewed, new, "decision-written").await
}

/// Takes a decision of one's own back.
///
/// # Errors
/// As [`decide`]; `invalid` at `withdraws` for a decision that is not one's own or is withdrawn already.
pub async fn withdraw(
    app: &App,
    by: &SignedIn,
    reviewed: DocumentId,
    decision: DecisionId,
) -> Answer<()> {
    let new = NewDecision {
        verdict: Verdict::Withdrawn,
        heads: Vec::new(),
        field: None,
        remark: None,
        withdraws: Some(decision),
    };
    write(app, by, reviewed, new, "decision-withdrawn").await
}

async fn write(
    app: &App,
    by: &SignedIn,
    reviewed: DocumentId,
    mut new: NewDecision,
    action: &str,
) -> Answer<()> {
    if !by.role.reviews() {
        return Err(Problem::forbidden());
    }
    let (unit, heads) = seen(app, by, reviewed).await?;
    if new.withdraws.is_some() {
        new.heads = parse_hashes(&heads);
    }
    // Of the document's own unit, which is perhaps one that the decider's came from: a document never changes feed, and the
    // phones that wrote it read that one.
    let key = Key::review(unit, reviewed);
    let edit = Edit::Decide(serde_json::to_string(&new).map_err(Problem::internal)?);
    let change = own::make(app, &key, by.person, edit).await?;
    let mut tx = app.database.begin().await?;
    // The feed first, as everywhere: two that take locks in two orders wait for each other.
    feed::hold(&mut tx, &BTreeSet::from([unit])).await?;
    let document = StoredDocument::hold(&mut tx, &app.vault, reviewed).await?;
    let document = document.ok_or_else(Problem::not_found)?;
    if !matches!(document.key.kind, Kind::PatrolLog | Kind::EvidenceFile) {
        return Err(Problem::not_found());
    }
    if heads_text(&new.heads) != document.checked_heads {
        return Err(Problem::changed());
    }
    let deed = Deed {
        person: Some(by.person),
        unit: Some(by.unit),
        action,
        subject: Some(reviewed.to_string()),
        detail: Some(new.verdict.word().to_owned()),
        ..Deed::default()
    };
    own::write(app, &mut tx, &change, deed).await?;
    tx.commit().await?;
    app.live.grew([unit]);
    Ok(())
}

/// Whose a document is that one's own unit reaches, and its heads as pages show them now.
async fn seen(app: &App, by: &SignedIn, document: DocumentId) -> Answer<(UnitId, String)> {
    let row = sqlx::query("select unit_id, checked_heads from document where document_id = $1")
        .bind(document.to_string())
        .fetch_optional(&app.database.read)
        .await?
        .ok_or_else(Problem::not_found)?;
    let unit = parsed(&row, "unit_id")?;
    if !scope::reaches(&app.database.read, by.unit, unit).await? {
        return Err(Problem::not_found());
    }
    Ok((unit, row.get(1)))
}
