//! What a group of pushes is decided upon: feeds, phones and documents, held until the transaction ends, and what the arrived
//! changes touch.
//!
//! Read are the arrived changes themselves, what they depend on, the newest change of each of their actors, and what waits.
//! Never the whole history: a document of 10,000 changes takes one more as fast as a new one. Only where something is asked about that no row
//! is named after, the hashes within its document's rows are read too. What one change needs to know is
//! asked in one round, with the documents; a first upload first asks which documents there are, for of a new one nothing is known.

use super::{PreparedDocument, PreparedPush, opened::Opened};
use crate::{
    app::App,
    database::{Tx, holding},
    feed::{self, Feeds},
    insert::{Insert, Value},
    round::{Answers, Asked, Round},
    row::parsed,
    run,
    stored::{self, StoredDocument},
};
use kieumau_core::{
    hash::Sha256,
    id::{DocumentId, PhoneId, UnitId},
    log::admission::Candidate,
};
use sqlx::{Row as _, any::AnyRow};
use std::collections::{BTreeMap, BTreeSet};

/// Hashes that are asked about in one round with the documents.
const EARLY: usize = 64;

/// What is held and known.
pub(super) struct Held<'a> {
    pub(super) feeds: Feeds,
    /// Phones that were revoked by now, of those that wrote what arrived or waits.
    pub(super) revoked: BTreeSet<PhoneId>,
    pub(super) documents: BTreeMap<DocumentId, Opened<'a>>,
}

/// Holds the feeds, phones and documents of these pushes, in this order, and reads what the pushes touch.
///
/// # Errors
/// What the database says.
pub(super) async fn hold<'a>(
    app: &App,
    tx: &mut Tx,
    pushes: &[&'a PreparedPush],
) -> Result<Held<'a>, sqlx::Error> {
    let arrived: Vec<&'a PreparedDocument> =
        pushes.iter().flat_map(|push| &push.documents).collect();
    let units: BTreeSet<UnitId> = arrived.iter().map(|document| document.key.unit).collect();
    let ids: BTreeSet<DocumentId> = arrived
        .iter()
        .map(|document| document.key.document())
        .collect();
    let mut wanted = Wanted::default();
    for document in &arrived {
        wanted.add(document.key.document(), candidates(document));
    }
    let writers = arrived
        .iter()
        .flat_map(|document| candidates(document))
        .filter_map(Candidate::writer);
    let mut round = Round::default();
    let feeds = round.ask(feed::ask(tx, &units));
    let phones = round.ask(revoked_among(tx, writers.collect()));
    let stored = round.ask(StoredDocument::ask(tx, &ids));
    let early = (wanted.hashes.len() <= EARLY).then(|| wanted.ask(&mut round));
    let mut answers = round.run(tx).await?;
    let mut held = StoredDocument::all_of(&app.vault, &answers.take(stored))?;
    let mut documents = BTreeMap::new();
    for document in &arrived {
        let id = document.key.document();
        documents.entry(id).or_insert_with(|| {
            let stored = held.remove(&id);
            Opened::new(stored.unwrap_or_else(|| StoredDocument::new(&app.vault, &document.key)))
        });
    }
    match early {
        Some(asked) => asked.hear(&mut answers, &mut documents)?,
        None => {
            let is_old = |id: &DocumentId| {
                documents
                    .get(id)
                    .is_some_and(|opened: &Opened<'_>| !opened.stored.is_new())
            };
            wanted.hashes.retain(|(id, _)| is_old(id));
            wanted.actors.retain(|(id, _)| is_old(id));
            wanted.read(tx, &mut documents).await?;
        }
    }
    let mut revoked = phones_of(&answers.take(phones))?;
    revoked.extend(waiting(tx, &mut documents).await?);
    within_rows(tx, &arrived, &mut documents).await?;
    let feeds = feed::found(tx, &units, &answers.take(feeds)).await?;
    Ok(Held {
        feeds,
        revoked,
        documents,
    })
}

fn candidates(document: &PreparedDocument) -> impl Iterator<Item = &Candidate> {
    document.changes.iter().map(|change| &change.candidate)
}

/// Reads which changes lie within rows that are named after others, where one of them may be asked about: a push that came before, or a change
/// that stands on a state which was nobody's newest.
async fn within_rows(
    tx: &mut Tx,
    arrived: &[&PreparedDocument],
    documents: &mut BTreeMap<DocumentId, Opened<'_>>,
) -> Result<(), sqlx::Error> {
    let mut coming: BTreeMap<DocumentId, Vec<&Candidate>> = BTreeMap::new();
    for document in arrived {
        let candidates = coming.entry(document.key.document()).or_default();
        candidates.extend(self::candidates(document));
    }
    let asks = documents.iter().filter(|(id, opened)| {
        let coming = coming.get(id).into_iter().flatten();
        opened.asks_within(coming.copied())
    });
    let ids: BTreeSet<DocumentId> = asks.map(|(id, _)| *id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    for (id, within) in run::within(tx, &ids).await? {
        if let Some(opened) = documents.get_mut(&id) {
            opened.known.held.extend(within);
        }
    }
    Ok(())
}

/// Reads what waits in these documents and what that touches; the phones among its writers that are revoked by now.
async fn waiting(
    tx: &mut Tx,
    documents: &mut BTreeMap<DocumentId, Opened<'_>>,
) -> Result<BTreeSet<PhoneId>, sqlx::Error> {
    let mut asked = Insert::new(
        "with wanted (document_id) as (values",
        1,
        ") select c.document_id, c.hash, c.actor, c.seq, c.deps, cast(length(c.bytes) as bigint) from change c \
         where c.document_id in (select document_id from wanted) and c.state = 'waiting'",
    );
    for id in documents
        .iter()
        .filter(|(_, opened)| opened.stored.waits)
        .map(|(id, _)| id)
    {
        asked.push([Value::text(id)]);
    }
    let mut wanted = Wanted::default();
    let mut writers = BTreeSet::new();
    for row in asked.fetch(tx).await? {
        let candidate = Candidate {
            hash: parsed(&row, "hash")?,
            actor: row.get::<String, _>(2).into_bytes(),
            seq: row.get::<i64, _>(3).unsigned_abs(),
            deps: stored::parse_hashes(&row.get::<String, _>(4)),
        };
        let id = parsed(&row, "document_id")?;
        wanted.add(id, [&candidate].into_iter());
        writers.extend(candidate.writer());
        if let Some(opened) = documents.get_mut(&id) {
            opened.waiting_bytes.insert(candidate.hash, row.get(5));
            opened.waited.insert(candidate.hash, candidate);
        }
    }
    let revoked = revoked_among(tx, writers).fetch(tx).await?;
    wanted.read(tx, documents).await?;
    phones_of(&revoked)
}

/// Asks which of these phones are revoked by now. Their rows are held until the transaction ends: a revocation that comes later has
/// its leaf later, and what is in the log before it stays valid.
fn revoked_among(tx: &Tx, phones: BTreeSet<PhoneId>) -> Insert {
    let mut asked = Insert::new(
        "with wanted (phone_id) as (values",
        1,
        format!(
            ") select p.phone_id, p.revoked_at_ms from phone p where p.phone_id in (select phone_id from wanted) \
             order by p.phone_id{}",
            holding(tx, "p")
        ),
    );
    for phone in phones {
        asked.push([Value::text(phone)]);
    }
    asked
}

fn phones_of(rows: &[AnyRow]) -> Result<BTreeSet<PhoneId>, sqlx::Error> {
    let revoked = rows
        .iter()
        .filter(|row| row.get::<Option<i64>, _>(1).is_some());
    revoked.map(|row| parsed(row, "phone_id")).collect()
}

/// What has to be looked up: hashes that may be held, and actors.
#[derive(Default)]
struct Wanted {
    hashes: BTreeSet<(DocumentId, Sha256)>,
    actors: BTreeSet<(DocumentId, Vec<u8>)>,
}

/// What was asked about them.
struct WantedAsked {
    held: Asked,
    newest: Asked,
}

impl Wanted {
    fn add<'c>(&mut self, id: DocumentId, candidates: impl Iterator<Item = &'c Candidate>) {
        for candidate in candidates {
            self.actors.insert((id, candidate.actor.clone()));
            let hashes = candidate.deps.iter().chain([&candidate.hash]);
            self.hashes.extend(hashes.map(|hash| (id, *hash)));
        }
    }

    fn ask(&self, round: &mut Round) -> WantedAsked {
        let mut held = Insert::new(
            "with wanted (document_id, hash) as (values",
            2,
            ") select distinct c.document_id, c.hash from wanted w \
             join change c on c.document_id = w.document_id and c.hash = w.hash where c.state <> 'waiting'",
        );
        for (id, hash) in &self.hashes {
            held.push([Value::text(id), Value::text(hash)]);
        }
        let mut newest = Insert::new(
            "with wanted (document_id, actor) as (values",
            2,
            ") select distinct c.document_id, c.actor, c.seq, c.hash from wanted w \
             join change c on c.document_id = w.document_id and c.actor = w.actor and c.number is not null \
             and c.seq = (select max(n.seq) from change n \
             where n.document_id = w.document_id and n.actor = w.actor and n.number is not null)",
        );
        for (id, actor) in &self.actors {
            let actor = String::from_utf8_lossy(actor).into_owned();
            newest.push([Value::text(id), actor.into()]);
        }
        WantedAsked {
            held: round.ask(held),
            newest: round.ask(newest),
        }
    }

    async fn read(
        &self,
        tx: &mut Tx,
        documents: &mut BTreeMap<DocumentId, Opened<'_>>,
    ) -> Result<(), sqlx::Error> {
        let mut round = Round::default();
        let asked = self.ask(&mut round);
        asked.hear(&mut round.run(tx).await?, documents)
    }
}

impl WantedAsked {
    fn hear(
        self,
        answers: &mut Answers,
        documents: &mut BTreeMap<DocumentId, Opened<'_>>,
    ) -> Result<(), sqlx::Error> {
        for row in answers.take(self.held) {
            if let Some(opened) = documents.get_mut(&parsed(&row, "document_id")?) {
                opened.known.held.insert(parsed(&row, "hash")?);
            }
        }
        for row in answers.take(self.newest) {
            if let Some(opened) = documents.get_mut(&parsed(&row, "document_id")?) {
                let newest = (row.get::<i64, _>(2).unsigned_abs(), parsed(&row, "hash")?);
                let actor = row.get::<String, _>(1).into_bytes();
                opened.known.newest.insert(actor, newest);
            }
        }
        Ok(())
    }
}
