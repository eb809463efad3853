//! Documents in the encrypted file: loaded from their changes, edited in one transaction, cached while they are in use.
//!
//! A document leaves the cache before it is edited and comes back after the commit. So whatever ends an edit half-way
//! (an error, a dropped future, a full disk), the next one starts from what is on the disk.

use super::{enrolment::Profile, error::PhoneError, items, tracks::Walk};
use crate::{
    document::{self, Actor, Change, Key, Kind, Record},
    hash::Sha256,
    id::{DocumentId, UnitId},
    invalid::Invalid,
    patrol::PatrolLog,
    review::heads_text,
    seal::Seal,
};
use automerge::Automerge;
use ed25519_dalek::SigningKey;
use sqlx::{Connection as _, Row as _, Sqlite, SqliteConnection, Transaction};
use std::collections::BTreeMap;

/// Documents kept open. A patrol's log takes about 0.3 MB in memory.
const OPEN_LIMIT: usize = 16;

/// See the module.
pub(super) struct Store {
    pub(super) connection: SqliteConnection,
    pub(super) profile: Option<Profile>,
    pub(super) signing_key: SigningKey,
    /// Drawn at this opening: part of the actor of everything that is written in it.
    pub(super) opening: [u8; 8],
    opened: BTreeMap<DocumentId, Automerge>,
    /// The patrol being walked; forgotten with every write.
    walk: Option<(DocumentId, Walk)>,
}

/// What became of a merge.
pub(super) struct Merged {
    /// Changes that are new here.
    pub(super) new: usize,
    /// Changes that came without what they depend on, and were not kept.
    pub(super) lacking: usize,
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
    pub(super) async fn open(mut connection: SqliteConnection) -> Result<Self, PhoneError> {
        let fresh = SigningKey::from_bytes(&rand::random());
        sqlx::query(
            "insert into secret (name, value) values ('signing-key', $1) on conflict do nothing",
        )
        .bind(fresh.to_bytes().to_vec())
        .execute(&mut connection)
        .await?;
        let seed: Vec<u8> = sqlx::query("select value from secret where name = 'signing-key'")
            .fetch_one(&mut connection)
            .await?
            .get(0);
        let seed: [u8; 32] = seed
            .try_into()
            .map_err(|_| PhoneError::internal("the signing key is not 32 bytes"))?;
        let profile = Profile::load(&mut connection).await?;
        let opening = rand::random();
        Ok(Self {
            connection,
            profile,
            signing_key: SigningKey::from_bytes(&seed),
            opening,
            opened: BTreeMap::new(),
            walk: None,
        })
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
    /// The rule that the edit broke; `StorageFull`; `Internal`. The document is then as before.
    pub(super) async fn edit<R: Record, T>(
        &mut self,
        key: &Key,
        at_ms: i64,
        also: Also,
        change: impl FnOnce(&mut R) -> Result<T, Invalid>,
    ) -> Result<T, PhoneError> {
        let actor = Actor {
            phone: self.profile()?.phone,
            opening: self.opening,
        };
        self.write(key, also, |document| {
            document::edit(document, actor, at_ms, change)
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
        let actor = Actor {
            phone: self.profile()?.phone,
            opening: self.opening,
        };
        self.write(key, Also::Nothing, |document| {
            let change = document::choose(document, actor, at_ms, path, index)?;
            Ok((change.is_some(), change))
        })
        .await
    }

    async fn write<T>(
        &mut self,
        key: &Key,
        also: Also,
        write: impl FnOnce(&mut Automerge) -> Result<(T, Option<Change>), document::DocumentError>,
    ) -> Result<T, PhoneError> {
        self.walk = None;
        let mut document = self.take(key).await?;
        let (answer, change) = write(&mut document)?;
        let mut tx = self.connection.begin().await?;
        put_document(&mut tx, key, &document).await?;
        if let Some(change) = &change {
            put_change(&mut tx, key.document(), change, true).await?;
        }
        match also {
            Also::Nothing => {}
            Also::FoldedFixes { through } => {
                sqlx::query("delete from fix where document_id = $1 and fix_id <= $2")
                    .bind(key.document().to_string())
                    .bind(through)
                    .execute(&mut *tx)
                    .await?;
            }
            Also::Attachment(file) => file.put(&mut tx, key.document()).await?,
        }
        tx.commit().await?;
        self.keep(key.document(), document);
        Ok(answer)
    }

    /// What the document says now.
    ///
    /// # Errors
    /// `NotFound` if it is not on this phone.
    pub(super) async fn read<R: Record>(&mut self, id: DocumentId) -> Result<(Key, R), PhoneError> {
        self.inspect(id, |document| Ok(document::read(document)?))
            .await
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
        let document = self.take(&key).await?;
        let seen = look(&document);
        self.keep(id, document);
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
        let (_, log) = self.read::<PatrolLog>(patrol).await?;
        let walk = Walk::of(&log, person);
        self.walk = Some((patrol, walk));
        Ok(walk)
    }

    /// The key of a document on this phone.
    ///
    /// # Errors
    /// `NotFound`.
    pub(super) async fn key(&mut self, id: DocumentId) -> Result<Key, PhoneError> {
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

    /// Merges what the server sent.
    pub(super) async fn merge(
        &mut self,
        key: &Key,
        changes: &[Change],
        seals: &[Seal],
    ) -> Result<Merged, PhoneError> {
        self.walk = None;
        let mut document = self.take(key).await?;
        let mut tx = self.connection.begin().await?;
        let mut new = Vec::new();
        for change in changes {
            let known = sqlx::query("update change set server = 'held' where hash = $1")
                .bind(change.hash.to_string())
                .execute(&mut *tx)
                .await?;
            if known.rows_affected() == 0 {
                document
                    .load_incremental(&change.bytes)
                    .map_err(PhoneError::internal)?;
                new.push(change);
            }
        }
        put_document(&mut tx, key, &document).await?;
        // A change whose ancestor is not here is not kept: stored, it would make the pile incomplete for ever. The caller reads
        // the feed from its beginning instead.
        let (whole, lacking): (Vec<&Change>, Vec<&Change>) = new.into_iter().partition(|change| {
            document
                .get_change_meta_by_hash(&change.hash.into())
                .is_some()
        });
        for change in &whole {
            put_change(&mut tx, key.document(), change, false).await?;
        }
        for seal in seals {
            put_seal(&mut tx, key.document(), seal).await?;
        }
        tx.commit().await?;
        if lacking.is_empty() {
            self.keep(key.document(), document);
        }
        Ok(Merged {
            new: whole.len(),
            lacking: lacking.len(),
        })
    }

    /// Takes the document out of the cache, or loads it from its changes.
    async fn take(&mut self, key: &Key) -> Result<Automerge, PhoneError> {
        if let Some(document) = self.opened.remove(&key.document()) {
            return Ok(document);
        }
        let rows = sqlx::query("select bytes from change where document_id = $1 order by position")
            .bind(key.document().to_string())
            .fetch_all(&mut self.connection)
            .await?;
        Ok(document::load(
            key,
            rows.iter().map(|row| row.get::<&[u8], _>(0)),
        )?)
    }

    fn keep(&mut self, id: DocumentId, document: Automerge) {
        if self.opened.len() >= OPEN_LIMIT {
            self.opened.pop_first();
        }
        self.opened.insert(id, document);
    }
}

async fn put_document(
    tx: &mut Transaction<'_, Sqlite>,
    key: &Key,
    document: &Automerge,
) -> Result<(), PhoneError> {
    let (summary, attachments) = items::summary(key.kind, document)?;
    sqlx::query(
        "insert into document (document_id, kind, unit_id, name, heads, summary) values ($1, $2, $3, $4, $5, $6) \
         on conflict (document_id) do update set heads = excluded.heads, summary = excluded.summary",
    )
    .bind(key.document().to_string())
    .bind(key.kind.word())
    .bind(key.unit.to_string())
    .bind(&key.name)
    .bind(heads_text(&document::heads(document)))
    .bind(summary)
    .execute(&mut **tx)
    .await?;
    // Colleagues' files among them: nothing is called sent before the server has every file that the document names. A
    // withdrawn one is sent like another, but nothing waits for it.
    sqlx::query("delete from attachment_use where document_id = $1")
        .bind(key.document().to_string())
        .execute(&mut **tx)
        .await?;
    for sha256 in attachments {
        sqlx::query("insert into attachment_use (document_id, sha256) values ($1, $2) on conflict do nothing")
            .bind(key.document().to_string())
            .bind(sha256.to_string())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn put_change(
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
