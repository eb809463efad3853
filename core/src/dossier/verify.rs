//! Believing a dossier: every byte of it follows from a signature or leads to one, or the dossier is refused.
//!
//! Order: the log's key and the tree head, the leaves under it, the statement over the contents, then each document, file
//! and receipt. Hashes only connect; whoever changes something recomputes them. What stops them are the signatures: of
//! the phones over their changes, of the log's key over the tree and over the statement, of the receipt key. Changes are
//! read by their header only ([`crate::header`]); no operation is interpreted, so a hostile file costs its own length.

use super::{
    Contents, DossierDocument, Statement, TYP, VERSION,
    attachments::{self, Named},
    exact::exact,
    heads,
    leaves::{self, Leaves, Received},
    parts::{Attached, Parts, Unbelieved},
    proof::{Broken, NotProven, Proven, ProvenAttachment, ProvenDocument, What, Writer},
};
use crate::{
    document::{Actor, Key, birth},
    hash::Sha256,
    header,
    id::{DocumentId, PhoneId},
    jws,
    log::admission::{self, Candidate, Known, Outcome, Refusal},
    receipt::Receipt,
    seal::{self, Seal, Signer},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
};

/// Checks a whole file. With `expected`, the log's key has to have this fingerprint; without it the dossier is somebody's, and
/// [`NotProven::WhoseKey`] says so. Attachments pass through: only what is before them is in memory.
///
/// # Errors
/// `Unreadable`, or the first thing that does not hold.
pub fn verify(mut file: impl Read, expected: Option<Sha256>) -> Result<Proven, Unbelieved> {
    Ok(prove(&Parts::read(&mut file)?, expected)?)
}

/// Checks what [`super::front`] made beside the attachments that will follow it, each of which somebody has seen to be what its
/// hash says.
///
/// # Errors
/// The first thing that does not hold.
pub fn verify_beside(
    front: &[u8],
    attachments: Vec<Attached>,
    expected: Option<Sha256>,
) -> Result<Proven, Broken> {
    prove(&Parts::beside(front, attachments)?, expected)
}

fn prove(file: &Parts, expected: Option<Sha256>) -> Result<Proven, Broken> {
    if file.version != VERSION {
        return Err(Broken::new(What::Version, file.version));
    }
    let contents: Contents<'_> = exact(&file.contents)?;
    let leaves = leaves::prove(&contents, expected)?;
    let statement = statement(file, &leaves)?;
    let server = PhoneId::from_bytes(server_prefix(&leaves));
    if leaves.phones.contains_key(&server) {
        // Its changes would be taken for the server's.
        return Err(Broken::new(What::Enrolment, server));
    }

    let mut documents = Vec::new();
    let mut named = Named::new(&file.attachments, &statement);
    for document in &contents.documents {
        documents.push(prove_document(&leaves, document, &mut named)?);
    }
    listed(&statement, &mut documents, &named, &leaves)?;
    let attachments = attachments::prove(&file.attachments, &leaves, &documents, &named)?;
    receipts(&contents, &leaves, &documents, &attachments)?;

    let mut not_proven = vec![
        NotProven::TrueWhenWritten,
        NotProven::ServerClock,
        NotProven::SameLogForAll,
    ];
    if expected.is_none() {
        not_proven.push(NotProven::WhoseKey);
    }
    if documents
        .iter()
        .any(|document| !document.withheld.is_empty())
    {
        not_proven.push(NotProven::Withheld);
    }
    if documents
        .iter()
        .any(|document| !document.missing.is_empty())
    {
        not_proven.push(NotProven::Missing);
    }
    if !statement.names.is_empty() {
        not_proven.push(NotProven::Names);
    }
    Ok(Proven {
        fingerprint: jws::fingerprint(&leaves.log),
        epoch: leaves.head.epoch,
        tree_size: leaves.head.size,
        exported_at_ms: statement.exported_at_ms,
        selection: statement.selection,
        documents,
        attachments,
        names: statement.names,
        not_proven,
    })
}

/// The statement, signed by the log's key about this state of the log and these contents.
fn statement(file: &Parts, leaves: &Leaves) -> Result<Statement, Broken> {
    let limit = file.statement.len();
    let statement: Statement = jws::verify_up_to(limit, &file.statement, TYP, |_| Some(leaves.log))
        .map_err(|error| Broken::new(What::Statement, error))?;
    let head = &leaves.head;
    let of_the_head = (statement.epoch, statement.tree_size, statement.root)
        == (head.epoch, head.size, head.root)
        && statement.exported_at_ms == head.at_ms;
    if !of_the_head {
        return Err(Broken::new(What::Statement, statement.root));
    }
    if statement.contents != Sha256::of(&file.contents) {
        return Err(Broken::new(What::Contents, statement.contents));
    }
    Ok(statement)
}

/// A change, read by its header.
struct ReadChange {
    actor: Vec<u8>,
    seq: u64,
    deps: Vec<Sha256>,
}

/// Proves one document: name, changes, seals, receipt of each change, completeness.
fn prove_document(
    leaves: &Leaves,
    document: &DossierDocument<'_>,
    named: &mut Named,
) -> Result<ProvenDocument, Broken> {
    let key = document
        .key
        .key()
        .map_err(|_| Broken::new(What::Document, &document.key.name))?;
    let id = key.document();
    let changes = read_changes(&key, document, named)?;
    let sealed = sealed(leaves, &key, &document.seals, &changes)?;
    complete(&key, &changes, &sealed)?;

    let none = BTreeMap::new();
    let received = leaves.received.get(&id).unwrap_or(&none);
    if let Some(absent) = received.keys().find(|hash| !changes.contains_key(hash)) {
        return Err(Broken::new(What::Incomplete, absent));
    }
    let mut writers = BTreeSet::new();
    let mut times = BTreeSet::new();
    for (hash, change) in &changes {
        let received = received
            .get(hash)
            .ok_or_else(|| Broken::new(What::NotReceived, hash))?;
        writers.insert(writer(leaves, &key, *hash, change, received)?);
        times.insert(received.at_ms);
    }
    let (Some(earliest), Some(latest)) = (times.first(), times.last()) else {
        // Nobody wrote in it: there is nothing to prove.
        return Err(Broken::new(What::Document, id));
    };
    Ok(ProvenDocument {
        document: id,
        heads: heads(
            &key,
            changes.values().map(|change| change.deps.as_slice()),
            changes.keys(),
        ),
        kind: key.kind,
        unit: key.unit,
        name: key.name,
        changes: changes.len(),
        withheld: Vec::new(),
        missing: Vec::new(),
        writers: writers.into_iter().collect(),
        earliest_received_at_ms: *earliest,
        latest_received_at_ms: *latest,
    })
}

fn read_changes(
    key: &Key,
    document: &DossierDocument<'_>,
    named: &mut Named,
) -> Result<BTreeMap<Sha256, ReadChange>, Broken> {
    let births: BTreeSet<Sha256> = birth(key).into_iter().map(|change| change.hash).collect();
    let mut changes = BTreeMap::new();
    for bytes in &document.changes {
        let header = header::read(bytes)
            .map_err(|error| Broken::new(What::Change, format!("{} {error}", Sha256::of(bytes))))?;
        let ascends = changes
            .last_key_value()
            .is_none_or(|(last, _)| *last < header.hash);
        if !ascends || births.contains(&header.hash) || header.actor.len() != Actor::LEN {
            return Err(Broken::new(What::Change, header.hash));
        }
        named.look(key.document(), header.operations);
        let change = ReadChange {
            actor: header.actor.to_vec(),
            seq: header.seq,
            deps: header.deps,
        };
        changes.insert(header.hash, change);
    }
    Ok(changes)
}

/// The changes that the document's seals cover; every seal has to hold, and to be the writer's own.
fn sealed(
    leaves: &Leaves,
    key: &Key,
    seals: &[Seal],
    changes: &BTreeMap<Sha256, ReadChange>,
) -> Result<BTreeSet<Sha256>, Broken> {
    let mut sealed = BTreeSet::new();
    let mut last = None;
    for seal in seals {
        let broken = || Broken::new(What::Seal, seal.change);
        let place = Some((seal.change, seal.signer));
        if last >= place {
            return Err(broken());
        }
        last = place;
        let (verifying_key, prefix) = match seal.signer {
            Signer::Phone(phone) => {
                let enrolled = leaves.phones.get(&phone);
                let enrolled = enrolled.ok_or_else(|| Broken::new(What::Writer, phone))?;
                (enrolled.key, *phone.as_bytes())
            }
            Signer::Server(name) if name == jws::fingerprint(&leaves.seal) => {
                (leaves.seal, server_prefix(leaves))
            }
            Signer::Server(_) => return Err(broken()),
        };
        let change = changes.get(&seal.change).ok_or_else(broken)?;
        if !change.actor.starts_with(&prefix) {
            return Err(broken());
        }
        key.verify(seal, &verifying_key).map_err(|_| broken())?;
        // One actor throughout, so one writer throughout.
        sealed.extend(seal::covered(&[seal.change], |hash| {
            let change = changes.get(hash)?;
            Some((&change.actor, change.seq, &change.deps))
        }));
    }
    Ok(sealed)
}

/// The server as an actor begins with this.
fn server_prefix(leaves: &Leaves) -> [u8; 16] {
    let fingerprint = jws::fingerprint(&leaves.seal);
    let mut prefix = [0; 16];
    prefix.copy_from_slice(&fingerprint.as_bytes()[..16]);
    prefix
}

/// Admits the whole document anew, by the rule that the server admits by.
fn complete(
    key: &Key,
    changes: &BTreeMap<Sha256, ReadChange>,
    sealed: &BTreeSet<Sha256>,
) -> Result<(), Broken> {
    let known = Known {
        held: birth(key).into_iter().map(|change| change.hash).collect(),
        ..Known::default()
    };
    let candidates: Vec<Candidate> = changes
        .iter()
        .map(|(hash, change)| Candidate {
            hash: *hash,
            actor: change.actor.clone(),
            seq: change.seq,
            deps: change.deps.clone(),
        })
        .collect();
    let outcomes = admission::admit(&known, &candidates, sealed).outcomes;
    // What waits may only wait for what was refused: the cause is named first.
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused(_));
    let not_taken = |(_, outcome): &(&Sha256, &Outcome)| **outcome != Outcome::Accepted;
    let cause = outcomes
        .iter()
        .find(|(_, outcome)| refused(outcome))
        .or_else(|| outcomes.iter().find(not_taken));
    let Some((hash, outcome)) = cause else {
        return Ok(());
    };
    let what = match outcome {
        Outcome::Refused(Refusal::Unsealed) => What::Unsealed,
        Outcome::Refused(Refusal::Sequence) => What::Sequence,
        _ => What::Incomplete,
    };
    Err(Broken::new(what, hash))
}

/// Who made the change, if they might: enrolled before it was received, not revoked before it (or let in by a chief all the same), and
/// allowed such documents.
fn writer(
    leaves: &Leaves,
    key: &Key,
    hash: Sha256,
    change: &ReadChange,
    received: &Received,
) -> Result<Writer, Broken> {
    if change.actor.starts_with(&server_prefix(leaves)) {
        return Ok(Writer::Server);
    }
    let broken = || Broken::new(What::Writer, hash);
    let phone = Actor::from_slice(&change.actor).ok_or_else(broken)?.phone;
    let enrolled = leaves.phones.get(&phone).ok_or_else(broken)?;
    if !key.kind.written_by_phones() {
        return Err(broken());
    }
    let revoked = leaves.revoked.get(&phone);
    let too_late = revoked.is_some_and(|place| *place < received.place) && !received.admitted;
    if enrolled.place > received.place || too_late {
        return Err(Broken::new(What::Revoked, hash));
    }
    Ok(Writer::Phone {
        phone,
        person: enrolled.person,
        unit: enrolled.unit,
    })
}

/// Checks that the documents are those of the statement and of what was asked for, and takes over what only it can say.
fn listed(
    statement: &Statement,
    documents: &mut [ProvenDocument],
    named: &Named,
    leaves: &Leaves,
) -> Result<(), Broken> {
    let ids: BTreeSet<DocumentId> = documents.iter().map(|document| document.document).collect();
    let broken = |id: &dyn std::fmt::Display| Broken::new(What::Listing, id);
    if let Some(stray) = leaves.received.keys().find(|id| !ids.contains(id)) {
        return Err(Broken::new(What::Leaf, stray));
    }
    if !documents.is_sorted_by(|a, b| a.document < b.document)
        || statement.documents.len() != documents.len()
    {
        return Err(broken(&statement.documents.len()));
    }
    if let Some(stray) = statement.names.keys().find(|id| !is_named(id, documents)) {
        return Err(broken(stray));
    }
    for (stated, document) in statement.documents.iter().zip(documents) {
        let key = Key {
            kind: document.kind,
            unit: document.unit,
            name: document.name.clone(),
        };
        let reviewed = key
            .reviewed()
            .is_none_or(|reviewed| ids.contains(&reviewed));
        if stated.document != document.document
            || stated.heads != document.heads
            || !statement.selection.takes(&key)
            || !reviewed
        {
            return Err(broken(&stated.document));
        }
        if let Some(unnamed) = stated
            .missing
            .iter()
            .find(|sha256| !named.by(document.document, sha256))
        {
            return Err(broken(unnamed));
        }
        document.withheld.clone_from(&stated.withheld);
        document.missing.clone_from(&stated.missing);
    }
    Ok(())
}

/// Whether the file holds a document, a unit or a writer of this id.
fn is_named(id: &str, documents: &[ProvenDocument]) -> bool {
    documents.iter().any(|document| {
        let writes = |writer: &Writer| match writer {
            Writer::Phone { person, .. } => person.to_string() == id,
            Writer::Server => false,
        };
        document.document.to_string() == id
            || document.unit.to_string() == id
            || document.writers.iter().any(writes)
    })
}

/// Checks that receipts of this state of the log cover every document at its heads, and every file for a document that
/// names it.
fn receipts(
    contents: &Contents<'_>,
    leaves: &Leaves,
    documents: &[ProvenDocument],
    attachments: &[ProvenAttachment],
) -> Result<(), Broken> {
    let mut given: BTreeMap<DocumentId, BTreeSet<Sha256>> = BTreeMap::new();
    let head = &leaves.head;
    for token in &contents.receipts {
        let receipt = Receipt::verify(token, |_| Some(leaves.receipt))
            .map_err(|error| Broken::new(What::Receipt, error))?;
        let document = documents
            .iter()
            .find(|document| document.document == receipt.document)
            .filter(|document| receipt.covers(document.document, &document.heads, &[]));
        let of_the_head = (receipt.epoch, receipt.tree_size, receipt.root)
            == (head.epoch, head.size, head.root)
            && receipt.received_at_ms == head.at_ms;
        if document.is_none() || !of_the_head {
            return Err(Broken::new(What::Receipt, receipt.document));
        }
        given
            .entry(receipt.document)
            .or_default()
            .extend(receipt.attachments);
    }
    for document in documents {
        let broken = || Broken::new(What::Receipt, document.document);
        let given = given.get(&document.document).ok_or_else(broken)?;
        let names = |sha256: &Sha256| {
            let at = attachments.binary_search_by_key(sha256, |attachment| attachment.sha256);
            at.is_ok_and(|at| attachments[at].named_in.contains(&document.document))
        };
        if let Some(stray) = given.iter().find(|sha256| !names(sha256)) {
            return Err(Broken::new(What::Receipt, stray));
        }
    }
    let covered: BTreeSet<&Sha256> = given.values().flatten().collect();
    match attachments
        .iter()
        .find(|attachment| !covered.contains(&attachment.sha256))
    {
        Some(uncovered) => Err(Broken::new(What::Receipt, uncovered.sha256)),
        None => Ok(()),
    }
}
