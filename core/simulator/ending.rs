//! The end: the line heals, everybody syncs in rounds, and it must get quiet.

use crate::{
    checker::Checker,
    guard::{Broken, Guard, Violation, check},
    promise::position,
    world::{Handset, Happening, World},
};
use kieumau_core::outbox::HELD;

/// Between two rounds of syncs: longer than the latest second copy of a message.
const ROUND: u64 = 91_000;
/// Rounds that are run at least: that nothing is new must cost next to nothing.
const LEAST_ROUNDS: u64 = 5;
/// Rounds within which it is quiet nearly always.
pub const PATIENT_ROUNDS: u64 = 8;
/// Rounds within which it must be quiet. Before the last ones a day goes by: then all is compared.
const ROUNDS: u64 = 14;
const DAY: u64 = 24 * 60 * 60 * 1_000;

impl World {
    /// From here on everything arrives, nothing dies and no disk refuses.
    pub fn heals(&mut self) -> Result<(), Violation> {
        self.healed = true;
        self.revokes = None;
        self.server.fate = None;
        self.spoils = false;
        self.trace.line(self.now, format_args!("the line heals"));
        for place in 0..self.handsets.len() {
            // A sync that is under way goes on.
            if self.handsets[place].syncs() {
                self.account.sync();
            }
            self.handsets[place].phone.fate = None;
            self.handsets[place].trouble = None;
            self.reopen(place);
        }
        self.restart()?;
        self.after(1, Happening::Round);
        Ok(())
    }

    /// Everybody syncs once more, unless all is quiet: then true.
    pub fn round(&mut self) -> Result<bool, Violation> {
        for handset in &mut self.handsets {
            // Somebody opens the list: what does not unfold is found out.
            let unfolded = handset.phone.unfold_all();
            unfolded.expect("no disk refuses any more");
        }
        let stirs = self.stirs();
        if stirs.is_none() && self.rounds >= LEAST_ROUNDS {
            self.quiet = true;
            return Ok(true);
        }
        check(self.rounds < ROUNDS, Broken::Restless, || {
            stirs.unwrap_or_default()
        })?;
        self.rounds += 1;
        for place in 0..self.handsets.len() {
            self.sync(place);
        }
        let day = if self.rounds == PATIENT_ROUNDS {
            DAY
        } else {
            0
        };
        self.after(ROUND + day, Happening::Round);
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
            if self.is_out(place) {
                continue;
            }
            if phone.disk.place.is_anew() || !phone.disk.wanted.is_empty() {
                return Some(format!("phone {place} has to be healed"));
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

    /// Whether the phone at `place` syncs no more: it was revoked, or heard so from a server that has forgotten it.
    pub fn is_out(&self, place: usize) -> bool {
        let phone = &self.handsets[place].phone;
        phone.disk.revoked || self.server.disk.revoked.contains_key(&phone.id)
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
