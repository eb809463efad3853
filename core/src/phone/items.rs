//! Where each item is on its way to the server and back. Derived from what is on the disk at each look, never stored: a stored
//! "sent" could be wrong, a derived one is as true as the receipt it is derived from.

use super::{
    Phone,
    error::PhoneError,
    queue::{self, Part, Waiting},
};
use crate::{
    document::Kind,
    id::{DocumentId, PersonId},
    outbox::Standing,
    receipt::Receipt,
    review::{Review, Verdict},
};
use ed25519_dalek::VerifyingKey;
use sqlx::{Row as _, sqlite::SqliteRow};
use std::collections::BTreeMap;

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
    /// What of it waits, and why.
    pub waiting: Vec<Waiting>,
    /// The decision that stands about it, whether about its present heads or older ones.
    pub decided: Option<Decided>,
    /// When this phone heard that its person may no longer read it, Unix milliseconds. What is here stays readable.
    pub ungranted_at_ms: Option<i64>,
}

/// A supervisor's decision as the officer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
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

impl Decided {
    /// The decision of `review` that stands.
    pub(super) fn standing(review: &Review) -> Option<Self> {
        let (_, decision) = review.standing()?;
        Some(Self {
            verdict: decision.verdict.parse().ok()?,
            heads: decision.heads.clone(),
            field: decision.field.clone(),
            remark: decision.remark.clone(),
            by: decision.by,
            at_ms: decision.at_ms,
        })
    }

    /// In the columns that [`ITEM`] ends with.
    fn in_row(row: &SqliteRow) -> Result<Option<Self>, PhoneError> {
        let Some(verdict) = row.get::<Option<&str>, _>("verdict") else {
            return Ok(None);
        };
        Ok(Some(Self {
            verdict: verdict.parse()?,
            heads: row.get("decided_heads"),
            field: row.get("field"),
            remark: row.get("remark"),
            by: row
                .get::<&str, _>("decided_by")
                .parse()
                .map_err(PhoneError::internal)?,
            at_ms: row.get("decided_at_ms"),
        }))
    }
}

/// The state that follows from the facts. `whole`: the server signed for all of it; `decided`: what stands about these heads.
const fn state(whole: bool, tried: bool, sending: bool, decided: Option<Verdict>) -> ItemState {
    match decided {
        Some(Verdict::Approved) if whole => ItemState::Approved,
        Some(Verdict::Returned) if whole => ItemState::Returned,
        _ if whole => ItemState::Received,
        _ if sending => ItemState::Sending,
        _ if tried => ItemState::Waiting,
        _ => ItemState::Saved,
    }
}

/// The columns that [`state_in`] reads, of a row of `standing`.
macro_rules! state_columns {
    () => {
        "covered, own, unsettled, loose, tried, case when decided_about_this then verdict end"
    };
}
pub(super) use state_columns;

/// The state in a row that has [`state_columns`] from column `at` on.
pub(super) fn state_in(row: &SqliteRow, at: usize, sending: bool) -> Result<ItemState, PhoneError> {
    let standing = Standing {
        covered: row.get(at),
        own: row.get(at + 1),
        unsettled: row.get(at + 2),
        loose: row.get(at + 3),
    };
    let verdict = row
        .get::<Option<&str>, _>(at + 5)
        .map(str::parse)
        .transpose()?;
    let tried = row.get(at + 4);
    Ok(state(standing.is_whole(), tried, sending, verdict))
}

const ITEM: &str = concat!(
    "select ",
    state_columns!(),
    ", document_id, kind, ungranted_at_ms, verdict, decided_heads, field, remark, decided_by, decided_at_ms \
     from standing where kind in ('patrol-log', 'evidence-file') order by document_id"
);

fn item(
    row: &SqliteRow,
    sending: bool,
    queue: &mut BTreeMap<DocumentId, Vec<Waiting>>,
) -> Result<Item, PhoneError> {
    let document = row
        .get::<&str, _>("document_id")
        .parse()
        .map_err(PhoneError::internal)?;
    let waiting = queue.remove(&document).unwrap_or_default();
    let count = |part: Part| {
        let of_part = waiting.iter().filter(|waiting| waiting.part == part);
        of_part.map(|waiting| waiting.count).sum()
    };
    Ok(Item {
        document,
        kind: row.get::<&str, _>("kind").parse()?,
        state: state_in(row, 0, sending)?,
        unsent_changes: count(Part::Text),
        unsent_attachments: count(Part::File),
        waiting,
        decided: Decided::in_row(row)?,
        ungranted_at_ms: row.get("ungranted_at_ms"),
    })
}

impl Phone {
    /// Every patrol and evidence file with its state; only those in `state` if one is given.
    ///
    /// # Errors
    /// `Internal` when the database fails.
    pub async fn items(&self, state: Option<ItemState>) -> Result<Vec<Item>, PhoneError> {
        let mut store = self.store().await;
        store.unfold_all().await?;
        let sending = self.syncing.sending();
        let way = self.syncing.in_the_way().await;
        let mut queue = queue::waiting(&mut store.connection, &way).await?;
        let rows = sqlx::query(ITEM).fetch_all(&mut store.connection).await?;
        let items = rows.iter().map(|row| item(row, sending, &mut queue));
        items
            .filter(|item| {
                let state_of = |item: &Item| item.state;
                state.is_none_or(|state| item.as_ref().map(state_of).ok() == Some(state))
            })
            .collect()
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
}
