//! Dossiers: writes what is asked for, with its proofs, into one file (`kieumau export`), and reads such a file back with no
//! server at all (`kieumau verify`).
//!
//! The log's head is taken first and everything below it collected then, outside a transaction: what is below a head never
//! changes, so a long export holds up nobody. The file is verified before it gets its name: a dossier that would be refused
//! elsewhere is refused here, where somebody can still see why. Its form and its rules are `kieumau_core::dossier`'s.

mod collect;
mod proofs;
pub mod report;

use crate::{
    app::App,
    audit::{self, Deed},
    clock,
    ledger::Ledger,
    own,
    problem::{Answer, Problem},
};
use kieumau_core::{
    dossier::{self, Collected, CollectedDocument, Selection, What},
    hash::Sha256,
    id::UnitId,
    jws,
    log::head::TreeHead,
};
use std::{
    io::{self, Write as _},
    path::Path,
};

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Documents in the file, reviews among them.
    pub documents: usize,
    /// Size of the file.
    pub bytes: u64,
}

/// Writes the dossier of `selection` to the file `to`, which is there whole or not at all; an older file of that name is replaced.
///
/// # Errors
/// `not-found` if nothing that was received is selected; `invalid` at `selection` (`TooLarge`) for more than fits into one file;
/// `internal` for what the database or the disk says, or if what is stored would not verify.
pub async fn export(app: &App, selection: Selection, to: &Path) -> Answer<Exported> {
    let head = head(app).await?;
    let mut gathered = collect::gather(app, selection, head).await?;
    if gathered.documents.is_empty() {
        return Err(Problem::not_found());
    }
    let leaves = std::mem::take(&mut gathered.leaves);
    let leaves = leaves.with_proofs(app).await?;
    let collected = Collected {
        selection,
        head,
        epochs: proofs::borrowed(&leaves),
        documents: gathered.documents.iter().map(borrowed).collect(),
        attachments: gathered.attachments.values().map(Vec::as_slice).collect(),
        names: std::mem::take(&mut gathered.names),
        asked_by: own::actor(app).phone,
    };
    let file =
        dossier::write(&collected, &app.keys.log, &app.keys.receipt).map_err(Problem::internal)?;
    let fingerprint = jws::fingerprint(&app.keys.log.verifying_key());
    dossier::verify(&file, Some(fingerprint)).map_err(Problem::internal)?;

    let exported = Exported {
        documents: collected.documents.len(),
        bytes: file.len() as u64,
    };
    let unit = gathered.documents.first().map(|document| document.key.unit);
    let written = write(app, selection, unit, exported, &file, to).await;
    if written.is_err() {
        // What is left of a failed attempt is in nobody's way, and the failure is what has to be told.
        let _ = std::fs::remove_file(unfinished(to));
    }
    written.map(|()| exported)
}

/// The log's head now.
async fn head(app: &App) -> Result<TreeHead, sqlx::Error> {
    let mut tx = app.database.begin().await?;
    let head = Ledger::take(&mut tx).await?.head(clock::now_ms());
    tx.rollback().await?;
    Ok(head)
}

fn borrowed(document: &collect::GatheredDocument) -> CollectedDocument<'_> {
    CollectedDocument {
        key: document.key.clone(),
        changes: document.changes.values().map(Vec::as_slice).collect(),
        seals: document.seals.clone(),
        withheld: document.withheld.clone(),
        attachments: document.attachments.clone(),
        missing: document.missing.clone(),
        newest_leaf: document.newest_leaf,
    }
}

/// The name of the file until it is whole.
fn unfinished(to: &Path) -> std::path::PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Puts the file on the disk, the deed into the audit, and only then gives the file its name.
async fn write(
    app: &App,
    selection: Selection,
    unit: Option<UnitId>,
    exported: Exported,
    bytes: &[u8],
    to: &Path,
) -> Answer<()> {
    let part = unfinished(to);
    put(&part, bytes).map_err(Problem::internal)?;
    let subject = match selection {
        Selection::Patrol(id) | Selection::Evidence(id) => id.to_string(),
        Selection::UnitPeriod(unit, _) => unit.to_string(),
    };
    let deed = Deed {
        unit,
        action: "exported",
        subject: Some(subject),
        detail: Some(exported.documents.to_string()),
        ..Deed::default()
    };
    let mut tx = app.database.begin().await?;
    audit::write(&mut tx, clock::now_ms(), deed).await?;
    tx.commit().await?;
    name(&part, to).map_err(Problem::internal)
}

fn put(part: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = std::fs::File::create(part)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn name(part: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(part, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Why a file was not verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It could not be read.
    #[error("the file cannot be read")]
    Unreadable(#[from] io::Error),
    /// It is something else: nothing was claimed that could be broken.
    #[error("the file is no dossier")]
    NotADossier,
    /// It does not hold.
    #[error("{}", report::broken(.0))]
    Broken(#[from] dossier::Broken),
    /// It holds under its own key, which is not the one that was given: it is another server's, or the fingerprint was mistyped.
    #[error("the dossier holds under another key than the one given")]
    AnotherKey {
        /// The fingerprint of the key that it is signed with.
        has: Sha256,
        /// The fingerprint that was given.
        given: Sha256,
    },
}

/// Checks the dossier in the file `path` and says in Vietnamese and English what it proves. `server_key` is the fingerprint that
/// the log's key has to have.
///
/// # Errors
/// `Unreadable`, `NotADossier`, `AnotherKey`, or `Broken` with the first thing that does not hold.
pub fn verify(path: &Path, server_key: Option<Sha256>) -> Result<String, VerifyError> {
    let bytes = std::fs::read(path)?;
    if !dossier::begins(&bytes) {
        return Err(VerifyError::NotADossier);
    }
    match (dossier::verify(&bytes, server_key), server_key) {
        (Err(broken), Some(given)) if broken.what == What::LogKey => {
            // What does not hold under its own key either is worse than another's.
            let has = dossier::verify(&bytes, None)?.fingerprint;
            Err(VerifyError::AnotherKey { has, given })
        }
        (verified, _) => Ok(report::proven(&verified?)),
    }
}

#[cfg(test)]
mod tests;
