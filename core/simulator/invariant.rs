//! What must hold, looked at while it could break and once more when all is quiet.

use crate::{
    guard::{Broken, Violation, check},
    phone::Phone,
    server::{State, Stored},
    world::World,
};
use kieumau_core::{
    document::{Kind, birth},
    hash::Sha256,
    id::DocumentId,
    log::{
        leaf::Leaf,
        numbering::Entry,
        paging::{Cursor, Position},
    },
    outbox::HELD,
    receipt::Receipt,
    review::heads_text,
};
use std::collections::{BTreeMap, BTreeSet};

/// What people were told.
#[derive(Default)]
pub struct Watch {
    /// Changes that a phone showed as saved: by which phone, in which document.
    saved: BTreeMap<Sha256, (usize, DocumentId)>,
    recorded: usize,
    /// Receipts that were looked into.
    receipts: BTreeMap<String, Receipt>,
}

impl Watch {
    /// The phone at `place` shows this change as saved.
    pub fn acknowledged(&mut self, place: usize, document: DocumentId, hash: Sha256) {
        self.saved.insert(hash, (place, document));
        self.recorded += 1;
    }

    /// An older copy of the phone's disk was put back: what is neither in it nor at the server went with what it replaced.
    pub fn restored(&mut self, place: usize, kept: impl Fn(DocumentId, Sha256) -> bool) {
        self.saved
            .retain(|hash, (of, document)| *of != place || kept(*document, *hash));
    }

    /// How much was recorded.
    pub const fn recorded(&self) -> usize {
        self.recorded
    }
}

impl World {
    /// Looks at a phone that just wrote down an answer.
    pub fn looked_at(&mut self, place: usize) -> Result<(), Violation> {
        let phone = &self.handsets[place].phone;
        self.sent_is_true(place, phone)?;
        self.nothing_forbidden(place, phone)?;
        self.nothing_skipped(place, phone)?;
        let tokens = phone
            .disk
            .receipts
            .values()
            .flat_map(|signed| &signed.tokens);
        let new: Vec<String> = tokens
            .filter(|token| !self.watch.receipts.contains_key(*token))
            .cloned()
            .collect();
        for token in new {
            let key = self.server.receipt_key.verifying_key();
            let receipt = Receipt::verify(&token, |_| Some(key)).expect("phones keep what holds");
            self.receipt_is_true(&receipt)?;
            self.watch.receipts.insert(token, receipt);
        }
        Ok(())
    }

    /// *Đã gửi* is shown for what the server holds whole, and for nothing else.
    fn sent_is_true(&self, place: usize, phone: &Phone) -> Result<(), Violation> {
        for (id, kept) in &phone.disk.documents {
            let standing = phone.disk.standing(*id, kept, self.off());
            if !(kept.own && standing.is_whole()) {
                continue;
            }
            let mut rows = phone.disk.rows.iter().filter(|row| row.document == *id);
            let lacks = rows.find(|row| !self.server.disk.holds(*id, row.change.hash));
            check(lacks.is_none(), Broken::Sent, || {
                format!(
                    "phone {place}, document {id}: {:?} is not there",
                    lacks.map(|row| row.change.hash)
                )
            })?;
            let unit = kept.key.unit;
            let mut files = kept.files.iter();
            let lacks =
                files.find(|sha256| !self.server.disk.attachments.contains_key(&(unit, **sha256)));
            check(lacks.is_none(), Broken::Sent, || {
                format!("phone {place}, document {id}: the file {lacks:?} is not there")
            })?;
        }
        Ok(())
    }

    /// Nobody has what they may not read.
    fn nothing_forbidden(&self, place: usize, phone: &Phone) -> Result<(), Violation> {
        let reader = self.reader(place);
        for (id, kept) in &phone.disk.documents {
            check(
                kept.own || self.server.disk.may_read(&reader, *id),
                Broken::Forbidden,
                || format!("phone {place} has the document {id}"),
            )?;
        }
        Ok(())
    }

    /// What a cursor went past was decided about, and is on the phone if its person may read it.
    fn nothing_skipped(&self, place: usize, phone: &Phone) -> Result<(), Violation> {
        let Some(Position {
            unit,
            number,
            listed: None,
        }) = position(phone)
        else {
            return Ok(());
        };
        let disk = &self.server.disk;
        let reader = self.reader(place);
        let entries = disk.entries.get(&unit).into_iter().flatten();
        let passed: Vec<&Entry> = entries
            .take_while(|(at, _)| *at <= number)
            .map(|(_, entry)| entry)
            .collect();
        let granted = |id: DocumentId| {
            let patrol = disk
                .documents
                .get(&id)
                .is_some_and(|stored| stored.key.kind == Kind::PatrolLog);
            !patrol
                || reader.role.reads_the_unit()
                || passed.contains(&&Entry::Grant(id, phone.person))
        };
        for entry in &passed {
            let Entry::Change(id, hash) = entry else {
                continue;
            };
            let state = disk.row(*id, *hash).map(|row| row.state);
            check(state != Some(State::Accepted), Broken::Skipped, || {
                format!("phone {place} went past {hash}, which nobody had checked")
            })?;
            let due = state == Some(State::Checked) && granted(*id) && disk.may_read(&reader, *id);
            check(
                !due || phone.disk.row(*hash).is_some(),
                Broken::Skipped,
                || format!("phone {place} went past {hash} of {id} at {number} and has it not"),
            )?;
        }
        Ok(())
    }

    /// A receipt says of the log what the log says.
    fn receipt_is_true(&self, receipt: &Receipt) -> Result<(), Violation> {
        let disk = &self.server.disk;
        let broken = |what: &str| check(false, Broken::Receipt, || format!("{what}: {receipt:?}"));
        let Some(stored) = disk.documents.get(&receipt.document) else {
            return broken("no such document");
        };
        let below = |leaf: Option<u64>| leaf.is_some_and(|leaf| leaf < receipt.tree_size);
        let births: BTreeSet<Sha256> = birth(&stored.key)
            .iter()
            .map(|change| change.hash)
            .collect();
        let mut open = receipt.heads.clone();
        let mut seen = births.clone();
        while let Some(hash) = open.pop() {
            if !seen.insert(hash) && !receipt.heads.contains(&hash) {
                continue;
            }
            let row = stored.rows.get(&hash);
            if !births.contains(&hash) && !below(row.and_then(|row| row.leaf)) {
                return broken("a change is not in the log");
            }
            open.extend(
                row.into_iter()
                    .flat_map(|row| &row.candidate.deps)
                    .filter(|dep| !seen.contains(dep)),
            );
        }
        let unit = stored.key.unit;
        let held = |sha256: &Sha256| below(disk.attachments.get(&(unit, *sha256)).copied());
        if !receipt.attachments.iter().all(held) {
            return broken("a file is not in the log");
        }
        let size = usize::try_from(receipt.tree_size).unwrap_or(usize::MAX);
        match disk.roots.get(size.saturating_sub(1)) {
            None => broken("the log is shorter"),
            Some(root) if *root != receipt.root => broken("the log's root is another"),
            Some(_) => Ok(()),
        }
    }

    /// Each change has one number and one leaf, and numbers have no gaps.
    pub fn nothing_is_doubled(&self) -> Result<(), Violation> {
        let disk = &self.server.disk;
        for entries in disk.entries.values() {
            let mut seen = BTreeSet::new();
            for (expected, (number, entry)) in (1..).zip(entries) {
                check(*number == expected, Broken::Doubled, || {
                    format!("entry {number} stands where {expected} should")
                })?;
                if let Entry::Change(_, hash) = entry {
                    check(seen.insert(*hash), Broken::Doubled, || {
                        format!("{hash} has two numbers")
                    })?;
                }
            }
        }
        let mut seen = BTreeSet::new();
        let batches = disk.leaves.iter().filter_map(|leaf| match leaf {
            Leaf::Batch { changes, .. } => Some(changes),
            _ => None,
        });
        for hash in batches.flatten() {
            check(seen.insert(*hash), Broken::Doubled, || {
                format!("{hash} stands in two leaves")
            })?;
        }
        Ok(())
    }

    /// What phones were promised is on the server's disk.
    pub fn promises_are_kept(&self) -> Result<(), Violation> {
        let disk = &self.server.disk;
        for (place, handset) in self.handsets.iter().enumerate() {
            let phone = &handset.phone;
            let held = phone.disk.rows.iter();
            let mut held = held.filter(|row| row.word.as_deref() == Some(HELD));
            let gone = held.find(|row| !disk.holds(row.document, row.change.hash));
            check(gone.is_none(), Broken::Missing, || {
                format!(
                    "the server told phone {place} that it holds {:?}",
                    gone.map(|row| row.change.hash)
                )
            })?;
            let mut files = phone.disk.files.iter().filter(|(_, file)| file.received);
            let gone =
                files.find(|(sha256, _)| !disk.attachments.contains_key(&(phone.unit, **sha256)));
            check(gone.is_none(), Broken::Missing, || {
                format!("the server told phone {place} that it holds a file")
            })?;
        }
        for receipt in self.watch.receipts.values() {
            self.receipt_is_true(receipt)?;
        }
        Ok(())
    }

    /// When all is quiet.
    pub fn last_look(&mut self) -> Result<(), Violation> {
        self.promises_are_kept()?;
        self.nothing_is_doubled()?;
        self.nothing_is_missing()?;
        self.revocation_holds()?;
        for place in 0..self.handsets.len() {
            self.looked_at(place)?;
            self.has_what_others_have(place)?;
        }
        let (spent, ideal) = (self.account.spent, self.account.ideal);
        check(2 * spent <= 3 * ideal, Broken::Bytes, || {
            format!("{spent} bytes travelled where {ideal} had to")
        })
    }

    /// What a phone showed as saved is in the log, or at least somewhere if its phone was revoked.
    fn nothing_is_missing(&self) -> Result<(), Violation> {
        let disk = &self.server.disk;
        for (hash, (place, document)) in &self.watch.saved {
            let phone = &self.handsets[*place].phone;
            let somewhere = phone.disk.row(*hash).is_some()
                || disk.row(*document, *hash).is_some()
                || disk.quarantine.contains_key(hash);
            let revoked = disk.revoked.contains_key(&phone.id);
            let there = disk.holds(*document, *hash) || revoked && somewhere;
            check(there, Broken::Missing, || {
                format!("phone {place} showed {hash} as saved; somewhere: {somewhere}")
            })?;
        }
        Ok(())
    }

    /// Nothing of a revoked phone came into the log after its revocation.
    fn revocation_holds(&self) -> Result<(), Violation> {
        let disk = &self.server.disk;
        let rows = disk
            .documents
            .values()
            .flat_map(|stored| stored.rows.values());
        for row in rows {
            let revoked = row
                .candidate
                .writer()
                .and_then(|phone| disk.revoked.get(&phone));
            let after = revoked
                .zip(row.leaf)
                .is_some_and(|(revoked, leaf)| leaf > *revoked);
            check(!after, Broken::Revoked, || {
                format!("{} came in as leaf {:?}", row.candidate.hash, row.leaf)
            })?;
        }
        Ok(())
    }

    /// A reader has of each document what passed the checker, and nothing else, but for what was withheld from others.
    fn has_what_others_have(&self, place: usize) -> Result<(), Violation> {
        let phone = &self.handsets[place].phone;
        let reader = self.reader(place);
        if self.server.disk.revoked.contains_key(&phone.id) {
            return Ok(());
        }
        for (id, stored) in &self.server.disk.documents {
            let heads = checked_heads(stored);
            let rows = stored.rows.values();
            let mut withheld = rows.filter(|row| row.state == State::Withheld);
            let wrote_withheld = withheld.any(|row| phone.disk.row(row.candidate.hash).is_some());
            if wrote_withheld || !self.server.disk.may_read(&reader, *id) {
                continue;
            }
            let here = phone.disk.documents.get(id).map(|kept| kept.heads.as_str());
            let none = heads.is_empty() && here.is_none();
            check(
                none || here == Some(heads.as_str()),
                Broken::Unequal,
                || format!("phone {place} has {id} at {here:?}, others at {heads}"),
            )?;
        }
        Ok(())
    }

    /// A document of a phone's that is not shown as sent although everything that it names is at the server.
    pub fn unsent(&self, place: usize) -> Option<String> {
        let phone = &self.handsets[place].phone;
        let documents = phone.disk.documents.iter().filter(|(_, kept)| kept.own);
        let unsent = documents.filter(|(id, kept)| {
            let unit = kept.key.unit;
            let there = |sha256: &Sha256| {
                let held = &self.server.disk.attachments;
                held.contains_key(&(unit, *sha256))
            };
            let standing = phone.disk.standing(**id, kept, self.off());
            !standing.is_whole() && kept.files.iter().all(there)
        });
        let first = unsent.map(|(id, _)| id).next();
        first.map(|id| format!("phone {place} does not show {id} as sent"))
    }
}

/// Where a phone is in its feed.
pub fn position(phone: &Phone) -> Option<Position> {
    Cursor::parse(&phone.disk.cursor)?.feeds.first().copied()
}

/// The heads of what passed, as a row holds them; nothing if nothing did.
fn checked_heads(stored: &Stored) -> String {
    let rows = stored.rows.values();
    let checked: Vec<_> = rows.filter(|row| row.state == State::Checked).collect();
    let mut heads: BTreeSet<Sha256> = checked.iter().map(|row| row.candidate.hash).collect();
    for row in checked {
        for dep in &row.candidate.deps {
            heads.remove(dep);
        }
    }
    heads_text(&heads.into_iter().collect::<Vec<_>>())
}
