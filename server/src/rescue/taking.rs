//! Takes the records of one rescue file, one after the other: changes as a push, refused originals to quarantine, attachments
//! as an upload. It decides nothing that these do not decide for everybody.

use crate::{
    app::App,
    attachment::{
        Held, finish,
        staging::{self, Staged, Upload},
    },
    committer,
    intake::{PreparedPush, RefusedChange},
    problem::{Answer, Problem},
    run,
    sync::push,
};
use kieumau_core::{
    hash::Sha256,
    id::{DocumentId, PhoneId, UnitId},
    log::{admission::Refusal, arrival},
    rescue::{Record, Taken},
    wire::{Push, PushedDocument, WireKey},
};
use std::collections::{BTreeMap, BTreeSet};

/// A file under way. Whatever ends it early: what was taken is taken, and the next time counts as held.
pub struct Taking<'a> {
    app: &'a App,
    /// Who wrote the file.
    origin: PhoneId,
    /// Who brings it.
    carrier: PhoneId,
    /// The unit of who wrote it: nothing of another unit is in it.
    unit: UnitId,
    attachment: Option<Arriving>,
    taken: Taken,
}

/// An attachment whose bytes come.
struct Arriving {
    upload: Upload,
    staged: Staged,
    arrived_bytes: u64,
}

impl<'a> Taking<'a> {
    /// Nothing yet.
    pub fn new(app: &'a App, origin: PhoneId, carrier: PhoneId, unit: UnitId) -> Self {
        Self {
            app,
            origin,
            carrier,
            unit,
            attachment: None,
            taken: Taken::default(),
        }
    }

    /// Takes the next record, of a file that keeps the format's bounds.
    ///
    /// # Errors
    /// `internal` when the database or the disk fails.
    pub async fn take(&mut self, record: Record) -> Answer<()> {
        if let Record::Bytes(bytes) = record {
            return self.bytes(bytes).await;
        }
        self.close().await?;
        match record {
            Record::Origin(_) | Record::Bytes(_) => Ok(()),
            Record::Changes(document) => self.changes(document).await,
            Record::Refused { key, reason, bytes } => {
                self.refused(key.as_ref(), &reason, bytes).await
            }
            Record::File { sha256, size_bytes } => self.file(sha256, size_bytes).await,
        }
    }

    /// What became of the records.
    ///
    /// # Errors
    /// As [`Taking::take`].
    pub async fn end(mut self) -> Answer<Taken> {
        self.close().await?;
        Ok(self.taken)
    }

    /// As a push, but for what is in the log already: of a revoked phone that is not refused, whoever brings it again.
    async fn changes(&mut self, mut document: PushedDocument) -> Answer<()> {
        let held = self.held(document.key.key()?.document()).await?;
        let brought: Vec<Sha256> = document
            .changes
            .iter()
            .map(|it| arrival::named(it))
            .collect();
        let mut hashes = brought.iter();
        document
            .changes
            .retain(|_| hashes.next().is_some_and(|hash| !held.contains(hash)));
        let brought: BTreeSet<Sha256> = brought.into_iter().collect();
        let new: BTreeSet<Sha256> = brought.difference(&held).copied().collect();
        count(&mut self.taken.changes_held, brought.len() - new.len());
        if new.is_empty() {
            return Ok(());
        }
        let push = Push {
            documents: vec![document],
            ..Push::default()
        };
        let prepared = push::prepare(self.app, self.carrier, self.unit, push).await?;
        let words = self.commit(&prepared).await?;
        for hash in new {
            match words.get(&hash).map(String::as_str) {
                None => self.taken.changes_taken += 1,
                Some("held") => self.taken.changes_held += 1,
                Some("waiting") => self.taken.changes_waiting += 1,
                Some(word) => add(&mut self.taken.quarantined, word),
            }
        }
        Ok(())
    }

    /// To quarantine, with the reason that the server gave when it refused it.
    async fn refused(&mut self, key: Option<&WireKey>, reason: &str, bytes: Vec<u8>) -> Answer<()> {
        let key = key.map(WireKey::key).transpose()?;
        let (document, refusal) = match (Refusal::of_word(reason), key) {
            (Some(refusal), None) => (None, refusal),
            (Some(refusal), Some(key)) if key.unit == self.unit => (Some(key), refusal),
            _ => (None, Refusal::NotAllowed),
        };
        let refused = RefusedChange {
            document,
            hash: arrival::named(&bytes),
            refusal,
            bytes,
            seals: Vec::new(),
        };
        let prepared = PreparedPush {
            carrier: Some(self.carrier),
            unit: self.unit,
            documents: Vec::new(),
            receipts: Vec::new(),
            refused: vec![refused],
        };
        self.commit(&prepared).await?;
        add(&mut self.taken.quarantined, refusal.word());
        Ok(())
    }

    /// What became of each change that was not simply taken, by its hash.
    async fn commit(&self, prepared: &PreparedPush) -> Answer<BTreeMap<Sha256, String>> {
        let answers = committer::commit(self.app, &[prepared]).await?;
        let outcomes = answers.into_iter().flat_map(|answer| answer.changes);
        Ok(outcomes
            .map(|outcome| (outcome.hash, outcome.word))
            .collect())
    }

    /// The changes of a document that are in the log.
    async fn held(&self, document: DocumentId) -> Result<BTreeSet<Sha256>, sqlx::Error> {
        let rows = sqlx::query(
            "select hash, earlier from change where document_id = $1 and state <> 'waiting'",
        )
        .bind(document.to_string())
        .fetch_all(&self.app.database.read)
        .await?;
        let mut held = BTreeSet::new();
        for row in &rows {
            held.extend(run::hashes(row)?);
        }
        Ok(held)
    }

    async fn file(&mut self, sha256: Sha256, size_bytes: u64) -> Answer<()> {
        let app = self.app;
        if Held::find(&app.database, self.unit, sha256)
            .await?
            .is_some()
        {
            self.taken.files_held += 1;
            return Ok(());
        }
        let upload = Upload::new(app, self.unit, self.origin, sha256, size_bytes);
        staging::create_file(app, upload.id)
            .await
            .map_err(Problem::internal)?;
        upload.insert(app).await?;
        let staged = Staged::hold(app, &upload).await?;
        self.attachment = Some(Arriving {
            upload,
            staged,
            arrived_bytes: 0,
        });
        Ok(())
    }

    /// Of an attachment that is held already there is nothing to keep.
    async fn bytes(&mut self, mut bytes: Vec<u8>) -> Answer<()> {
        let Some(arriving) = &mut self.attachment else {
            return Ok(());
        };
        let size_bytes = bytes.len() as u64;
        arriving
            .staged
            .write(arriving.arrived_bytes, &mut bytes)
            .await
            .map_err(Problem::internal)?;
        arriving.arrived_bytes += size_bytes;
        Ok(())
    }

    /// Finishes the attachment last named, as an upload is finished.
    async fn close(&mut self) -> Answer<()> {
        let Some(arriving) = self.attachment.take() else {
            return Ok(());
        };
        let Arriving {
            mut upload,
            mut staged,
            arrived_bytes,
        } = arriving;
        let finished = if arrived_bytes == upload.size_bytes {
            staged.sync().await.map_err(Problem::internal)?;
            finish::finish(self.app, &mut upload, staged).await
        } else {
            Err(incomplete())
        };
        match finished {
            Ok(()) => self.taken.files_taken += 1,
            Err(problem) if problem.status().is_client_error() => {
                add(&mut self.taken.files_refused, problem.word());
            }
            Err(problem) => return Err(problem),
        }
        // No phone knows this upload, so none will ask after it.
        upload.remove(self.app).await.map_err(Problem::internal)
    }
}

/// The phone could not read its own file to the end.
fn incomplete() -> Problem {
    Problem::new(
        axum::http::StatusCode::UNPROCESSABLE_ENTITY,
        "file-incomplete",
        "The attachment lacks its end.",
    )
}

fn count(counter: &mut u32, more: usize) {
    *counter = counter.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
}

fn add(counters: &mut BTreeMap<String, u32>, word: &str) {
    count(counters.entry(word.to_owned()).or_default(), 1);
}
