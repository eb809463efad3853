//! What the script says, done: people record, processes die, disks refuse.

use crate::{
    draw::Draw,
    guard::Violation,
    officer::{self, Recorded},
    phone::{Fate, Stop},
    script::{Event, What},
    server::Carrier,
    world::{Happening, World},
};
use kieumau_core::{
    document::{Change, Key, Kind},
    outbox,
    wire::Push,
};
use std::collections::BTreeSet;

impl World {
    /// Does what the script says.
    pub fn event(&mut self, event: &Event) -> Result<(), Violation> {
        let seed = self.script.seed;
        let mut draw = Draw::at(seed, "event", [event.id, 0]);
        let place = event.phone % self.handsets.len();
        self.trace
            .line(self.now, format_args!("{:?} phone {place}", event.what));
        match event.what {
            What::Record | What::Attach | What::Join | What::Poison => {
                self.recorded(place, event.what, &mut draw)?;
            }
            What::Sync => self.sync(place),
            What::Kill => self.kill(place, &mut draw),
            What::KillInside => {
                let fates = [Fate::DiesBefore, Fate::DiesAfter];
                self.handsets[place].phone.fate = draw.one_of(&fates).copied();
            }
            What::FullDisk => self.handsets[place].phone.fate = Some(Fate::Refused),
            What::Copy => {
                let phone = &mut self.handsets[place].phone;
                phone.copy = Some(phone.disk.clone());
            }
            What::Restore => self.restore(place, &mut draw),
            What::Relay => self.relay(place, &mut draw),
            What::Revoke if draw.chance(500) => self.revokes = Some(place),
            What::Revoke => self.revoke(place),
            What::KillServer if self.server.up => self.server_died(),
            What::KillServer => {}
            What::KillServerInside => {
                let fates = [Fate::DiesBefore, Fate::DiesAfter];
                self.server.fate = draw.one_of(&fates).copied();
            }
            What::FullServer => self.server.fate = Some(Fate::Refused),
        }
        Ok(())
    }

    fn recorded(&mut self, place: usize, what: What, draw: &mut Draw) -> Result<(), Violation> {
        if !self.handsets[place].running {
            return Ok(());
        }
        let at_ms = self.now_ms();
        let offered = self.patrols(place);
        let phone = &mut self.handsets[place].phone;
        let recorded = match what {
            What::Attach => officer::attach(phone, at_ms, draw),
            What::Join => officer::join(phone, &offered, at_ms, draw),
            _ => officer::record(phone, at_ms, draw),
        };
        self.acknowledged(place, what, recorded, draw);
        Ok(())
    }

    /// What was recorded is shown as saved, or the officer is told that it was not.
    fn acknowledged(
        &mut self,
        place: usize,
        what: What,
        recorded: Result<Recorded, Stop>,
        draw: &mut Draw,
    ) {
        match recorded {
            Ok(Some((key, hash))) => {
                self.trace.bytes(hash.as_bytes());
                self.watch.acknowledged(place, key.document(), hash);
                if what == What::Poison {
                    self.checker.poisoned.insert(hash);
                }
            }
            Ok(None) | Err(Stop::Full) => {}
            Err(Stop::Died) => self.kill(place, draw),
        }
    }

    /// The patrols that people of the phone's unit have on any phone: each shows its QR.
    fn patrols(&self, place: usize) -> Vec<Key> {
        let unit = self.handsets[place].phone.unit;
        let of_unit = self
            .handsets
            .iter()
            .filter(|handset| handset.phone.unit == unit);
        let keys = of_unit.flat_map(|handset| handset.phone.disk.documents.values());
        let patrols = keys.filter(|kept| kept.key.kind == Kind::PatrolLog);
        let patrols: BTreeSet<Key> = patrols.map(|kept| kept.key.clone()).collect();
        patrols.into_iter().collect()
    }

    /// A copy of the phone's database is put back; what was recorded since then and had not left the phone is gone with the phone.
    fn restore(&mut self, place: usize, draw: &mut Draw) {
        let Some(copy) = self.handsets[place].phone.copy.clone() else {
            return;
        };
        self.kill(place, draw);
        let phone = &mut self.handsets[place].phone;
        phone.disk = copy;
        let server = &self.server.disk;
        self.watch.restored(place, |document, hash| {
            phone.disk.row(hash).is_some() || server.row(document, hash).is_some()
        });
    }

    /// Another phone hands in what this one wrote last in one document, and not what that was written upon.
    fn relay(&mut self, place: usize, draw: &mut Draw) {
        let of = &self.handsets[place].phone;
        let others = self.handsets.iter().filter(|other| {
            other.phone.unit == of.unit && other.phone.id != of.id && !other.phone.disk.revoked
        });
        let others: Vec<_> = others.collect();
        let unsent = || of.disk.rows.iter().filter(|row| row.word.is_none());
        let documents: Vec<_> = unsent().map(|row| row.document).collect();
        let (Some(carrier), Some(document)) = (draw.one_of(&others), draw.one_of(&documents))
        else {
            return;
        };
        let rows = unsent().filter(|row| row.document == *document);
        let changes: Vec<Change> = rows.map(|row| Change::clone(&row.change)).collect();
        let skipped = usize::try_from(draw.below(changes.len() as u64)).unwrap_or(0);
        let key = &of.disk.documents[document].key;
        let part = outbox::document(&of.key, of.id, key, changes[skipped..].to_vec());
        let push = Push {
            documents: part.into_iter().collect(),
            ..Push::default()
        };
        let carrier = Carrier {
            phone: carrier.phone.id,
            person: carrier.phone.person,
            unit: carrier.phone.unit,
        };
        let delay = draw.within(10, 20_000);
        self.after(delay, Happening::Relayed { carrier, push });
    }

    /// The process is gone, and starts again after a while.
    pub fn kill(&mut self, place: usize, draw: &mut Draw) {
        let handset = &mut self.handsets[place];
        handset.running = false;
        handset.session = None;
        handset.waits = false;
        handset.kept.token = None;
        handset.kept.offsets.clear();
        handset.phone.die();
        let down = if self.healed {
            10
        } else {
            draw.within(50, 30_000)
        };
        self.trace
            .line(self.now, format_args!("phone {place} died"));
        self.after(down, Happening::Reopens(place));
    }

    /// The process starts again.
    pub fn reopen(&mut self, place: usize) {
        let seed = self.script.seed;
        let handset = &mut self.handsets[place];
        if !handset.running {
            handset.running = true;
            handset.phone.open(seed);
        }
    }

    /// The server's process is gone, and with it what it had not committed.
    pub fn server_died(&mut self) {
        if self.server.up {
            self.server.die();
        }
        self.checker.die();
        self.group.clear();
        self.process += 1;
        let mut draw = Draw::at(self.script.seed, "restart", [self.process, 0]);
        let down = if self.healed {
            10
        } else {
            draw.within(100, 20_000)
        };
        self.trace.line(self.now, format_args!("server died"));
        self.after(down, Happening::Restarts);
    }
}
