//! What must hold of a phone, looked at whenever it wrote something down and once more when all is quiet.

use crate::{
    guard::{Broken, Violation, check},
    kept::Aside,
    promise::position,
    stored::{Reader, State},
    world::World,
};
use kieumau_core::{
    document::{Key, Kind},
    hash::Sha256,
    id::DocumentId,
    inbox::Incoming,
    log::{admission::Known, numbering::Entry, paging::Position},
    receipt::Receipt,
    review::heads_text,
};
use std::collections::BTreeSet;

impl World {
    /// Looks at a phone that just wrote down an answer.
    pub fn looked_at(&mut self, place: usize) -> Result<(), Violation> {
        self.sent_is_true(place)?;
        self.nothing_forbidden(place)?;
        self.nothing_skipped(place)?;
        let tokens = self.handsets[place]
            .phone
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

    /// *Đã gửi* is shown for what the server holds whole, and for nothing else; by a phone that has heard of a backup that was put back.
    pub fn sent_is_true(&self, place: usize) -> Result<(), Violation> {
        let phone = &self.handsets[place].phone;
        let server = &self.server.disk;
        if phone
            .disk
            .place
            .epoch
            .is_some_and(|epoch| epoch != server.epoch)
        {
            return Ok(());
        }
        for (id, kept) in &phone.disk.documents {
            let standing = phone.disk.standing(*id, kept, self.off());
            if !(kept.own && standing.is_whole()) {
                continue;
            }
            let mut rows = phone.disk.rows.iter().filter(|row| row.document == *id);
            let lacks = rows.find(|row| !server.holds(*id, row.change.hash));
            check(lacks.is_none(), Broken::Sent, || {
                let hash = lacks.map(|row| row.change.hash);
                format!("phone {place}, document {id}: {hash:?} is not there")
            })?;
            let unit = kept.key.unit;
            let mut files = kept.files.iter();
            let lacks = files.find(|sha256| !server.attachments.contains_key(&(unit, **sha256)));
            check(lacks.is_none(), Broken::Sent, || {
                format!("phone {place}, document {id}: the file {lacks:?} is not there")
            })?;
        }
        Ok(())
    }

    /// Nobody has what they may not read. Of rights that a backup has not yet, only phones know.
    fn nothing_forbidden(&self, place: usize) -> Result<(), Violation> {
        if self.lives > 0 && (!self.quiet || self.is_out(place)) {
            return Ok(());
        }
        let phone = &self.handsets[place].phone;
        let reader = phone.reader();
        // What does not unfold says nothing to anybody.
        let lain = phone.disk.lain.iter().filter(|lain| !lain.set_aside);
        let lain = lain.map(|lain| lain.document);
        let others = phone.disk.documents.iter();
        // Of which nothing came but its name, because what it is built upon was spoilt, says nothing either.
        let others = others
            .filter(|(_, kept)| !kept.own && !kept.ungranted && kept.heads != born(&kept.key));
        // The server has forgotten what nobody can prove to it, and with it who may read it.
        let held = others.map(|(id, _)| *id).chain(lain);
        for id in held.filter(|id| !self.is_unprovable(*id)) {
            check(
                self.server.disk.may_read(&reader, id, None),
                Broken::Forbidden,
                || format!("phone {place} has the document {id}"),
            )?;
        }
        Ok(())
    }

    /// What a cursor went past was decided about, and is on the phone if its person may read it, or is asked for.
    fn nothing_skipped(&self, place: usize) -> Result<(), Violation> {
        let phone = &self.handsets[place].phone;
        let disk = &self.server.disk;
        let Some(Position {
            unit,
            number,
            listed: None,
        }) = position(phone)
        else {
            return Ok(());
        };
        if phone.disk.place.epoch != Some(disk.epoch) {
            return Ok(());
        }
        let reader = phone.reader();
        let entries = disk.entries.get(&unit).into_iter().flatten();
        let passed: Vec<&Entry> = entries
            .take_while(|(at, _)| *at <= number)
            .map(|(_, entry)| entry)
            .collect();
        let here = self.here(place);
        for entry in &passed {
            let Entry::Change(id, hash) = entry else {
                continue;
            };
            let state = disk.row(*id, *hash).map(|row| row.state);
            check(state != Some(State::Accepted), Broken::Skipped, || {
                format!("phone {place} went past {hash}, which nobody had checked")
            })?;
            let due = state == Some(State::Checked)
                && self.granted(&reader, *id, &passed)
                && disk.may_read(&reader, *id, None)
                && !phone.disk.wanted.contains_key(id);
            check(!due || here.contains(hash), Broken::Skipped, || {
                format!("phone {place} went past {hash} of {id} at {number} and has it not")
            })?;
        }
        Ok(())
    }

    /// Whether a cursor that went past these went past what gives a document to its reader.
    fn granted(&self, reader: &Reader, id: DocumentId, passed: &[&Entry]) -> bool {
        let stored = self.server.disk.documents.get(&id);
        let patrol = stored.is_some_and(|stored| stored.key.kind == Kind::PatrolLog);
        !patrol
            || reader.role.reads_the_unit()
            || passed.contains(&&Entry::Grant(id, reader.person))
    }

    /// Every change that is on a phone, in whatever way.
    fn here(&self, place: usize) -> BTreeSet<Sha256> {
        let disk = &self.handsets[place].phone.disk;
        let mut here: BTreeSet<Sha256> = disk.rows.iter().map(|row| row.change.hash).collect();
        here.extend(disk.aside.keys());
        for lain in &disk.lain {
            let incoming = Incoming::read(&lain.items).ok().flatten();
            let changes = incoming.and_then(|incoming| incoming.into_changes().ok());
            match changes {
                Some((changes, _)) => here.extend(changes.iter().map(|change| change.hash)),
                // It does not unfold, which is found out when it is looked into: until then it counts as being there.
                None => {
                    let stored = self.server.disk.documents.get(&lain.document);
                    here.extend(stored.into_iter().flat_map(|stored| stored.rows.keys()));
                }
            }
        }
        here
    }

    /// After quiet, a phone has of each document that its person may read what passed, and nothing else.
    pub fn has_what_others_have(&self, place: usize) -> Result<(), Violation> {
        let phone = &self.handsets[place].phone;
        if self.is_out(place) {
            return Ok(());
        }
        let reader = phone.reader();
        for (id, stored) in &self.server.disk.documents {
            let heads = stored.checked_heads();
            let rows = stored.rows.values();
            let mut withheld = rows.filter(|row| row.state == State::Withheld);
            let wrote_withheld = withheld.any(|row| phone.disk.row(row.candidate.hash).is_some());
            if wrote_withheld
                || self.is_unprovable(*id)
                || !self.server.disk.may_read(&reader, *id, None)
            {
                continue;
            }
            let here = phone.disk.documents.get(id).map(|kept| kept.heads.as_str());
            // Of a document of which all was refused only the birth is left.
            let none = heads.is_empty() && here.is_none_or(|here| here == born(&stored.key));
            check(
                none || here == Some(heads.as_str()),
                Broken::Unequal,
                || format!("phone {place} has {id} at {here:?}, others at {heads}"),
            )?;
        }
        Ok(())
    }

    /// A document of a phone's that is not shown as sent although everything that it names is at the server, or could be.
    pub fn unsent(&self, place: usize) -> Option<String> {
        let phone = &self.handsets[place].phone;
        let left_out = |aside: &Aside, id: DocumentId| {
            aside.document == id && aside.refusal.is_some() && aside.anew.is_none()
        };
        let documents = phone.disk.documents.iter().filter(|(id, kept)| {
            let mut aside = phone.disk.aside.values();
            kept.own && !self.is_unprovable(**id) && !aside.any(|aside| left_out(aside, **id))
        });
        let mut unsent = documents.filter(|(id, kept)| {
            let unit = kept.key.unit;
            let there = |sha256: &Sha256| {
                let held = &self.server.disk.attachments;
                held.contains_key(&(unit, *sha256))
            };
            let standing = phone.disk.standing(**id, kept, self.off());
            !standing.is_whole() && kept.files.iter().all(there)
        });
        let (first, _) = unsent.next()?;
        Some(format!("phone {place} does not show {first} as sent"))
    }
}

/// The heads of a document that was only born.
fn born(key: &Key) -> String {
    heads_text(&Vec::from_iter(Known::born(key).heads))
}
