//! Documents in the encrypted file: loaded from their changes, edited in one transaction, kept open while they are in use.
//!
//! A document is taken out of `opened` before it is edited and comes back after the commit. So whatever ends an edit half-way
//! (an error, a dropped future, a full disk), the next one starts from what is on the disk. An edit starts from what the
//! document itself says, never from a row: a row may have been written by an app that knew fewer fields.

use super::{
    apart, database,
    enrolment::Profile,
    error::PhoneError,
    mark::Mark,
    opened::{Open, Opened},
    rows::{self, By, Projected},
    tracks::Walk,
};
use crate::{
    document::{self, Actor, Change, DocumentError, Key, Kind, Merge},
    hash::Sha256,
    id::{DocumentId, UnitId},
    invalid::Invalid,
    patrol::PatrolLog,
    position::Fix,
    seal::Seal,
    stamp::Stamp,
    track::Rival,
};
use automerge::Automerge;
use ed25519_dalek::SigningKey;
use sqlx::{Connection as _, Row as _, Sqlite, SqliteConnection, Transaction};
use std::collections::BTreeSet;

/// See the module.
pub(super) struct Store {
    pub(super) connection: SqliteConnection,
    pub(super) profile: Option<Profile>,
    pub(super) signing_key: SigningKey,
    /// Drawn at this opening: part of the actor of everything that is written in it.
    pub(super) opening: [u8; 8],
    pub(super) app_version: String,
    pub(super) opened: Opened,
    /// The patrol being walked; forgotten with every write.
    pub(super) walk: Option<(DocumentId, Walk)>,
    /// What stands against the newest fix of the patrol being walked. Outlives writes, not the process: after a restart three more
    /// fixes have to agree.
    pub(super) rival: Option<(DocumentId, Rival)>,
    mark: Mark,
    /// What came whole and is not unfolded yet.
    pub(super) folded: BTreeSet<DocumentId>,
}

/// What became of a merge.
pub(super) struct Merged {
    /// Changes that are new here.
    pub(super) new: usize,
    /// Changes that came without what they depend on, and were not kept.
    pub(super) lacking: usize,
}

/// Who this phone is: its signing key, drawn at the first opening, and its profile.
async fn itself(
    connection: &mut SqliteConnection,
) -> Result<(SigningKey, Option<Profile>), PhoneError> {
    let fresh = SigningKey::from_bytes(&rand::random());
    sqlx::query(
        "insert into secret (name, value) values ('signing-key', $1) on conflict do nothing",
    )
    .bind(fresh.to_bytes().to_vec())
    .execute(&mut *connection)
    .await?;
    let seed: Vec<u8> = sqlx::query("select value from secret where name = 'signing-key'")
        .fetch_one(&mut *connection)
        .await?
        .get(0);
    let seed: [u8; 32] = seed
        .try_into()
        .map_err(|_| PhoneError::internal("the signing key is not 32 bytes"))?;
    let profile = Profile::load(connection).await?;
    Ok((SigningKey::from_bytes(&seed), profile))
}

/// What goes into the same transaction as an edit.
pub(super) enum Also {
    /// Nothing.
    Nothing,
    /// These rows of `fix` are in the document now.
    FoldedFixes {
        /// The last of them.
        through: i64,
    },
    /// A file that the document now names.
    Attachment(super::attachments::NewFile),
}

impl Store {
    /// Reads who this phone is, and draws this opening's eight bytes.
    pub(super) async fn open(
        mut connection: SqliteConnection,
        app_version: &str,
        mark: Mark,
    ) -> Result<Self, PhoneError> {
        let itself = itself(&mut connection).await;
        let (connection, (signing_key, profile)) = database::or_close(connection, itself).await?;
        let mut store = Self {
            connection,
            profile,
            signing_key,
            opening: rand::random(),
            app_version: app_version.to_owned(),
            opened: Opened::default(),
            walk: None,
            rival: None,
            mark,
            folded: BTreeSet::new(),
        };
        match store.find_arrivals().await {
            Ok(()) => Ok(store),
            Err(error) => {
                store.connection.close().await.ok();
                Err(error)
            }
        }
    }

    /// After every commit of something recorded: writes beside the database how much it holds. What is recorded is on the disk
    /// already, so a mark that cannot be written (a full disk) takes nothing back; the next one counts it too.
    pub(super) async fn recorded(&mut self) {
        let counted = sqlx::query("select count from recorded")
            .fetch_one(&mut self.connection)
            .await;
        if let Ok(row) = counted {
            self.mark.write(row.get::<i64, _>(0).unsigned_abs()).ok();
        }
    }

    /// Who this phone records for.
    ///
    /// # Errors
    /// `SignedOut` with `not-enrolled` until it is enrolled.
    pub(super) fn profile(&self) -> Result<&Profile, PhoneError> {
        self.profile.as_ref().ok_or_else(|| PhoneError::SignedOut {
            word: "not-enrolled".to_owned(),
        })
    }

    /// Edits the document of `key` (born here if it is not on this phone yet), and commits it with `also`.
    ///
    /// # Errors
    /// The rule that the edit broke; `NotFound` for a document of another kind; `StorageFull`; `Internal`. The document is then
    /// as before.
    pub(super) async fn edit<R: Projected, T>(
        &mut self,
        key: &Key,
        at_ms: i64,
        also: Also,
        change: impl FnOnce(&mut R) -> Result<T, Invalid>,
    ) -> Result<T, PhoneError> {
        let actor = self.actor()?;
        self.write(key, at_ms, also, |document, record| {
            document::edit_read(document, record, actor, at_ms, change)
        })
        .await
    }

    /// Folds rows of fixes, the last of them `through`, into a chunk of the patrol's track.
    ///
    /// # Errors
    /// See [`PatrolLog::add_track`].
    pub(super) async fn fold(
        &mut self,
        key: &Key,
        stamp: Stamp,
        fixes: &[Fix],
        through: i64,
    ) -> Result<(), PhoneError> {
        let actor = self.actor()?;
        let also = Also::FoldedFixes { through };
        self.write(key, stamp.at_ms, also, |document, log: &mut PatrolLog| {
            let Some(id) = log.add_track(stamp, None, fixes)? else {
                return Ok(((), None));
            };
            let chunk = &log.track[&id];
            let change = document::add(document, actor, stamp.at_ms, "track", id, chunk)?;
            Ok(((), change))
        })
        .await
    }

    /// Ends a clash by choosing one of its values; false if there is none any more.
    pub(super) async fn choose(
        &mut self,
        key: &Key,
        at_ms: i64,
        path: &[String],
        index: usize,
    ) -> Result<bool, PhoneError> {
        let actor = self.actor()?;
        let mut open = self.take(key).await?;
        let joins = document::join_heads(&mut open.document, actor, at_ms)?;
        let Some(change) = document::choose(&mut open.document, actor, at_ms, path, index)? else {
            if joins.is_empty() {
                self.opened.keep(key.document(), open);
            }
            return Ok(false);
        };
        self.walk = None;
        let heads = document::heads(&open.document);
        let rows = rows::of(key.kind, &open.document)?;
        let mut tx = self.connection.begin().await?;
        rows::put(&mut tx, key, &heads, By::Us, &rows).await?;
        for change in joins.iter().chain([&change]) {
            put_change(&mut tx, key.document(), change, true).await?;
            open.change_bytes += change.bytes.len();
        }
        tx.commit().await?;
        self.recorded().await;
        self.keep(key.document(), open.document, open.change_bytes);
        Ok(true)
    }

    /// Writes with the record at hand, and everything that has to be on the disk with it in one transaction.
    async fn write<R: Projected, T>(
        &mut self,
        key: &Key,
        at_ms: i64,
        also: Also,
        write: impl FnOnce(&mut Automerge, &mut R) -> Result<(T, Option<Change>), DocumentError>,
    ) -> Result<T, PhoneError> {
        if key.kind != R::KIND {
            return Err(PhoneError::NotFound);
        }
        self.walk = None;
        let id = key.document();
        let mut open = self.take(key).await?;
        let mut record: R = match open.take_record() {
            Some(record) => record,
            None => document::read(&open.document)?,
        };
        let joins = document::join_heads(&mut open.document, self.actor()?, at_ms)?;
        let (answer, change) = write(&mut open.document, &mut record)?;
        let heads = document::heads(&open.document);
        let mut tx = self.connection.begin().await?;
        rows::put(&mut tx, key, &heads, By::Us, &record.rows()).await?;
        rows::put_record(&mut tx, id, &heads, &self.app_version, &record).await?;
        for change in joins.iter().chain(&change) {
            put_change(&mut tx, id, change, true).await?;
            open.change_bytes += change.bytes.len();
        }
        match also {
            Also::Nothing => {}
            Also::FoldedFixes { through } => {
                sqlx::query("delete from fix where document_id = $1 and fix_id <= $2")
                    .bind(id.to_string())
                    .bind(through)
                    .execute(&mut *tx)
                    .await?;
            }
            Also::Attachment(file) => file.put(&mut tx, id).await?,
        }
        tx.commit().await?;
        self.recorded().await;
        open.says(record);
        self.opened.keep(id, open);
        Ok(answer)
    }

    pub(super) fn actor(&self) -> Result<Actor, PhoneError> {
        Ok(Actor {
            phone: self.profile()?.phone,
            opening: self.opening,
        })
    }

    /// What the document says now: from memory, from its row, or from its changes, which then get a row.
    ///
    /// # Errors
    /// `NotFound` if it is not on this phone, or of another kind.
    pub(super) async fn read<R: Projected>(
        &mut self,
        id: DocumentId,
    ) -> Result<(Key, R), PhoneError> {
        let key = self.key(id).await?;
        if key.kind != R::KIND {
            return Err(PhoneError::NotFound);
        }
        if let Some(record) = self.opened.record::<R>(id) {
            return Ok((key, record.clone()));
        }
        if let Some(record) = rows::record(&mut self.connection, id, &self.app_version).await? {
            return Ok((key, record));
        }
        let mut open = self.take(&key).await?;
        let record: R = document::read(&open.document)?;
        let heads = document::heads(&open.document);
        let written =
            rows::put_record(&mut self.connection, id, &heads, &self.app_version, &record).await;
        match written {
            // A full disk hides nothing: without the row the changes are read again next time.
            Ok(()) | Err(PhoneError::StorageFull) => {}
            Err(error) => return Err(error),
        }
        open.says(record.clone());
        self.opened.keep(id, open);
        Ok((key, record))
    }

    /// Looks into the document itself.
    ///
    /// # Errors
    /// `NotFound` if it is not on this phone.
    pub(super) async fn inspect<T>(
        &mut self,
        id: DocumentId,
        look: impl FnOnce(&Automerge) -> Result<T, PhoneError>,
    ) -> Result<(Key, T), PhoneError> {
        let key = self.key(id).await?;
        let open = self.take(&key).await?;
        let seen = look(&open.document);
        self.opened.keep(id, open);
        Ok((key, seen?))
    }

    /// What a live fix has to know of `patrol`. Kept between fixes: reading the whole patrol for each
    /// took 1.5 of a fix's 1.8 ms (600 fixes, 15 observations, November 2026).
    ///
    /// # Errors
    /// `NotFound` if it is not on this phone; `SignedOut` before enrolment.
    pub(super) async fn walk(&mut self, patrol: DocumentId) -> Result<Walk, PhoneError> {
        if let Some((_, walk)) = self.walk.filter(|(walked, _)| *walked == patrol) {
            return Ok(walk);
        }
        let person = self.profile()?.person;
        let walk = match self.opened.record(patrol) {
            Some(log) => Walk::of(log, person),
            None => Walk::of(&self.read(patrol).await?.1, person),
        };
        self.walk = Some((patrol, walk));
        Ok(walk)
    }

    /// The key of a document on this phone.
    ///
    /// # Errors
    /// `NotFound`.
    pub(super) async fn key(&mut self, id: DocumentId) -> Result<Key, PhoneError> {
        self.unfold(id).await?;
        let row = sqlx::query("select kind, unit_id, name from document where document_id = $1")
            .bind(id.to_string())
            .fetch_optional(&mut self.connection)
            .await?
            .ok_or(PhoneError::NotFound)?;
        let kind: Kind = row.get::<&str, _>(0).parse()?;
        let unit: UnitId = row
            .get::<&str, _>(1)
            .parse()
            .map_err(PhoneError::internal)?;
        Ok(Key {
            kind,
            unit,
            name: row.get(2),
        })
    }

    /// Whether the key of a document is known here.
    pub(super) async fn is_named(&mut self, id: DocumentId) -> Result<bool, PhoneError> {
        match self.key(id).await {
            Ok(_) => Ok(true),
            Err(PhoneError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Merges what the server sent.
    pub(super) async fn merge(
        &mut self,
        key: &Key,
        changes: &[Change],
        seals: &[Seal],
    ) -> Result<Merged, PhoneError> {
        self.walk = None;
        let Open {
            mut document,
            mut change_bytes,
            ..
        } = self.take(key).await?;
        let mut tx = self.connection.begin().await?;
        let mut new = Vec::new();
        for change in changes {
            let known = sqlx::query("update change set server = 'held' where hash = $1")
                .bind(change.hash.to_string())
                .execute(&mut *tx)
                .await?;
            if known.rows_affected() == 0 {
                new.push(change);
            }
        }
        // What lacks an ancestor is not kept: the caller fetches the document whole instead.
        let Merge { whole, lacking } = document::merge(&mut document, new)?;
        let rows = rows::of(key.kind, &document)?;
        rows::put(&mut tx, key, &document::heads(&document), By::Others, &rows).await?;
        for change in &whole {
            put_change(&mut tx, key.document(), change, false).await?;
            // What was refused once and is there after all, by a person's word, is in the document again.
            sqlx::query("delete from set_aside where hash = $1")
                .bind(change.hash.to_string())
                .execute(&mut *tx)
                .await?;
            change_bytes += change.bytes.len();
        }
        for seal in seals {
            put_seal(&mut tx, key.document(), seal).await?;
        }
        let (back, own) = apart::bring_back(&mut tx, key.document(), &mut document).await?;
        if back > 0 {
            let rows = rows::of(key.kind, &document)?;
            let by = if own { By::Us } else { By::Others };
            rows::put(&mut tx, key, &document::heads(&document), by, &rows).await?;
            change_bytes += back;
        }
        tx.commit().await?;
        if lacking == 0 {
            self.keep(key.document(), document, change_bytes);
        }
        Ok(Merged {
            new: whole.len(),
            lacking,
        })
    }

    /// Takes the document out of those kept open, or loads it from its changes.
    pub(super) async fn take(&mut self, key: &Key) -> Result<Open, PhoneError> {
        self.unfold(key.document()).await?;
        if let Some(open) = self.opened.take(key.document()) {
            return Ok(open);
        }
        let rows = sqlx::query("select bytes from change where document_id = $1 order by position")
            .bind(key.document().to_string())
            .fetch_all(&mut self.connection)
            .await?;
        let changes = || rows.iter().map(|row| row.get::<&[u8], _>(0));
        let document = document::load(key, changes())?;
        Ok(Open::new(document, changes().map(<[u8]>::len).sum()))
    }

    /// Keeps a document open of which it is not known what it says now.
    pub(super) fn keep(&mut self, id: DocumentId, document: Automerge, change_bytes: usize) {
        self.opened.keep(id, Open::new(document, change_bytes));
    }
}

/// Keeps a change.
pub(super) async fn put_change(
    tx: &mut Transaction<'_, Sqlite>,
    document: DocumentId,
    change: &Change,
    own: bool,
) -> Result<(), PhoneError> {
    sqlx::query(
        "insert into change (document_id, hash, own, server, bytes) values ($1, $2, $3, $4, $5)",
    )
    .bind(document.to_string())
    .bind(change.hash.to_string())
    .bind(own)
    .bind((!own).then_some("held"))
    .bind(&change.bytes)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Keeps a seal with the change it seals.
pub(super) async fn put_seal(
    tx: &mut Transaction<'_, Sqlite>,
    document: DocumentId,
    seal: &Seal,
) -> Result<(), PhoneError> {
    sqlx::query("insert into seal (document_id, change_hash, seal) values ($1, $2, $3) on conflict do nothing")
        .bind(document.to_string())
        .bind(seal.change.to_string())
        .bind(minicbor::to_vec(seal).map_err(PhoneError::internal)?)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Hashes as a row holds them.
pub(super) fn parse_hashes(text: &str) -> Vec<Sha256> {
    text.split_whitespace()
        .filter_map(|hash| hash.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests;
