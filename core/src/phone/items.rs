//! Where each item is on its way to the server and back. Derived from what is on the disk at each look, never stored: a stored
//! "sent" could be wrong, a derived one is as true as the receipt it is derived from.

use super::{Phone, error::PhoneError, patrols, store::parse_hashes};
use crate::{
    attachment::Attachment,
    document::{self, Key, Kind},
    evidence::EvidenceFile,
    hash::Sha256,
    id::{AttachmentId, DocumentId, PersonId},
    patrol::PatrolLog,
    receipt::Receipt,
    reference::Reference,
    review::{Review, Verdict},
};
use automerge::Automerge;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use sqlx::{Row as _, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet};

/// The item states of the dictionary (Nháp is the app's own: what is not saved yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemState {
    /// Đã lưu trên máy: on the disk, and no sync was tried since.
    Saved,
    /// Chờ gửi: a sync was tried and the server has not all of it.
    Waiting,
    /// Đang gửi: a sync is at it now.
    Sending,
    /// Đã gửi: a receipt covers the heads and every attachment.
    Received,
    /// Bị trả lại: received, and a supervisor returned what stands.
    Returned,
    /// Đã duyệt: received, and a supervisor approved what stands.
    Approved,
}

/// One document of this person's, and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The document.
    pub document: DocumentId,
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub state: ItemState,
    /// Changes that the server is not known to hold.
    pub unsent_changes: u32,
    /// Attachments that the server is not known to hold.
    pub unsent_attachments: u32,
    /// What the server refused to take, by the refusal's word. Kept on the phone.
    pub refused: Vec<String>,
    /// The decision that stands about it, whether about its present heads or older ones.
    pub decided: Option<Decided>,
}

/// A supervisor's decision as the officer sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Approved or returned.
    pub verdict: Verdict,
    /// The heads that were decided about.
    pub heads: String,
    /// The field that the remark is about.
    pub field: Option<String>,
    /// What to know or do.
    pub remark: Option<String>,
    /// Who decided.
    pub by: PersonId,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

/// What lists need of a document, as JSON beside it, and the files that it names and that were not withdrawn. Computed at each write from the document alone.
pub(super) fn summary(
    kind: Kind,
    document: &Automerge,
) -> Result<(String, BTreeSet<Sha256>), PhoneError> {
    let files = |attachments: &BTreeMap<AttachmentId, Attachment>| {
        attachments
            .values()
            .filter(|attachment| attachment.withdrawn_at_ms.is_none())
            .map(|attachment| attachment.sha256)
            .collect()
    };
    let (json, named) = match kind {
        Kind::PatrolLog => {
            let log: PatrolLog = document::read(document)?;
            (
                serde_json::to_string(&patrols::Summary::of(&log)),
                files(&log.attachments),
            )
        }
        Kind::EvidenceFile => {
            let file: EvidenceFile = document::read(document)?;
            (Ok("null".to_owned()), files(&file.attachments))
        }
        Kind::Review => {
            let review: Review = document::read(document)?;
            (serde_json::to_string(&standing(&review)), BTreeSet::new())
        }
        Kind::Reference => {
            let _: Reference = document::read(document)?;
            (Ok("null".to_owned()), BTreeSet::new())
        }
    };
    Ok((json.map_err(PhoneError::internal)?, named))
}

fn standing(review: &Review) -> Option<Decided> {
    let (_, decision) = review.standing()?;
    Some(Decided {
        verdict: decision.verdict.parse().ok()?,
        heads: decision.heads.clone(),
        field: decision.field.clone(),
        remark: decision.remark.clone(),
        by: decision.by,
        at_ms: decision.at_ms,
    })
}

/// Every patrol and evidence file on the phone with its state.
pub(super) async fn states(
    connection: &mut SqliteConnection,
    sending: bool,
) -> Result<BTreeMap<DocumentId, Item>, PhoneError> {
    let mut items = documents(connection).await?;
    count_changes(connection, &mut items).await?;
    let attachments = count_attachments(connection, &mut items).await?;
    let loose: BTreeSet<String> = texts(connection, "select distinct document_id from fix")
        .await?
        .into_iter()
        .collect();
    let receipts = receipts(connection).await?;
    for (id, found) in &mut items {
        let covered = receipts.get(id).is_some_and(|(heads, files)| {
            let files: BTreeSet<_> = parse_hashes(files).into_iter().collect();
            *heads == found.heads && attachments.get(id).is_none_or(|all| all.is_subset(&files))
        });
        // What others wrote came from the server: there is nothing of one's own in it to be signed for.
        let whole = (covered || !found.own)
            && found.item.unsent_changes == 0
            && !loose.contains(&id.to_string());
        let about_these_heads = found
            .item
            .decided
            .as_ref()
            .filter(|decided| decided.heads == found.heads);
        found.item.state = match about_these_heads.map(|decided| decided.verdict) {
            Some(Verdict::Approved) if whole => ItemState::Approved,
            Some(Verdict::Returned) if whole => ItemState::Returned,
            _ if whole => ItemState::Received,
            _ if sending => ItemState::Sending,
            _ if found.tried => ItemState::Waiting,
            _ => ItemState::Saved,
        };
    }
    Ok(items
        .into_iter()
        .map(|(id, found)| (id, found.item))
        .collect())
}

struct Found {
    item: Item,
    /// Something in it was written on this phone.
    own: bool,
    heads: String,
    tried: bool,
}

async fn documents(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<DocumentId, Found>, PhoneError> {
    let mut decided: BTreeMap<String, Option<Decided>> = BTreeMap::new();
    let mut found = BTreeMap::new();
    let rows = sqlx::query("select document_id, kind, unit_id, name, heads, summary, \
         exists (select 1 from change c where c.document_id = document.document_id and c.own = 1) from document")
        .fetch_all(connection)
        .await?;
    for row in &rows {
        let kind: Kind = row.get::<&str, _>(1).parse()?;
        match kind {
            Kind::Review => {
                let standing = serde_json::from_str(row.get(5)).map_err(PhoneError::internal)?;
                decided.insert(row.get(3), standing);
            }
            Kind::Reference => {}
            Kind::PatrolLog | Kind::EvidenceFile => {
                let key = Key {
                    kind,
                    unit: row
                        .get::<&str, _>(2)
                        .parse()
                        .map_err(PhoneError::internal)?,
                    name: row.get(3),
                };
                let item = Item {
                    document: key.document(),
                    kind,
                    state: ItemState::Saved,
                    unsent_changes: 0,
                    unsent_attachments: 0,
                    refused: Vec::new(),
                    decided: None,
                };
                found.insert(
                    key.document(),
                    Found {
                        item,
                        own: row.get(6),
                        heads: row.get(4),
                        tried: true,
                    },
                );
            }
        }
    }
    for (id, found) in &mut found {
        found.item.decided = decided.remove(&id.to_string()).flatten();
    }
    Ok(found)
}

async fn count_changes(
    connection: &mut SqliteConnection,
    items: &mut BTreeMap<DocumentId, Found>,
) -> Result<(), PhoneError> {
    let rows = sqlx::query(
        "select document_id, server, count(*), max(position) > (select tried_through from sync) \
         from change where server is null or server <> 'held' group by document_id, server",
    )
    .fetch_all(connection)
    .await?;
    for row in rows {
        let Ok(id) = row.get::<&str, _>(0).parse::<DocumentId>() else {
            continue;
        };
        let Some(found) = items.get_mut(&id) else {
            continue;
        };
        found.item.unsent_changes += row.get::<u32, _>(2);
        match row.get::<Option<&str>, _>(1) {
            None if row.get::<bool, _>(3) => found.tried = false,
            None | Some("waiting") => {}
            Some(refusal) => found.item.refused.push(refusal.to_owned()),
        }
    }
    Ok(())
}

async fn count_attachments(
    connection: &mut SqliteConnection,
    items: &mut BTreeMap<DocumentId, Found>,
) -> Result<BTreeMap<DocumentId, BTreeSet<Sha256>>, PhoneError> {
    let rows = sqlx::query(
        "select u.document_id, u.sha256, a.sha256 is not null and a.received_at_ms is null \
         from attachment_use u left join attachment a on a.sha256 = u.sha256",
    )
    .fetch_all(connection)
    .await?;
    let mut all: BTreeMap<DocumentId, BTreeSet<_>> = BTreeMap::new();
    for row in rows {
        let Ok(id) = row.get::<&str, _>(0).parse::<DocumentId>() else {
            continue;
        };
        all.entry(id).or_default().extend(parse_hashes(row.get(1)));
        if let Some(found) = items.get_mut(&id).filter(|_| row.get::<bool, _>(2)) {
            found.item.unsent_attachments += 1;
        }
    }
    Ok(all)
}

async fn receipts(
    connection: &mut SqliteConnection,
) -> Result<BTreeMap<DocumentId, (String, String)>, PhoneError> {
    let rows = sqlx::query("select document_id, heads, attachments from receipt")
        .fetch_all(connection)
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            Some((
                row.get::<&str, _>(0).parse().ok()?,
                (row.get(1), row.get(2)),
            ))
        })
        .collect())
}

async fn texts(
    connection: &mut SqliteConnection,
    sql: &'static str,
) -> Result<Vec<String>, PhoneError> {
    Ok(sqlx::query(sql)
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect())
}

impl Phone {
    /// Every patrol and evidence file with its state; only those in `state` if one is given.
    ///
    /// # Errors
    /// `Internal` when the database fails.
    pub async fn items(&self, state: Option<ItemState>) -> Result<Vec<Item>, PhoneError> {
        let mut store = self.store().await;
        let items = states(&mut store.connection, self.syncing.sending()).await?;
        Ok(items
            .into_values()
            .filter(|item| state.is_none_or(|state| item.state == state))
            .collect())
    }

    /// The decisions that stand about documents on this phone.
    ///
    /// # Errors
    /// `Internal` when the database fails.
    pub async fn reviews(&self) -> Result<Vec<(DocumentId, Decided)>, PhoneError> {
        let items = self.items(None).await?;
        Ok(items
            .into_iter()
            .filter_map(|item| Some((item.document, item.decided?)))
            .collect())
    }

    /// The newest receipt the server gave for a document, its signature checked anew; none if it gave none. It may be about
    /// older heads: whether it covers what stands is what [`Item::state`] says.
    ///
    /// # Errors
    /// `SignedOut` before enrolment; `Internal` for a receipt that is not the server's any more, which is a damaged disk.
    pub async fn receipt(&self, document: DocumentId) -> Result<Option<Receipt>, PhoneError> {
        let mut store = self.store().await;
        let key = VerifyingKey::from_bytes(&store.profile()?.receipt_key)
            .map_err(PhoneError::internal)?;
        let row = sqlx::query("select jws from receipt where document_id = $1")
            .bind(document.to_string())
            .fetch_optional(&mut store.connection)
            .await?;
        let Some(row) = row else { return Ok(None) };
        // A document with more files than one receipt names has several, which differ in the files only.
        let mut whole: Option<Receipt> = None;
        for token in row.get::<&str, _>(0).split(' ') {
            let receipt = Receipt::verify(token, |_| Some(key)).map_err(PhoneError::internal)?;
            match &mut whole {
                Some(whole) => whole.attachments.extend(receipt.attachments),
                None => whole = Some(receipt),
            }
        }
        Ok(whole)
    }

    /// The people of one's unit, as the server published them; empty before the first sync.
    ///
    /// # Errors
    /// `SignedOut` before enrolment.
    pub async fn colleagues(&self) -> Result<BTreeMap<PersonId, String>, PhoneError> {
        let mut store = self.store().await;
        let key = Key::reference(store.profile()?.unit);
        match store.read::<Reference>(key.document()).await {
            Ok((_, reference)) => Ok(reference
                .people
                .into_iter()
                .map(|(id, person)| (id, person.name))
                .collect()),
            Err(PhoneError::NotFound) => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }
}
