//! What the script says, done: people record, processes die, disks refuse.

use crate::{
    draw::Draw,
    guard::Violation,
    kept::Row,
    officer::{self, Recorded},
    phone::{Fate, Stop},
    script::{Event, What},
    server::Trouble,
    world::{Happening, World},
};
use kieumau_core::{
    document::{Change, Key, Kind},
    outbox::Load,
    seal::Signer,
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
                let fate = draw.one_of(&fates).copied();
                let later = draw.below(4);
                self.handsets[place].phone.fate = fate.map(|fate| (later, fate));
                self.sync(place);
            }
            What::FullDisk => {
                self.handsets[place].phone.fate = Some((draw.below(4), Fate::Refused));
                self.sync(place);
            }
            What::Copy => {
                let phone = &mut self.handsets[place].phone;
                phone.copy = Some(phone.disk.clone());
            }
            What::Restore => self.restore(place, &mut draw),
            What::Relay => self.relay(place, &mut draw),
            What::Revoke if draw.chance(700) => self.revokes = Some(place),
            What::Revoke => self.revoke(place),
            What::KillServer if self.server.up => self.server_died(),
            What::KillServer => {}
            What::KillServerInside => {
                let fates = [Fate::DiesBefore, Fate::DiesAfter];
                self.server.fate = draw.one_of(&fates).copied();
            }
            What::FullServer => self.server.fate = Some(Fate::Refused),
            What::BackUp => self.server.backup = Some(self.server.disk.clone()),
            What::PutBack if self.server.backup.is_some() => {
                self.puts_back = true;
                if self.server.up {
                    self.server_died();
                }
            }
            What::PutBack => {}
            What::Refuse => {
                let troubles = [Trouble::Unsealed, Trouble::NoRoom, Trouble::Full];
                self.handsets[place].trouble = draw.one_of(&troubles).copied();
            }
            What::Spoil => self.spoils = true,
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
        self.sent_is_true(place)
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
                    self.checker.poisoned.insert(hash, key.document());
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
        self.lost_with_the_disk();
    }

    /// Another phone hands in what this one wrote last in one document, and not what that was written upon.
    fn relay(&mut self, place: usize, draw: &mut Draw) {
        let of = &self.handsets[place].phone;
        let others = self.handsets.iter().filter(|other| {
            other.phone.unit == of.unit && other.phone.id != of.id && !other.phone.disk.revoked
        });
        let others: Vec<_> = others.collect();
        let unsent = || {
            of.disk
                .rows
                .iter()
                .filter(|row| row.word.is_none() && row.own)
        };
        let documents: Vec<_> = unsent().map(|row| row.document).collect();
        let (Some(carrier), Some(document)) = (draw.one_of(&others), draw.one_of(&documents))
        else {
            return;
        };
        let rows: Vec<&Row> = unsent().filter(|row| row.document == *document).collect();
        let skipped = usize::try_from(draw.below(rows.len() as u64)).unwrap_or(0);
        let mut load = Load::new(usize::MAX);
        for row in &rows[skipped..] {
            load.write(*document, Change::clone(&row.change));
        }
        let part = load.documents.remove(document).unwrap_or_default();
        let key = &of.disk.documents[document].key;
        let seals = part.seals(&of.key, Signer::Phone(of.id), key);
        let seals = seals.expect("what is on the disk is changes");
        let push = Push {
            documents: vec![part.pushed(key, seals)],
            ..Push::default()
        };
        let carrier = carrier.phone.reader();
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
        handset.kept.asked.forget();
        handset.phone.die();
        self.account.died(place);
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
        let handset = &mut self.handsets[place];
        if !handset.running {
            handset.running = true;
            handset.phone.open();
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
