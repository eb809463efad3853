//! Pull: everything of the unit's feed after a cursor that this person may read, as a CBOR sequence that ends in a new cursor.
//!
//! A cursor says how far the feed was *scanned*, not what was shown: hidden entries are passed over, and a grant later delivers
//! the document whole. A cursor of another epoch starts again from nothing; what the phone has already costs only bytes.
//! A phone names its present opening and is not sent what it wrote in it: it cannot have lost that, whatever copy it was
//! restored from, because every opening draws new bytes.

use crate::{
    app::App,
    ledger,
    problem::Answer,
    stored::{self, parse_hashes},
    token::EnrolledPhone,
};
use axum::{
    extract::{Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kieumau_core::{
    document::{Actor, Key, Kind},
    hash::Sha256,
    id::{DocumentId, PhoneId, UnitId},
    log::head::Epoch,
    seal::{Seal, Signer},
    wire::{self, After, Pulled, WireKey},
};
use minicbor::{Decode, Encode};
use sqlx::Row as _;
use std::collections::BTreeSet;

/// Entries scanned for one answer.
const PAGE: i64 = 2_000;
/// Bytes of changes in one answer; the first entry goes whatever its size.
const PAGE_BYTES: i64 = 8 << 20;

/// Where a phone is in the feeds it reads.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Cursor {
    #[n(0)]
    epoch: Epoch,
    #[n(1)]
    feeds: Vec<Position>,
}

/// Scanned up to this number of one feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Position {
    #[n(0)]
    unit: UnitId,
    #[n(1)]
    number: i64,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        minicbor::decode(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }

    fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(minicbor::to_vec(self).expect("writing to memory does not fail"))
    }

    fn number(&self, unit: UnitId) -> i64 {
        self.feeds
            .iter()
            .find(|position| position.unit == unit)
            .map_or(0, |position| position.number)
    }
}

/// `GET /v1/sync/pull?cursor=…&opening=…`
pub async fn pull(
    State(app): State<App>,
    phone: EnrolledPhone,
    Query(after): Query<After>,
) -> Answer<Response> {
    let page = page(&app, &phone, &after).await?;
    Ok(([(header::CONTENT_TYPE, wire::CBOR_SEQUENCE)], page).into_response())
}

/// One answer's worth of what comes after a cursor: a sequence of [`Pulled`] that ends in the next cursor. A push's answer
/// carries the same.
///
/// # Errors
/// `internal` when the database fails.
pub async fn page(app: &App, phone: &EnrolledPhone, after: &After) -> Answer<Vec<u8>> {
    let (epoch, _) = ledger::size(&app.database.read).await?;
    let cursor = Cursor::parse(&after.cursor).filter(|cursor| cursor.epoch == epoch);
    let end = checked_through(app, phone.unit).await?;
    // A cursor beyond the feed's end is of another history (a restored backup): start again.
    let scanned = cursor.map_or(0, |cursor| cursor.number(phone.unit));
    let scanned = if scanned > end { 0 } else { scanned };
    let through = page_end(app, phone.unit, scanned, end, PAGE_BYTES).await?;
    let own = own_actor(phone.phone, after);
    let mut answer = Sequence::default();
    let more = deliver(app, phone, &own, scanned, through, &mut answer).await?;
    let feeds = vec![Position {
        unit: phone.unit,
        number: through,
    }];
    answer.push(&Pulled::Cursor(Cursor { epoch, feeds }.to_text(), more));
    Ok(answer.0)
}

/// The actor of the asking phone's present opening, as rows hold it. A word that is no actor when the phone did not say.
fn own_actor(phone: PhoneId, after: &After) -> String {
    after.opening.map_or_else(
        || "nobody".to_owned(),
        |opening| hex::encode(Actor { phone, opening }.to_bytes()),
    )
}

/// Up to which entry one answer goes: so many entries, or so many bytes of changes.
async fn page_end(
    app: &App,
    unit: UnitId,
    scanned: i64,
    end: i64,
    limit_bytes: i64,
) -> Result<i64, sqlx::Error> {
    let rows = sqlx::query(
        "select e.number, coalesce(length(c.bytes), d.size_bytes, 0) from entry e \
         left join change c on c.document_id = e.document_id and c.hash = e.change_hash \
         left join document d on d.document_id = e.document_id \
         where e.unit_id = $1 and e.number > $2 and e.number <= $3 order by e.number limit $4",
    )
    .bind(unit.to_string())
    .bind(scanned)
    .bind(end)
    .bind(PAGE)
    .fetch_all(&app.database.read)
    .await?;
    let mut bytes = 0;
    let mut through = scanned;
    for row in &rows {
        bytes += row.get::<i64, _>(1);
        if bytes > limit_bytes && through > scanned {
            break;
        }
        through = row.get(0);
    }
    Ok(through)
}

/// Up to where a unit's feed may be served; nothing for a unit without a feed.
async fn checked_through(app: &App, unit: UnitId) -> Result<i64, sqlx::Error> {
    let row = sqlx::query("select checked_through from feed where unit_id = $1")
        .bind(unit.to_string())
        .fetch_optional(&app.database.read)
        .await?;
    Ok(row.map_or(0, |row| row.get(0)))
}

#[derive(Default)]
struct Sequence(Vec<u8>);

impl Sequence {
    fn push(&mut self, item: &Pulled) {
        minicbor::encode(item, &mut self.0).expect("writing to memory does not fail");
    }
}

/// Puts what this person may read of entries `scanned + 1 ..= through` into the answer. True if there is more behind.
async fn deliver(
    app: &App,
    phone: &EnrolledPhone,
    own: &str,
    scanned: i64,
    through: i64,
    answer: &mut Sequence,
) -> Result<bool, sqlx::Error> {
    let entries = sqlx::query(
        "select number, type, document_id, change_hash from entry \
         where unit_id = $1 and number > $2 and number <= $3 and (person_id is null or person_id = $4) order by number",
    )
    .bind(phone.unit.to_string())
    .bind(scanned)
    .bind(through)
    .bind(phone.person.to_string())
    .fetch_all(&app.database.read)
    .await?;
    let mut changed: Vec<(DocumentId, BTreeSet<String>)> = Vec::new();
    for row in &entries {
        let id: DocumentId = row
            .get::<String, _>(2)
            .parse()
            .map_err(|_| stored::damaged("a document's id"))?;
        match row.get::<String, _>(1).as_str() {
            "grant" => whole(app, phone, own, id, answer).await?,
            "ungrant" => answer.push(&Pulled::Ungrant(id, phone.person)),
            "change" => {
                let hash: String = row.get(3);
                match changed.iter_mut().find(|(document, _)| *document == id) {
                    Some((_, hashes)) => {
                        hashes.insert(hash);
                    }
                    None => changed.push((id, BTreeSet::from([hash]))),
                }
            }
            _ => {}
        }
    }
    for (id, hashes) in changed {
        if let Some(document) = Readable::find(app, phone, id).await? {
            document.deliver(app, own, Some(&hashes), answer).await?;
        }
    }
    Ok(checked_through(app, phone.unit).await? > through)
}

/// A granted document with all it has, and the decisions about it.
async fn whole(
    app: &App,
    phone: &EnrolledPhone,
    own: &str,
    id: DocumentId,
    answer: &mut Sequence,
) -> Result<(), sqlx::Error> {
    let review = Key::review(phone.unit, id).document();
    for id in [id, review] {
        if let Some(document) = Readable::find(app, phone, id).await? {
            document.deliver(app, own, None, answer).await?;
        }
    }
    Ok(())
}

/// A document that this person may read.
struct Readable {
    id: DocumentId,
    key: Key,
    wrapped_key: Vec<u8>,
}

impl Readable {
    async fn find(
        app: &App,
        phone: &EnrolledPhone,
        id: DocumentId,
    ) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query(
            "select kind, name, wrapped_key from document where document_id = $1 and unit_id = $2",
        )
        .bind(id.to_string())
        .bind(phone.unit.to_string())
        .fetch_optional(&app.database.read)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let kind: Kind = row
            .get::<String, _>(0)
            .parse()
            .map_err(|_| stored::damaged("a document's kind"))?;
        let key = Key {
            kind,
            unit: phone.unit,
            name: row.get(1),
        };
        let readable = Self {
            id,
            key,
            wrapped_key: row.get(2),
        };
        Ok(may_read(app, phone, &readable.key)
            .await?
            .then_some(readable))
    }

    /// The document's name, then its checked changes (only `only` if given) and their seals; nothing of the actor `own`, and no
    /// name if nothing follows it.
    async fn deliver(
        &self,
        app: &App,
        own: &str,
        only: Option<&BTreeSet<String>>,
        answer: &mut Sequence,
    ) -> Result<(), sqlx::Error> {
        let mut items = self.changes(app, own, only).await?;
        items.extend(self.seals(app, own, only).await?);
        if items.is_empty() {
            return Ok(());
        }
        answer.push(&Pulled::Document(WireKey::from(&self.key)));
        items.iter().for_each(|item| answer.push(item));
        Ok(())
    }

    async fn changes(
        &self,
        app: &App,
        own: &str,
        only: Option<&BTreeSet<String>>,
    ) -> Result<Vec<Pulled>, sqlx::Error> {
        let vault_key = app
            .vault
            .key(&self.id.to_string(), &self.wrapped_key)
            .map_err(|_| stored::damaged("a document's key"))?;
        let rows = sqlx::query(
            "select hash, bytes from change where document_id = $1 and state = 'checked' and actor <> $2 order by number",
        )
        .bind(self.id.to_string())
        .bind(own)
        .fetch_all(&app.database.read)
        .await?;
        let mut changes = Vec::with_capacity(rows.len());
        for row in rows {
            let text: String = row.get(0);
            if only.is_some_and(|only| !only.contains(&text)) {
                continue;
            }
            let hash = parse_hashes(&text)
                .pop()
                .ok_or_else(|| stored::damaged("a change's hash"))?;
            let bytes = stored::open(&vault_key, hash, &row.get::<Vec<u8>, _>(1))?;
            changes.push(Pulled::Change(bytes));
        }
        Ok(changes)
    }

    async fn seals(
        &self,
        app: &App,
        own: &str,
        only: Option<&BTreeSet<String>>,
    ) -> Result<Vec<Pulled>, sqlx::Error> {
        let rows = sqlx::query(
            "select s.change_hash, s.signer, s.signature from seal s left join change c \
             on c.document_id = s.document_id and c.hash = s.change_hash \
             where s.document_id = $1 and coalesce(c.actor, '') <> $2",
        )
        .bind(self.id.to_string())
        .bind(own)
        .fetch_all(&app.database.read)
        .await?;
        rows.iter()
            .filter(|row| only.is_none_or(|only| only.contains(row.get::<&str, _>(0))))
            .map(|row| seal_of(self.id, row).map(Pulled::Seal))
            .collect()
    }
}

/// The seal in a row of (change_hash, signer, signature).
///
/// # Errors
/// `Decode` for a damaged row.
pub fn seal_of(document: DocumentId, row: &sqlx::any::AnyRow) -> Result<Seal, sqlx::Error> {
    let signer: String = row.get(1);
    let signer = match (signer.parse::<PhoneId>(), signer.parse::<Sha256>()) {
        (Ok(phone), _) => Signer::Phone(phone),
        (_, Ok(name)) => Signer::Server(name),
        _ => return Err(stored::damaged("a seal's signer")),
    };
    Ok(Seal {
        document,
        change: row
            .get::<String, _>(0)
            .parse()
            .map_err(|_| stored::damaged("a seal's change"))?,
        signer,
        signature: row
            .get::<Vec<u8>, _>(2)
            .try_into()
            .map_err(|_| stored::damaged("a seal's signature"))?,
    })
}

/// A chief reads the unit; an officer the patrols of teams they are on, the unit's evidence and reference, and reviews of
/// what they may read.
async fn may_read(app: &App, phone: &EnrolledPhone, key: &Key) -> Result<bool, sqlx::Error> {
    if key.unit != phone.unit {
        return Ok(false);
    }
    let patrol = match key.kind {
        _ if phone.role.reads_the_unit() => return Ok(true),
        Kind::EvidenceFile | Kind::Reference => return Ok(true),
        Kind::PatrolLog => key.document(),
        Kind::Review => match key.reviewed() {
            Some(reviewed) => reviewed,
            None => return Ok(false),
        },
    };
    let row = sqlx::query(
        "select document_id from patrol_member where document_id = $1 and person_id = $2 \
         union select document_id from document where document_id = $1 and unit_id = $3 and kind = 'evidence-file'",
    )
    .bind(patrol.to_string())
    .bind(phone.person.to_string())
    .bind(phone.unit.to_string())
    .fetch_optional(&app.database.read)
    .await?;
    Ok(row.is_some())
}

#[cfg(test)]
mod tests;
