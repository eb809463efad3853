//! What people were told: what a phone showed as saved, what a server said that it holds, what it signed.
//!
//! A backup that is put back takes promises away until the phones have brought what is missing. What nobody has any more is gone
//! with the disks it was on, and forgiven: no program brings it back.

use crate::{
    guard::{Broken, Violation, check},
    kept::Disk,
    phone::Phone,
    stored::Leafed,
    world::World,
};
use kieumau_core::{
    document::birth,
    hash::Sha256,
    id::DocumentId,
    log::{
        leaf::Leaf,
        numbering::Entry,
        paging::{Cursor, Position},
    },
    outbox::HELD,
    receipt::Receipt,
};
use std::collections::{BTreeMap, BTreeSet};

/// See the module.
#[derive(Default)]
pub struct Watch {
    /// Changes that a phone showed as saved: by which phone, in which document.
    saved: BTreeMap<Sha256, (usize, DocumentId)>,
    recorded: usize,
    /// Receipts that were looked into.
    pub receipts: BTreeMap<String, Receipt>,
}

impl Watch {
    /// The phone at `place` shows this change as saved.
    pub fn acknowledged(&mut self, place: usize, document: DocumentId, hash: Sha256) {
        self.saved.insert(hash, (place, document));
        self.recorded += 1;
    }

    /// How much was recorded.
    pub const fn recorded(&self) -> usize {
        self.recorded
    }
}

impl World {
    /// An older copy of a disk was put back, a phone's or the server's: what is nowhere any more went with what it replaced.
    pub fn lost_with_the_disk(&mut self) {
        let mut saved = std::mem::take(&mut self.watch.saved);
        saved.retain(|hash, (place, document)| {
            let on_phone = self.handsets.iter().enumerate().any(|(at, handset)| {
                (at == *place || !self.is_out(at)) && handset.phone.disk.has(*hash)
            });
            // What waits at the server may wait for what is nowhere any more.
            on_phone || self.server.disk.holds(*document, *hash)
        });
        self.watch.saved = saved;
    }

    /// A receipt says of the log what the log says. Of an epoch that was cut short nobody can tell any more.
    pub fn receipt_is_true(&self, receipt: &Receipt) -> Result<(), Violation> {
        let disk = &self.server.disk;
        if receipt.epoch != disk.epoch {
            return Ok(());
        }
        let broken = |what: &str| check(false, Broken::Receipt, || format!("{what}: {receipt:?}"));
        let Some(stored) = disk.documents.get(&receipt.document) else {
            return broken("no such document");
        };
        let below =
            |leaf: Option<Leafed>| leaf.is_some_and(|leaf| disk.leaf_now(leaf) < receipt.tree_size);
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

    /// What phones were promised is on the server's disk, unless a backup was put back and not all is healed yet.
    pub fn promises_are_kept(&self) -> Result<(), Violation> {
        if self.lives == 0 {
            self.nothing_promised_is_gone()?;
        }
        for receipt in self.watch.receipts.values() {
            self.receipt_is_true(receipt)?;
        }
        Ok(())
    }

    fn nothing_promised_is_gone(&self) -> Result<(), Violation> {
        let disk = &self.server.disk;
        for (place, handset) in self.handsets.iter().enumerate() {
            let phone = &handset.phone;
            if self.lives > 0 && self.is_out(place) {
                continue;
            }
            let held = phone.disk.rows.iter();
            let held = held.filter(|row| row.word.as_deref() == Some(HELD));
            let mut held = held.filter(|row| !self.is_unprovable(row.document));
            let gone = held.find(|row| !disk.holds(row.document, row.change.hash));
            check(gone.is_none(), Broken::Missing, || {
                let hash = gone.map(|row| row.change.hash);
                format!("the server told phone {place} that it holds {hash:?}")
            })?;
            // What no document names any more is asked about when one names it again.
            let named = |sha256: &Sha256| {
                let mut documents = phone.disk.documents.values();
                self.lives == 0 || documents.any(|kept| kept.files.contains(sha256))
            };
            let files = phone.disk.files.iter();
            let mut files = files.filter(|(sha256, file)| file.received && named(sha256));
            let gone =
                files.find(|(sha256, _)| !disk.attachments.contains_key(&(phone.unit, **sha256)));
            check(gone.is_none(), Broken::Missing, || {
                format!("the server told phone {place} that it holds a file")
            })?;
        }
        Ok(())
    }

    /// Whether colleagues may hold what they cannot bring back after a backup was put back, because the seal that covers it never came to
    /// them: it names a change that was withheld, or one that the server had not sent them yet. Then only the writer's phone can prove what
    /// came before it; what they bring lies in quarantine. A known gap.
    pub fn is_unprovable(&self, document: DocumentId) -> bool {
        let withheld = || self.checker.poisoned.values().any(|of| *of == document);
        self.lives > 0 && (withheld() || self.lacks_a_seal(document))
    }

    /// Whether a phone has what the server has not, and neither it nor another one can prove it.
    fn lacks_a_seal(&self, document: DocumentId) -> bool {
        let places = (0..self.handsets.len()).filter(|place| !self.is_out(*place));
        let disks: Vec<&Disk> = places
            .map(|place| &self.handsets[place].phone.disk)
            .collect();
        let provable: BTreeSet<Sha256> = disks
            .iter()
            .flat_map(|disk| disk.provable(document))
            .collect();
        let mut rows = disks.iter().flat_map(|disk| disk.rows.iter());
        rows.any(|row| {
            let hash = row.change.hash;
            row.document == document
                && !provable.contains(&hash)
                && !self.server.disk.holds(document, hash)
        })
    }

    /// When all is quiet.
    pub fn last_look(&mut self) -> Result<(), Violation> {
        self.nothing_promised_is_gone()?;
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

    /// What a phone showed as saved is in the log, itself or as what was written anew in its stead; or it was refused, and both
    /// sides keep it and say so; or at least it is somewhere if its phone was revoked.
    fn nothing_is_missing(&self) -> Result<(), Violation> {
        let disk = &self.server.disk;
        for (saved, (place, document)) in &self.watch.saved {
            let phone = &self.handsets[*place].phone;
            let (hash, refused) = stands_for(phone, *saved);
            let somewhere = phone.disk.has(*saved)
                || disk.row(*document, *saved).is_some()
                || disk.quarantine.contains_key(saved);
            let there = disk.holds(*document, *saved)
                || disk.holds(*document, hash)
                || refused
                || self.is_unprovable(*document)
                || self.is_out(*place) && somewhere;
            check(there, Broken::Missing, || {
                format!("phone {place} showed {saved} as saved; somewhere: {somewhere}")
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
            let revoked = row.candidate.writer();
            let revoked = revoked.and_then(|writer| disk.revoked.get(&writer));
            let (Some(leaf), Some(revoked)) = (row.leaf, revoked) else {
                continue;
            };
            check(leaf < *revoked, Broken::Revoked, || {
                format!("{} came after its phone's revocation", row.candidate.hash)
            })?;
        }
        Ok(())
    }
}

/// What stands for a change of this phone's now, and whether it was left out of its document, with its reason.
fn stands_for(phone: &Phone, saved: Sha256) -> (Sha256, bool) {
    let mut hash = saved;
    // Without fresh bytes at each writing anew a change may stand for itself.
    for _ in 0..=phone.disk.aside.len() {
        match phone.disk.aside.get(&hash).map(|aside| aside.anew) {
            Some(Some(anew)) => hash = anew,
            Some(None) => return (hash, true),
            None => break,
        }
    }
    (hash, false)
}

/// Where a phone is in its feed.
pub fn position(phone: &Phone) -> Option<Position> {
    Cursor::parse(&phone.disk.place.cursor)?
        .feeds
        .first()
        .copied()
}
