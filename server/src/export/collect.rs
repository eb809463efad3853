//! What a dossier is made of, out of the tables: documents with their opened changes, seals, files, and the leaves of all of it.
//!
//! Only what has a leaf below the head is taken: what came later is in the next dossier.

use super::proofs::Leaves;
use crate::{
    app::App,
    attachment::Held,
    own,
    problem::{Answer, Problem},
    row::parsed,
    run::{Opened, Run},
    stored,
    sync::delivery::seal_of,
    vault::Key as VaultKey,
};
use kieumau_core::{
    document::{Actor, Key, Kind},
    dossier::Selection,
    hash::Sha256,
    header,
    id::{DocumentId, PhoneId, UnitId},
    invalid::{Invalid, Rule},
    log::{head::TreeHead, leaf::Leaf},
    period::{Period, day_of},
    seal::{Seal, Signer},
};
use sqlx::{Row as _, any::AnyRow};
use std::collections::{BTreeMap, BTreeSet};

/// The most of changes that one file may hold, bytes: they are gathered in memory.
const CHANGES_LIMIT_BYTES: u64 = 256 << 20;
/// The most of attachments, bytes: they pass through, and a file of 16 GiB still fits on a stick.
const ATTACHMENTS_LIMIT_BYTES: u64 = 16 << 30;

/// Everything, still unsigned.
pub struct Gathered {
    /// Documents of which something was received.
    pub documents: Vec<GatheredDocument>,
    /// Whole files, where they lie.
    pub attachments: BTreeMap<Sha256, Held>,
    /// Leaves of all of it.
    pub leaves: Leaves,
    /// How documents, units and people are called, by id.
    pub names: BTreeMap<String, String>,
    changes_bytes: u64,
    attachments_bytes: u64,
}

/// One document.
pub struct GatheredDocument {
    /// Which.
    pub key: Key,
    /// Its accepted changes.
    pub changes: BTreeMap<Sha256, Vec<u8>>,
    /// Seals of these, by their writers.
    pub seals: Vec<Seal>,
    /// Those that the check did not let through.
    pub withheld: BTreeSet<Sha256>,
    /// Files that it names and that are here.
    pub attachments: BTreeSet<Sha256>,
    /// Files that it names and that are not here.
    pub missing: BTreeSet<Sha256>,
    /// The newest leaf of any of this.
    pub newest_leaf: u64,
}

/// A document's row.
struct Row {
    key: Key,
    vault_key: VaultKey,
}

/// Gathers what `selection` takes and what was decided about it, as of `head`.
///
/// # Errors
/// `invalid` at `selection` for more than fits into one file; `internal`.
pub async fn gather(app: &App, selection: Selection, head: TreeHead) -> Answer<Gathered> {
    let mut gathered = Gathered {
        documents: Vec::new(),
        attachments: BTreeMap::new(),
        leaves: Leaves::under(app, head).await?,
        names: BTreeMap::new(),
        changes_bytes: 0,
        attachments_bytes: 0,
    };
    let mut phones = BTreeSet::new();
    for id in selected(app, selection).await? {
        let Some(row) = find(app, id).await?.filter(|row| selection.takes(&row.key)) else {
            continue;
        };
        let reviews = Key::review(row.key.unit, id).document();
        // A review of what was never received would stand alone.
        if gathered.take(app, row, &mut phones).await?
            && let Some(review) = find(app, reviews).await?
        {
            gathered.take(app, review, &mut phones).await?;
        }
    }
    for phone in phones {
        gathered.take_phone(app, phone).await?;
    }
    Ok(gathered)
}

/// The documents that are asked for, without reviews.
async fn selected(app: &App, selection: Selection) -> Result<Vec<DocumentId>, sqlx::Error> {
    match selection {
        Selection::Patrol(id) | Selection::Evidence(id) => Ok(vec![id]),
        Selection::UnitPeriod(unit, period) => of_period(app, unit, period).await,
    }
}

/// A unit's evidence files, and its patrols that began on a day of the period. A patrol that nobody could read yet has no
/// beginning; it counts by when it was first received, so that it is not left out.
async fn of_period(
    app: &App,
    unit: UnitId,
    period: Period,
) -> Result<Vec<DocumentId>, sqlx::Error> {
    let rows = sqlx::query(
        "select document.document_id, document.kind, \
                coalesce(patrol.started_at_ms, document.first_received_at_ms) as began_at_ms \
         from document left join patrol on patrol.document_id = document.document_id \
         where document.unit_id = $1 and document.kind in ('patrol-log', 'evidence-file') \
         order by document.document_id",
    )
    .bind(unit.to_string())
    .fetch_all(&app.database.read)
    .await?;
    let mut ids = Vec::new();
    for row in rows {
        let kind: Kind = row
            .get::<String, _>(1)
            .parse()
            .map_err(|_| stored::damaged("a document's kind"))?;
        if kind != Kind::PatrolLog || period.contains(day_of(row.get(2))) {
            ids.push(parsed(&row, "document_id")?);
        }
    }
    Ok(ids)
}

async fn find(app: &App, id: DocumentId) -> Result<Option<Row>, sqlx::Error> {
    let row =
        sqlx::query("select kind, unit_id, name, wrapped_key from document where document_id = $1")
            .bind(id.to_string())
            .fetch_optional(&app.database.read)
            .await?;
    let Some(row) = row else { return Ok(None) };
    let kind = row
        .get::<String, _>(0)
        .parse()
        .map_err(|_| stored::damaged("a document's kind"))?;
    let key = Key {
        kind,
        unit: parsed(&row, "unit_id")?,
        name: row.get(2),
    };
    let vault_key = app
        .vault
        .key(&id.to_string(), &row.get::<Vec<u8>, _>(3))
        .map_err(|_| stored::damaged("a document's key"))?;
    Ok(Some(Row { key, vault_key }))
}

impl Gathered {
    /// Takes a document as far as the log goes; false if nothing of it is there.
    async fn take(&mut self, app: &App, row: Row, phones: &mut BTreeSet<PhoneId>) -> Answer<bool> {
        let mut document = GatheredDocument {
            key: row.key.clone(),
            changes: BTreeMap::new(),
            seals: Vec::new(),
            withheld: BTreeSet::new(),
            attachments: BTreeSet::new(),
            missing: BTreeSet::new(),
            newest_leaf: 0,
        };
        let writers = self.take_changes(app, &row, &mut document).await?;
        if document.changes.is_empty() {
            return Ok(false);
        }
        document.seals = seals(app, row.key.document(), &writers).await?;
        let server = own::actor(app).phone;
        phones.extend(writers.into_values().filter(|writer| *writer != server));
        self.take_attachments(app, &mut document).await?;
        let (id, unit) = (row.key.document().to_string(), row.key.unit.to_string());
        let title = "select title from patrol where document_id = $1";
        self.call(app, &id, title).await?;
        let name = "select name from unit where unit_id = $1";
        self.call(app, &unit, name).await?;
        self.documents.push(document);
        Ok(true)
    }

    /// Takes the changes whose leaf is below the head; who wrote each.
    async fn take_changes(
        &mut self,
        app: &App,
        row: &Row,
        document: &mut GatheredDocument,
    ) -> Answer<BTreeMap<Sha256, PhoneId>> {
        let id = row.key.document();
        let rows = sqlx::query(
            "select c.hash, c.earlier, c.number, c.state, (select l.position from leaf l where l.document_id = c.document_id \
             and l.through_number >= c.number order by l.through_number limit 1) as position, c.bytes \
             from change c where c.document_id = $1 and c.number is not null order by c.number",
        )
        .bind(id.to_string())
        .fetch_all(&app.database.read)
        .await?;
        let mut writers = BTreeMap::new();
        // Changes of one batch stand in one leaf.
        let mut batch: BTreeSet<Sha256> = BTreeSet::new();
        for found in rows {
            let run = Run::of(&found)?;
            // So do those of one row.
            let hash: Sha256 = parsed(&found, "hash")?;
            if !batch.contains(&hash) {
                let names = |leaf: &Leaf| {
                    let batch = leaf.batch();
                    batch.is_some_and(|(document, changes)| {
                        document == id && changes.contains(&hash)
                    })
                };
                let Some((position, leaf)) =
                    self.leaves.show(app, found.get("position"), names).await?
                else {
                    continue;
                };
                document.newest_leaf = document.newest_leaf.max(position);
                if let Some((_, changes)) = leaf.batch() {
                    batch = changes.iter().copied().collect();
                }
            }
            for Opened { hash, bytes, .. } in run.open(&row.vault_key)? {
                let actor = header::read(&bytes).map_err(Problem::internal)?.actor;
                let actor = Actor::from_slice(actor).ok_or(stored::damaged("a change's actor"))?;
                writers.insert(hash, actor.phone);
                if found.get::<String, _>("state") == "withheld" {
                    document.withheld.insert(hash);
                }
                self.changes_bytes += bytes.len() as u64;
                within(self.changes_bytes, CHANGES_LIMIT_BYTES)?;
                document.changes.insert(hash, bytes);
            }
        }
        Ok(writers)
    }

    /// Takes the files that the document names.
    async fn take_attachments(&mut self, app: &App, document: &mut GatheredDocument) -> Answer<()> {
        let unit = document.key.unit;
        let rows = sqlx::query(
            "select distinct attachment_use.sha256, attachment.leaf \
             from attachment_use left join attachment \
             on attachment.sha256 = attachment_use.sha256 and attachment.unit_id = $2 \
             where attachment_use.document_id = $1 order by attachment_use.sha256",
        )
        .bind(document.key.document().to_string())
        .bind(unit.to_string())
        .fetch_all(&app.database.read)
        .await?;
        for row in rows {
            let sha256: Sha256 = parsed(&row, "sha256")?;
            let names = |leaf: &Leaf| matches!(leaf, Leaf::Attachment { unit: of, sha256: is, .. } if *of == unit && *is == sha256);
            let shown = match row.get::<Option<i64>, _>(1) {
                Some(leaf) => self.leaves.show(app, leaf, names).await?,
                None => None,
            };
            let Some((position, _)) = shown else {
                document.missing.insert(sha256);
                continue;
            };
            document.newest_leaf = document.newest_leaf.max(position);
            document.attachments.insert(sha256);
            if !self.attachments.contains_key(&sha256) {
                let held = Held::find(&app.database, unit, sha256).await?;
                let held = held.ok_or(stored::damaged("an attachment's row"))?;
                self.attachments_bytes += held.size_bytes;
                within(self.attachments_bytes, ATTACHMENTS_LIMIT_BYTES)?;
                self.attachments.insert(sha256, held);
            }
        }
        Ok(())
    }

    /// Notes how the thing of this id is called, if `sql` finds it called something.
    async fn call(&mut self, app: &App, id: &str, sql: &'static str) -> Answer<()> {
        if self.names.contains_key(id) {
            return Ok(());
        }
        let name: Option<String> = sqlx::query_scalar(sql)
            .bind(id.to_owned())
            .fetch_optional(&app.database.read)
            .await?;
        self.names.extend(
            name.filter(|name| !name.is_empty())
                .map(|name| (id.to_owned(), name)),
        );
        Ok(())
    }

    /// Shows whose a phone is, and that it was revoked.
    async fn take_phone(&mut self, app: &App, phone: PhoneId) -> Answer<()> {
        let row = sqlx::query(
            "select enrolled_leaf, revoked_leaf, person_id from phone where phone_id = $1",
        )
        .bind(phone.to_string())
        .fetch_one(&app.database.read)
        .await?;
        let enrolled =
            |leaf: &Leaf| matches!(leaf, Leaf::Enrolled { phone: of, .. } if *of == phone);
        self.leaves.show(app, row.get(0), enrolled).await?;
        let name = "select name from person where person_id = $1";
        self.call(app, row.get(2), name).await?;
        if let Some(position) = row.get::<Option<i64>, _>(1) {
            let revoked =
                |leaf: &Leaf| matches!(leaf, Leaf::Revoked { phone: of, .. } if *of == phone);
            self.leaves.show(app, position, revoked).await?;
        }
        Ok(())
    }
}

fn within(bytes: u64, limit: u64) -> Result<(), Invalid> {
    if bytes > limit {
        return Err(Invalid::new("selection", Rule::TooLarge));
    }
    Ok(())
}

/// The seals of these changes by those who wrote them. Others prove nothing about them.
async fn seals(
    app: &App,
    id: DocumentId,
    writers: &BTreeMap<Sha256, PhoneId>,
) -> Result<Vec<Seal>, sqlx::Error> {
    let rows: Vec<AnyRow> =
        sqlx::query("select change_hash, signer, signature from seal where document_id = $1")
            .bind(id.to_string())
            .fetch_all(&app.database.read)
            .await?;
    let mut seals = Vec::new();
    for row in rows {
        let seal = seal_of(id, &row)?;
        let signer = match seal.signer {
            Signer::Phone(phone) => Some(phone),
            Signer::Server(name) => PhoneId::from_slice(&name.as_bytes()[..16]),
        };
        if signer.is_some() && writers.get(&seal.change).copied() == signer {
            seals.push(seal);
        }
    }
    Ok(seals)
}
