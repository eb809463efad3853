//! What a pull hands out: documents that a person may read, their checked changes and the seals on them.
//!
//! What there is to hand out is decided in `core::log::paging`; here it is looked up, many documents in one statement. What the
//! asking phone wrote in its present opening stays here: it cannot have lost that.

use crate::{
    app::App,
    database::Tx,
    insert::{Insert, Value},
    row::{parsed, parsed_or_null},
    run::Run,
    snapshot, stored,
    token::EnrolledPhone,
};
use kieumau_core::{
    document::{Key, Kind},
    hash::Sha256,
    id::{DocumentId, PersonId, PhoneId},
    log::{paging, rights},
    seal::{Seal, Signer},
    wire::{Pulled, WireKey},
};
use sqlx::{Row as _, any::AnyRow};
use std::collections::{BTreeMap, BTreeSet};

/// Items of an answer, one after the other.
#[derive(Default)]
pub struct Sequence(pub Vec<u8>);

impl Sequence {
    /// One more item.
    pub fn push(&mut self, item: &Pulled) {
        minicbor::encode(item, &mut self.0).expect("writing to memory does not fail");
    }
}

/// A document that the asking person may read.
pub struct Readable {
    key: Key,
    wrapped_key: Vec<u8>,
    /// Heads of what passed, as text.
    checked_heads: String,
}

/// Which of these documents the phone's person may read, and how to open them.
///
/// # Errors
/// What the database says.
pub async fn readable(
    tx: &mut Tx,
    phone: &EnrolledPhone,
    ids: &BTreeSet<DocumentId>,
) -> Result<BTreeMap<DocumentId, Readable>, sqlx::Error> {
    let mut wanted = Insert::new(
        "with wanted (document_id, unit_id, person_id) as (values",
        3,
        ") select d.document_id, d.kind, d.name, d.wrapped_key, d.checked_heads, m.person_id, e.document_id as about \
         from (select distinct document_id, unit_id, person_id from wanted) w \
         join document d on d.document_id = w.document_id and d.unit_id = w.unit_id \
         left join patrol_member m on m.person_id = w.person_id \
         and m.document_id = case when d.kind = 'review' then d.name else d.document_id end \
         left join document e on d.kind = 'review' and e.document_id = d.name and e.unit_id = w.unit_id \
         and e.kind = 'evidence-file'",
    );
    for id in ids {
        wanted.push([
            Value::text(id),
            Value::text(phone.unit),
            Value::text(phone.person),
        ]);
    }
    let mut readable = BTreeMap::new();
    for row in wanted.fetch(tx).await? {
        let kind: Kind = parsed(&row, "kind")?;
        let member = parsed_or_null::<PersonId>(&row, "person_id")?.is_some();
        let about_evidence = parsed_or_null::<DocumentId>(&row, "about")?.is_some();
        if rights::may_read(phone.role, kind, member, about_evidence) {
            let key = Key {
                kind,
                unit: phone.unit,
                name: row.get(2),
            };
            let found = Readable {
                key,
                wrapped_key: row.get(3),
                checked_heads: row.get(4),
            };
            readable.insert(parsed(&row, "document_id")?, found);
        }
    }
    Ok(readable)
}

/// Documents, each with all its checked changes or with some of them.
#[derive(Default)]
pub struct Deliveries {
    order: Vec<DocumentId>,
    whole: BTreeSet<DocumentId>,
    single: BTreeSet<(DocumentId, Sha256)>,
    /// What goes whole may go as a snapshot.
    snapshots: bool,
}

impl Deliveries {
    /// None yet. `snapshots`: what goes whole may go as one.
    pub fn new(snapshots: bool) -> Self {
        Self {
            snapshots,
            ..Self::default()
        }
    }

    /// A document with all it has.
    pub fn whole(&mut self, document: DocumentId) {
        self.order.push(document);
        self.whole.insert(document);
    }

    /// These changes of a document.
    pub fn changes(&mut self, document: DocumentId, hashes: BTreeSet<Sha256>) {
        self.order.push(document);
        self.single
            .extend(hashes.into_iter().map(|hash| (document, hash)));
    }

    /// Puts it all into the answer: of each document its name, its changes and their seals; nothing of the actor `own`, and no
    /// name if nothing follows it.
    ///
    /// # Errors
    /// What the database says; `Decode` for what does not open at rest.
    pub async fn put(
        self,
        app: &App,
        tx: &mut Tx,
        own: &str,
        readable: &BTreeMap<DocumentId, Readable>,
        answer: &mut Sequence,
    ) -> Result<(), sqlx::Error> {
        let mut snapshots = if self.snapshots {
            snapshot::read(tx, &self.whole).await?
        } else {
            BTreeMap::new()
        };
        // Most say all there is: nothing came after them.
        let beyond = self.whole.iter().filter_map(|id| {
            let snapshot = snapshots.get(id).map(|it| (it.heads.as_str(), it.through));
            let checked_heads = readable.get(id).map_or("", |it| it.checked_heads.as_str());
            Some((*id, paging::beyond(snapshot, checked_heads)?))
        });
        let beyond = beyond.collect();
        let mut changes = self.read_changes(tx, own, &beyond).await?;
        let mut seals = self.read_seals(tx, own).await?;
        for document in &self.order {
            let Some(found) = readable.get(document) else {
                continue;
            };
            let changes = changes.remove(document).unwrap_or_default();
            let seals = seals.remove(document).unwrap_or_default();
            let snapshot = snapshots.remove(document);
            if changes.is_empty() && seals.is_empty() && snapshot.is_none() {
                continue;
            }
            let key = app
                .vault
                .key(&document.to_string(), &found.wrapped_key)
                .map_err(|_| stored::damaged("a document's key"))?;
            answer.push(&Pulled::Document(WireKey::from(&found.key)));
            if let Some(snapshot) = snapshot {
                answer.push(&Pulled::Snapshot(snapshot.open(&key, *document)?));
            }
            for run in changes.into_values() {
                for change in run.open(&key)? {
                    answer.push(&Pulled::Change(change.bytes));
                }
            }
            for seal in seals {
                answer.push(&Pulled::Seal(seal));
            }
        }
        Ok(())
    }

    /// Rows of changes as they lie at rest, in the order of their numbers, which is one in which each comes after what it depends on.
    async fn read_changes(
        &self,
        tx: &mut Tx,
        own: &str,
        beyond: &BTreeMap<DocumentId, i64>,
    ) -> Result<BTreeMap<DocumentId, BTreeMap<i64, Run>>, sqlx::Error> {
        let whole = ") select c.document_id, c.hash, c.earlier, c.number, c.bytes \
             from (select distinct document_id, beyond, own from wanted) w join change c on c.document_id = w.document_id \
             where c.state = 'checked' and c.actor <> w.own and coalesce(c.entered, c.number) > w.beyond";
        let single = ") select c.document_id, c.hash, c.earlier, c.number, c.bytes \
             from (select distinct document_id, hash, own from wanted) w \
             join change c on c.document_id = w.document_id and c.hash = w.hash \
             where c.state = 'checked' and c.actor <> w.own";
        let mut changes = BTreeMap::<_, BTreeMap<_, _>>::new();
        for row in self.fetch(tx, own, whole, single, beyond).await? {
            changes
                .entry(parsed(&row, "document_id")?)
                .or_default()
                .insert(row.get("number"), Run::of(&row)?);
        }
        Ok(changes)
    }

    /// Seals of what is served: of a document of which all is withheld a seal would be the only sign, and a phone would list an
    /// empty patrol.
    async fn read_seals(
        &self,
        tx: &mut Tx,
        own: &str,
    ) -> Result<BTreeMap<DocumentId, Vec<Seal>>, sqlx::Error> {
        let whole = ") select s.change_hash, s.signer, s.signature, s.document_id, c.hash \
             from (select distinct document_id, beyond, own from wanted) w join seal s on s.document_id = w.document_id \
             left join change c on c.document_id = s.document_id and c.hash = s.change_hash \
             where c.hash is null or (c.state = 'checked' and c.actor <> w.own)";
        let single = ") select s.change_hash, s.signer, s.signature, s.document_id, c.hash \
             from (select distinct document_id, hash, own from wanted) w \
             join seal s on s.document_id = w.document_id and s.change_hash = w.hash \
             join change c on c.document_id = s.document_id and c.hash = s.change_hash and c.state = 'checked' \
             where c.actor <> w.own";
        let mut seals = BTreeMap::<_, Vec<_>>::new();
        // Of a snapshot too: its changes are sealed like others.
        let all = self.whole.iter().map(|id| (*id, 0)).collect();
        let mut unnamed = Vec::new();
        for row in self.fetch(tx, own, whole, single, &all).await? {
            let document = parsed(&row, "document_id")?;
            let seal = seal_of(document, &row)?;
            if row.get::<Option<String>, _>("hash").is_some() {
                seals.entry(document).or_default().push(seal);
            } else {
                unnamed.push(seal);
            }
        }
        if !unnamed.is_empty() {
            let within = within_served(tx, own, &unnamed).await?;
            for seal in unnamed {
                if within.contains(&(seal.document, seal.change)) {
                    seals.entry(seal.document).or_default().push(seal);
                }
            }
        }
        Ok(seals)
    }

    /// Asks `whole` about these documents beyond their numbers and `single` about the others' changes.
    async fn fetch(
        &self,
        tx: &mut Tx,
        own: &str,
        whole: &str,
        single: &str,
        beyond: &BTreeMap<DocumentId, i64>,
    ) -> Result<Vec<AnyRow>, sqlx::Error> {
        let mut wanted = Insert::new(
            "with wanted (document_id, beyond, own) as (values",
            3,
            whole,
        );
        for (document, number) in beyond {
            wanted.push([Value::text(document), (*number).into(), own.into()]);
        }
        let mut rows = wanted.fetch(tx).await?;
        let mut wanted = Insert::new("with wanted (document_id, hash, own) as (values", 3, single);
        for (document, hash) in &self.single {
            wanted.push([Value::text(document), Value::text(hash), own.into()]);
        }
        rows.extend(wanted.fetch(tx).await?);
        Ok(rows)
    }
}

/// The changes of these seals' documents that are served and lie within rows: of one within a row a seal came later than the row.
async fn within_served(
    tx: &mut Tx,
    own: &str,
    seals: &[Seal],
) -> Result<BTreeSet<(DocumentId, Sha256)>, sqlx::Error> {
    let mut asked = Insert::new(
        "with wanted (document_id, own) as (values",
        2,
        ") select c.document_id, c.earlier from (select distinct document_id, own from wanted) w \
         join change c on c.document_id = w.document_id \
         where c.change_count > 1 and c.state = 'checked' and c.actor <> w.own",
    );
    let ids: BTreeSet<DocumentId> = seals.iter().map(|seal| seal.document).collect();
    for id in ids {
        asked.push([Value::text(id), own.into()]);
    }
    let mut within = BTreeSet::new();
    for row in asked.fetch(tx).await? {
        let document = parsed(&row, "document_id")?;
        let earlier = stored::parse_hashes(row.get(1)).into_iter();
        within.extend(earlier.map(|hash| (document, hash)));
    }
    Ok(within)
}

/// The seal in a row of (change_hash, signer, signature).
///
/// # Errors
/// `Decode` for a damaged row.
pub fn seal_of(document: DocumentId, row: &AnyRow) -> Result<Seal, sqlx::Error> {
    let signer: String = row.get(1);
    let signer = match (signer.parse::<PhoneId>(), signer.parse::<Sha256>()) {
        (Ok(phone), _) => Signer::Phone(phone),
        (_, Ok(name)) => Signer::Server(name),
        _ => return Err(stored::damaged("a seal's signer")),
    };
    Ok(Seal {
        document,
        change: parsed(row, "change_hash")?,
        signer,
        signature: row
            .get::<Vec<u8>, _>(2)
            .try_into()
            .map_err(|_| stored::damaged("a seal's signature"))?,
    })
}
