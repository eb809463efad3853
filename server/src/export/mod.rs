//! Dossiers: takes what is asked for, with its proofs, out of the tables as one file ([`Dossier`], for pages; [`export`], for
//! `kieumau export`), and reads such a file back with no server at all (`kieumau verify`).
//!
//! The log's head is taken first and everything below it collected then, outside a transaction: what is below a head never
//! changes, so a long export holds up nobody. What stands before the attachments is made in memory and proven beside them before
//! anybody gets a byte: a dossier that would be refused elsewhere is refused here, where somebody can still see why. The
//! attachments pass through, opened from under their keys; nothing of a dossier lies on this server's disk. Its form and its
//! rules are `kieumau_core::dossier`'s.

mod collect;
mod proofs;
pub mod report;

use crate::{
    app::App,
    attachment::{Held, store::Part},
    audit::{self, Deed},
    clock,
    ledger::Ledger,
    own,
    problem::{Answer, Problem},
    stored,
};
use axum::body::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use kieumau_core::{
    dossier::{self, Attached, Broken, Collected, CollectedDocument, Selection, Unbelieved, What},
    hash::Sha256,
    id::UnitId,
    jws,
    log::head::TreeHead,
};
use std::{
    future::ready,
    io::{self, BufRead as _},
    path::{Path, PathBuf},
};
use tokio::io::AsyncWriteExt as _;

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Documents in the file, reviews among them.
    pub documents: usize,
    /// Size of the file.
    pub bytes: u64,
}

/// A dossier that holds, before the first byte of it is given out.
pub struct Dossier {
    selection: Selection,
    unit: Option<UnitId>,
    documents: usize,
    front: Bytes,
    /// By hash.
    attachments: Vec<Held>,
}

impl Dossier {
    /// The dossier of `selection`.
    ///
    /// # Errors
    /// `not-found` if nothing that was received is selected; `invalid` at `selection` (`TooLarge`) for more than fits into one
    /// file; `internal` for what the database says, or if what is stored would not verify.
    pub async fn make(app: &App, selection: Selection) -> Answer<Self> {
        let head = head(app).await?;
        let mut gathered = collect::gather(app, selection, head).await?;
        if gathered.documents.is_empty() {
            return Err(Problem::not_found());
        }
        let leaves = std::mem::take(&mut gathered.leaves);
        let leaves = leaves.with_proofs(app).await?;
        let app = app.clone();
        // Signing and proving are the processor's work: other requests are answered meanwhile.
        tokio::task::spawn_blocking(move || Self::sign(&app, selection, head, &leaves, gathered))
            .await
            .map_err(Problem::internal)?
    }

    fn sign(
        app: &App,
        selection: Selection,
        head: TreeHead,
        leaves: &[Vec<proofs::OwnedLeaf>],
        gathered: collect::Gathered,
    ) -> Answer<Self> {
        let collected = Collected {
            selection,
            head,
            epochs: proofs::borrowed(leaves),
            documents: gathered.documents.iter().map(borrowed).collect(),
            attachments: gathered.attachments.len(),
            names: gathered.names,
            asked_by: own::actor(app).phone,
        };
        let front = dossier::front(&collected, &app.keys.log, &app.keys.receipt)
            .map_err(Problem::internal)?;
        // What an attachment holds was hashed when it came, and it lies under a key that is bound to that hash.
        let attached = gathered.attachments.values().map(|held| Attached {
            sha256: held.sha256,
            size_bytes: held.size_bytes,
        });
        let fingerprint = jws::fingerprint(&app.keys.log.verifying_key());
        dossier::verify_beside(&front, attached.collect(), Some(fingerprint))
            .map_err(Problem::internal)?;
        Ok(Self {
            selection,
            unit: gathered.documents.first().map(|document| document.key.unit),
            documents: gathered.documents.len(),
            front: front.into(),
            attachments: gathered.attachments.into_values().collect(),
        })
    }

    /// How large the file will be.
    pub fn size_bytes(&self) -> u64 {
        let attachments = self
            .attachments
            .iter()
            .map(|held| dossier::before_attachment(held.size_bytes).len() as u64 + held.size_bytes);
        self.front.len() as u64 + attachments.sum::<u64>()
    }

    /// Writes that `by` exported it, in the unit of `by` or else in the documents'. Before the first byte of it: what was given
    /// out without a row cannot be taken back.
    ///
    /// # Errors
    /// What the database says; nothing is to be given out then.
    pub async fn note(&self, app: &App, by: Deed<'_>) -> Answer<()> {
        let subject = match self.selection {
            Selection::Patrol(id) | Selection::Evidence(id) => id.to_string(),
            Selection::UnitPeriod(unit, _) => unit.to_string(),
        };
        let deed = Deed {
            unit: by.unit.or(self.unit),
            action: "exported",
            subject: Some(subject),
            detail: Some(self.documents.to_string()),
            ..by
        };
        let mut tx = app.database.begin().await?;
        audit::write(&mut tx, clock::now_ms(), deed).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The file: what stands before the attachments, and then these, piece by piece, as fast as they are taken.
    pub fn open(&self, app: &App) -> (Bytes, impl Stream<Item = Answer<Bytes>> + Send + use<>) {
        let app = app.clone();
        let attachments = stream::iter(self.attachments.clone());
        let attachments = attachments.flat_map(move |held| pieces(app.clone(), held));
        (self.front.clone(), attachments)
    }
}

/// One attachment as it stands in a file.
fn pieces(app: App, held: Held) -> impl Stream<Item = Answer<Bytes>> + Send {
    let opened = async move {
        let reading = held.open(&app, Part::Original).await?;
        let size_bytes = held.size_bytes;
        if reading.size_bytes() != size_bytes {
            return Err(stored::damaged("an attachment's size").into());
        }
        let before = Bytes::from(dossier::before_attachment(size_bytes));
        let bytes = reading.pieces(0..size_bytes).map_err(Problem::internal);
        let before = stream::once(ready(Ok::<_, Problem>(before)));
        Ok::<_, Problem>(before.chain(bytes))
    };
    stream::once(Box::pin(opened)).try_flatten()
}

/// Writes the dossier of `selection` to the file `to`, which is there whole or not at all; an older file of that name is replaced.
///
/// # Errors
/// As [`Dossier::make`], and `internal` for what the disk or the store says.
pub async fn export(app: &App, selection: Selection, to: &Path) -> Answer<Exported> {
    let dossier = Dossier::make(app, selection).await?;
    let exported = Exported {
        documents: dossier.documents,
        bytes: dossier.size_bytes(),
    };
    let written = write(app, dossier, to).await;
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
fn unfinished(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Puts the file on the disk, the deed into the audit, and only then gives the file its name.
async fn write(app: &App, dossier: Dossier, to: &Path) -> Answer<()> {
    let part = unfinished(to);
    put(app, &dossier, &part).await?;
    dossier.note(app, Deed::default()).await?;
    name(&part, to).map_err(Problem::internal)
}

async fn put(app: &App, dossier: &Dossier, part: &Path) -> Answer<()> {
    let mut file = tokio::fs::File::create(part)
        .await
        .map_err(Problem::internal)?;
    let (front, attachments) = dossier.open(app);
    file.write_all(&front).await.map_err(Problem::internal)?;
    let mut attachments = std::pin::pin!(attachments);
    while let Some(piece) = attachments.next().await {
        file.write_all(&piece?).await.map_err(Problem::internal)?;
    }
    file.flush().await.map_err(Problem::internal)?;
    file.sync_all().await.map_err(Problem::internal)
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

impl From<Unbelieved> for VerifyError {
    fn from(error: Unbelieved) -> Self {
        match error {
            Unbelieved::Unreadable(cause) => Self::Unreadable(cause),
            Unbelieved::Broken(broken) => Self::Broken(broken),
        }
    }
}

/// Checks the dossier in the file `path` and says in Vietnamese and English what it proves. `server_key` is the fingerprint that
/// the log's key has to have.
///
/// # Errors
/// `Unreadable`, `NotADossier`, `AnotherKey`, or `Broken` with the first thing that does not hold.
pub fn verify(path: &Path, server_key: Option<Sha256>) -> Result<String, VerifyError> {
    let mut file = io::BufReader::new(std::fs::File::open(path)?);
    if !dossier::begins(file.fill_buf()?) {
        return Err(VerifyError::NotADossier);
    }
    match (dossier::verify(file, server_key), server_key) {
        (
            Err(Unbelieved::Broken(Broken {
                what: What::LogKey, ..
            })),
            Some(given),
        ) => {
            // What does not hold under its own key either is worse than another's.
            let file = io::BufReader::new(std::fs::File::open(path)?);
            let has = dossier::verify(file, None)?.fingerprint;
            Err(VerifyError::AnotherKey { has, given })
        }
        (verified, _) => Ok(report::proven(&verified?)),
    }
}

#[cfg(test)]
pub mod setting;
#[cfg(test)]
mod tests;
