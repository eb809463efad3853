//! The end: the line heals, everybody syncs in rounds, and it must get quiet.

use crate::{
    feed::{Checker, Reader},
    guard::{Broken, Guard, Violation, check},
    invariant::position,
    server::Carrier,
    world::{Handset, Happening, World},
};
use kieumau_core::outbox::HELD;

/// Between two rounds of syncs: longer than the latest second copy of a message.
const ROUND: u64 = 91_000;
/// Rounds within which it must be quiet.
const ROUNDS: u64 = 10;

impl World {
    /// From here on everything arrives, nothing dies and no disk refuses.
    pub fn heals(&mut self) -> Result<(), Violation> {
        self.healed = true;
        self.revokes = None;
        self.server.fate = None;
        self.trace.line(self.now, format_args!("the line heals"));
        for place in 0..self.handsets.len() {
            self.handsets[place].phone.fate = None;
            self.reopen(place);
        }
        self.restart()?;
        self.after(1, Happening::Round);
        Ok(())
    }

    /// Everybody syncs once more, unless all is quiet: then true.
    pub fn round(&mut self) -> Result<bool, Violation> {
        let stirs = self.stirs();
        if stirs.is_none() && self.rounds > 1 {
            return Ok(true);
        }
        check(self.rounds < ROUNDS, Broken::Restless, || {
            stirs.unwrap_or_default()
        })?;
        self.rounds += 1;
        for place in 0..self.handsets.len() {
            self.sync(place);
        }
        self.after(ROUND, Happening::Round);
        Ok(false)
    }

    /// What is not yet quiet.
    fn stirs(&self) -> Option<String> {
        let disk = &self.server.disk;
        if !Checker::look(disk).is_empty() {
            return Some("the checker has work".to_owned());
        }
        for (place, handset) in self.handsets.iter().enumerate() {
            let phone = &handset.phone;
            if handset.syncs() {
                return Some(format!("phone {place} syncs"));
            }
            if disk.revoked.contains_key(&phone.id) {
                continue;
            }
            let mut rows = phone.disk.rows.iter();
            if let Some(row) = rows.find(|row| row.word.as_deref() != Some(HELD)) {
                let (hash, word) = (row.change.hash, &row.word);
                return Some(format!("phone {place} heard {word:?} of {hash}"));
            }
            if let Some(unsent) = self.unsent(place) {
                return Some(unsent);
            }
            if phone.disk.files.values().any(|file| !file.received) {
                return Some(format!("phone {place} has a file to send"));
            }
            let last = disk.last.get(&phone.unit).copied().unwrap_or(0);
            let at = position(phone).map(|position| (position.number, position.listed));
            let reads_all = at == Some((last, None)) || self.off() == Some(Guard::Cursor);
            if !reads_all {
                return Some(format!("phone {place} has read up to {at:?} of {last}"));
            }
        }
        None
    }

    /// The phone at `place` as a reader.
    pub fn reader(&self, place: usize) -> Reader {
        let phone = &self.handsets[place].phone;
        Reader {
            carrier: Carrier {
                phone: phone.id,
                person: phone.person,
                unit: phone.unit,
            },
            role: phone.role,
        }
    }

    /// The guard that is off.
    pub const fn off(&self) -> Option<Guard> {
        self.off
    }
}

impl Handset {
    /// Whether a sync is under way.
    pub const fn syncs(&self) -> bool {
        self.session.is_some()
    }
}
