//! Pull: everything of the unit's feed after a cursor that this person may read, as a CBOR sequence that ends in a new cursor.
//!
//! What an answer holds is `core::log::paging`, a pure function; here is the IO at both its ends. What the phone has already costs
//! only bytes.

use crate::{
    app::App,
    ledger,
    problem::{Answer, Problem},
    row::parsed,
    stored,
    sync::delivery::{self, Deliveries, Sequence},
    token::EnrolledPhone,
};
use axum::{
    extract::{Query, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use kieumau_core::{
    document::{Actor, Key},
    id::{DocumentId, PhoneId, UnitId},
    log::{
        head::Epoch,
        numbering::Entry,
        paging::{self, Cursor, Delivery, Limits, Position, Scanned, Start},
    },
    wire::{self, After, Pulled},
};
use sqlx::{Row as _, any::AnyRow};
use std::collections::BTreeSet;

/// What one answer holds; its first thing goes whatever its size. Pages of two mebibytes, of which a phone writes one down while the next
/// travels, were no faster than these.
const LIMITS: Limits = Limits {
    entries: 2_000,
    bytes: 8 << 20,
};

/// Bytes from which an answer is compressed: below, its frame costs what it saves.
const COMPRESSED_FROM: usize = 512;
/// How hard. Snapshots are compressed already, and hashes and signatures never are.
const LEVEL: i32 = 1;

/// `GET /v1/sync/pull?cursor=…&opening=…&snapshots=1`
pub async fn pull(
    State(app): State<App>,
    phone: EnrolledPhone,
    Query(after): Query<After>,
    headers: HeaderMap,
) -> Answer<Response> {
    let page = page(&app, &phone, &after).await?;
    answer(&headers, page).await
}

/// A sequence as an answer, compressed if it is long and the asker accepts it.
///
/// # Errors
/// `internal` if it cannot be compressed.
pub async fn answer(headers: &HeaderMap, page: Vec<u8>) -> Answer<Response> {
    let accepted = headers.get(header::ACCEPT_ENCODING);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    let accepts = accepted.is_some_and(|list| {
        let mut codings = list.split(',').map(|coding| coding.split(';').next());
        codings.any(|coding| coding.is_some_and(|coding| coding.trim() == wire::ZSTD))
    });
    let kind = (header::CONTENT_TYPE, wire::CBOR_SEQUENCE);
    if !accepts || page.len() < COMPRESSED_FROM {
        return Ok(([kind], page).into_response());
    }
    let compressed = tokio::task::spawn_blocking(move || zstd::bulk::compress(&page, LEVEL)).await;
    let compressed = compressed
        .map_err(Problem::internal)?
        .map_err(Problem::internal)?;
    let coding = (header::CONTENT_ENCODING, wire::ZSTD);
    Ok(([kind, coding], compressed).into_response())
}

/// One answer's worth of what comes after a cursor: a sequence of [`Pulled`] that ends in the next cursor. A push's answer
/// carries the same.
///
/// # Errors
/// `internal` when the database fails; `busy` when too many such answers are being built.
pub async fn page(app: &App, phone: &EnrolledPhone, after: &After) -> Answer<Vec<u8>> {
    let (epoch, end) = end(app, phone.unit).await?;
    let mut answer = Sequence::default();
    let cursor = Cursor::parse(&after.cursor);
    let asked = Asked {
        app,
        phone,
        own: own_actor(phone.phone, after),
        snapshots: after.snapshots,
    };
    let position = match paging::start(cursor.as_ref(), epoch, phone.unit, end) {
        Start::Entries { after } if after == end => position(phone.unit, end, None),
        Start::Entries { after } => {
            let _place = app.room.enter().await?;
            let through = asked.entries((after, end), &mut answer).await?;
            position(phone.unit, through, None)
        }
        Start::Documents { after, number } => {
            let _place = app.room.enter().await?;
            let listed = asked.documents(after, &mut answer).await?;
            position(phone.unit, number, listed)
        }
        Start::Anew => {
            answer.push(&Pulled::Cursor(Cursor::anew(epoch).to_text(), true));
            return Ok(answer.0);
        }
    };
    let more = position.listed.is_some() || position.number < end;
    let feeds = vec![position];
    answer.push(&Pulled::Cursor(Cursor { epoch, feeds }.to_text(), more));
    Ok(answer.0)
}

pub const fn position(unit: UnitId, number: i64, listed: Option<DocumentId>) -> Position {
    Position {
        unit,
        number,
        listed,
    }
}

/// The actor of the asking phone's present opening, as rows hold it. A word that is no actor when the phone did not say.
fn own_actor(phone: PhoneId, after: &After) -> String {
    after.opening.map_or_else(
        || "nobody".to_owned(),
        |opening| hex::encode(Actor { phone, opening }.to_bytes()),
    )
}

/// The log's epoch, and up to where a unit's feed may be served: nothing of a unit without a feed.
///
/// # Errors
/// What the database says.
pub async fn end(app: &App, unit: UnitId) -> Result<(Epoch, i64), sqlx::Error> {
    // One question: each costs a hop to SQLite's thread, and whoever has nothing to read asks nothing else.
    let row = sqlx::query(
        "select s.value, coalesce((select f.checked_through from feed f where f.unit_id = $1), 0) \
         from setting s where s.name = 'log'",
    )
    .bind(unit.to_string())
    .fetch_one(&app.database.read)
    .await?;
    let (epoch, _) = ledger::said(row.get(0))?;
    Ok((epoch, row.get(1)))
}

/// Who asks.
struct Asked<'a> {
    app: &'a App,
    phone: &'a EnrolledPhone,
    own: String,
    /// It takes snapshots.
    snapshots: bool,
}

impl Asked<'_> {
    /// Puts readable documents after `after` into the answer, whole; up to which id they are done with, if there are more.
    async fn documents(
        &self,
        after: DocumentId,
        answer: &mut Sequence,
    ) -> Result<Option<DocumentId>, sqlx::Error> {
        let mut tx = self.app.database.read.begin().await?;
        let rows = sqlx::query(
            "select document_id, size_bytes from document where unit_id = $1 and document_id > $2 \
             order by document_id limit $3",
        )
        .bind(self.phone.unit.to_string())
        .bind(after.to_string())
        .bind(i64::try_from(LIMITS.entries).unwrap_or(i64::MAX))
        .fetch_all(&mut *tx)
        .await?;
        let rows = rows
            .iter()
            .map(|row| Ok((parsed(row, "document_id")?, row.get(1))))
            .collect::<Result<Vec<(DocumentId, i64)>, sqlx::Error>>()?;
        let ids = rows.iter().map(|(id, _)| *id).collect();
        let readable = delivery::readable(&mut tx, self.phone, &ids).await?;
        let listing = paging::listing(&rows, |id| readable.contains_key(&id), LIMITS);
        let mut deliveries = Deliveries::new(self.snapshots);
        for document in listing.documents {
            deliveries.whole(document);
        }
        deliveries
            .put(self.app, &mut tx, &self.own, &readable, answer)
            .await?;
        Ok(listing.through)
    }

    /// Puts what this person may read of the entries after `after` up to `end` into the answer; up to which entry it goes.
    async fn entries(
        &self,
        (after, end): (i64, i64),
        answer: &mut Sequence,
    ) -> Result<i64, sqlx::Error> {
        let mut tx = self.app.database.read.begin().await?;
        let (person, unit) = (self.phone.person, self.phone.unit);
        let rows = sqlx::query(
            "select number, type, document_id, hash, person_id, size_bytes from (select e.number, e.type, e.document_id, \
             null as hash, e.person_id, coalesce(d.size_bytes, 0) as size_bytes from entry e \
             left join document d on d.document_id = e.document_id \
             where e.unit_id = $1 and e.number > $2 and e.number <= $3 order by e.number limit $4) as rights \
             union all \
             select number, type, document_id, hash, person_id, size_bytes from (select coalesce(c.entered, c.number) as number, \
             'change' as type, c.document_id, c.hash, null as person_id, cast(length(c.bytes) as bigint) as size_bytes from change c \
             where c.unit_id = $1 and c.number is not null and coalesce(c.entered, c.number) > $2 \
             and coalesce(c.entered, c.number) <= $3 order by coalesce(c.entered, c.number) limit $4) as changes \
             order by number limit $4",
        )
        .bind(unit.to_string())
        .bind(after)
        .bind(end)
        .bind(i64::try_from(LIMITS.entries).unwrap_or(i64::MAX))
        .fetch_all(&mut *tx)
        .await?;
        let rows = rows.iter().map(scanned).collect::<Result<Vec<_>, _>>()?;
        let named = rows.iter().map(|row| row.entry.document());
        let mut ids: BTreeSet<DocumentId> = named.collect();
        ids.extend(reviews(unit, &rows));
        let readable = delivery::readable(&mut tx, self.phone, &ids).await?;
        let may_read = |id: DocumentId| readable.contains_key(&id);
        let page = paging::page(&rows, (after, end), (person, unit), may_read, LIMITS);
        let mut deliveries = Deliveries::new(self.snapshots);
        for delivery in page.deliveries {
            match delivery {
                Delivery::Whole(document) => deliveries.whole(document),
                Delivery::Changes(document, hashes) => deliveries.changes(document, hashes),
                Delivery::Ungrant(document) => answer.push(&Pulled::Ungrant(document, person)),
            }
        }
        deliveries
            .put(self.app, &mut tx, &self.own, &readable, answer)
            .await?;
        Ok(page.through)
    }
}

/// The reviews of what is granted: they come with it.
fn reviews(unit: UnitId, rows: &[Scanned]) -> BTreeSet<DocumentId> {
    rows.iter()
        .filter_map(|row| match row.entry {
            Entry::Grant(document, _) => Some(Key::review(unit, document).document()),
            Entry::Change(..) | Entry::Ungrant(..) => None,
        })
        .collect()
}

fn scanned(row: &AnyRow) -> Result<Scanned, sqlx::Error> {
    let document = parsed(row, "document_id")?;
    let entry = match row.get::<String, _>(1).as_str() {
        "change" => Entry::Change(document, parsed(row, "hash")?),
        "grant" => Entry::Grant(document, parsed(row, "person_id")?),
        "ungrant" => Entry::Ungrant(document, parsed(row, "person_id")?),
        _ => return Err(stored::damaged("an entry's type")),
    };
    Ok(Scanned {
        number: row.get(0),
        entry,
        size_bytes: row.get(5),
    })
}

#[cfg(test)]
mod tests;
