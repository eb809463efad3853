//! The server's own edits: decisions of supervisors and what is published to phones. Made in a worker, sealed with the server's
//! key, admitted like any other change, and projected in the same transaction, so that a page never shows yesterday's decision.

use crate::{
    app::App,
    audit::{self, Deed},
    checker, clock,
    database::Tx,
    feed,
    ledger::Ledger,
    problem::{Answer, Problem},
    projection::Rows,
    run::{self, Run},
    stored::{self, StoredDocument},
    worker::{self, Bytes, Edit, EditJob, Edited, Job},
};
use kieumau_core::{
    document::{Actor, Key},
    hash::Sha256,
    header,
    id::{PersonId, PhoneId},
    jws,
    log::leaf::Leaf,
    review::heads_text,
    seal::Signer,
};
use sqlx::Row as _;
use std::collections::BTreeSet;

/// The server as an actor: 16 bytes of its seal key's fingerprint, and eight drawn at the start of this process.
pub fn actor(app: &App) -> Actor {
    let fingerprint = jws::fingerprint(&app.keys.seal.verifying_key());
    let id = PhoneId::from_slice(&fingerprint.as_bytes()[..16]).expect("sixteen bytes are an id");
    Actor {
        phone: id,
        opening: app.opening,
    }
}

/// A change of the server's own, made by a worker and not written yet.
pub struct OwnChange {
    key: Key,
    /// The document's heads that it was made on.
    made_on: String,
    edited: Edited,
}

/// Has a worker make `edit` of the document of `key`. No transaction is held over the worker's time: SQLite has one writer.
///
/// # Errors
/// `invalid` when the edit breaks a rule; `internal` when the database or the worker fails.
pub async fn make(app: &App, key: &Key, person: PersonId, edit: Edit) -> Answer<OwnChange> {
    let (made_on, held) = held(app, key).await?;
    let job = EditJob {
        key: serde_json::to_string(key).map_err(Problem::internal)?,
        held,
        actor: actor(app).to_bytes(),
        person,
        at_ms: clock::now_ms(),
        random: rand::random(),
        edit,
    };
    match app
        .workers
        .run(&Job::Edit(job))
        .await
        .map_err(Problem::internal)?
    {
        worker::Answer::Edited(edited) => Ok(OwnChange {
            key: key.clone(),
            made_on,
            edited,
        }),
        worker::Answer::Invalid(json) => Err(Problem::invalid(
            serde_json::from_str(&json).map_err(Problem::internal)?,
        )),
        _ => Err(Problem::internal(std::io::Error::other(
            "the worker could not edit",
        ))),
    }
}

/// Writes what [`make`] made, with the deed's audit row, in the caller's transaction.
///
/// # Errors
/// `changed-meanwhile` when the document is no longer what the change was made on: make it anew. `internal` when the database
/// fails. Nothing was written then.
pub async fn write(app: &App, tx: &mut Tx, change: &OwnChange, deed: Deed<'_>) -> Answer<()> {
    let (key, edited) = (&change.key, &change.edited);
    let now_ms = clock::now_ms();
    let mut feeds = feed::hold(tx, &BTreeSet::from([key.unit])).await?;
    let stored = match StoredDocument::hold(tx, &app.vault, key.document()).await? {
        Some(stored) => stored,
        None => StoredDocument::create(tx, &app.vault, key, now_ms).await?,
    };
    if stored.heads != change.made_on {
        return Err(Problem::changed());
    }
    let rows: Rows = serde_json::from_str(&edited.rows).map_err(Problem::internal)?;
    if let Some(Bytes(bytes)) = &edited.change {
        let (hash, number) = put(app, tx, &mut feeds, &stored, bytes, now_ms).await?;
        feed::store(tx, feeds).await?;
        seal(app, tx, key, hash, number, now_ms).await?;
        let size = i64::try_from(bytes.len()).map_err(Problem::internal)?;
        sqlx::query(
            "update document set heads = $1, size_bytes = size_bytes + $2 where document_id = $3",
        )
        .bind(heads_text(&edited.heads))
        .bind(size)
        .bind(key.document().to_string())
        .execute(&mut **tx)
        .await?;
        checker::write(tx, key, &edited.heads, &rows).await?;
        feed::advance(tx, key.unit).await?;
    }
    audit::write(tx, now_ms, deed).await?;
    Ok(())
}

/// The document's heads and changes as they are now; nothing for one that is not there yet.
///
/// # Errors
/// What the database says.
pub async fn held(app: &App, key: &Key) -> Result<(String, Vec<Bytes>), sqlx::Error> {
    let id = key.document().to_string();
    let row = sqlx::query("select heads, wrapped_key from document where document_id = $1")
        .bind(&id)
        .fetch_optional(&app.database.read)
        .await?;
    let Some(row) = row else {
        return Ok((String::new(), Vec::new()));
    };
    let vault_key = app
        .vault
        .key(&id, &row.get::<Vec<u8>, _>(1))
        .map_err(|_| stored::damaged("a document's key"))?;
    let rows =
        sqlx::query("select hash, earlier, number, bytes from change where document_id = $1 and state = 'checked' order by number")
            .bind(&id)
            .fetch_all(&app.database.read)
            .await?;
    let mut changes = Vec::with_capacity(rows.len());
    for run in &rows {
        let opened = Run::of(run)?.open(&vault_key)?;
        changes.extend(opened.into_iter().map(|change| Bytes(change.bytes)));
    }
    Ok((row.get(0), changes))
}

/// Stores the server's change as checked: the worker that wrote it has understood it.
async fn put(
    app: &App,
    tx: &mut Tx,
    feeds: &mut feed::Feeds,
    stored: &StoredDocument,
    bytes: &[u8],
    now_ms: i64,
) -> Answer<(Sha256, i64)> {
    let header = header::read(bytes).map_err(Problem::internal)?;
    let id = stored.key.document();
    let number = feeds.append(stored.key.unit, feed::Entry::Change(id, header.hash))?;
    let deps: Vec<String> = header.deps.iter().map(Sha256::to_string).collect();
    sqlx::query(
        "insert into change (document_id, unit_id, hash, actor, seq, deps, written_at_s, received_at_ms, state, number, bytes) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, 'checked', $9, $10)",
    )
    .bind(id.to_string())
    .bind(stored.key.unit.to_string())
    .bind(header.hash.to_string())
    .bind(hex::encode(actor(app).to_bytes()))
    .bind(i64::try_from(header.seq).map_err(Problem::internal)?)
    .bind(deps.join(" "))
    .bind(header.time_s)
    .bind(now_ms)
    .bind(number)
    .bind(run::close(&stored.vault_key, &[(header.hash, bytes)]))
    .execute(&mut **tx)
    .await?;
    Ok((header.hash, number))
}

/// Seals the change and says so in the log.
async fn seal(
    app: &App,
    tx: &mut Tx,
    key: &Key,
    hash: Sha256,
    number: i64,
    now_ms: i64,
) -> Result<(), sqlx::Error> {
    let name = jws::fingerprint(&app.keys.seal.verifying_key());
    let seal = key.seal(&app.keys.seal, Signer::Server(name), hash);
    let id = key.document();
    sqlx::query(
        "insert into seal (document_id, change_hash, signer, signature) values ($1, $2, $3, $4)",
    )
    .bind(id.to_string())
    .bind(hash.to_string())
    .bind(name.to_string())
    .bind(seal.signature.to_vec())
    .execute(&mut **tx)
    .await?;
    let seals = vec![Sha256::of(&seal.encode())];
    let leaf = Leaf::Batch {
        document: id,
        changes: vec![hash],
        seals,
        received_at_ms: now_ms,
    };
    Ledger::take(tx)
        .await?
        .append(tx, &[(leaf, Some(number))])
        .await?;
    Ok(())
}
