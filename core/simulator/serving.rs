//! The server's tasks: the committer, the checker, and its start after a death.

use crate::{
    checker::{self, Checker, Looked},
    draw::Draw,
    guard::{Guard, Violation},
    session::Reply,
    stored::Reader,
    world::{Happening, Waiting, World},
};
use kieumau_core::{
    exchange::Failure,
    log::{head::Epoch, leaf::Leaf},
    wire::{After, PUSHED_PAGE_LIMIT_BYTES},
};

impl World {
    /// A push waits for the committer, with whatever else arrives until it begins.
    pub fn queue_push(&mut self, waiting: Waiting) {
        self.group.push(waiting);
        if !self.commit_due {
            self.commit_due = true;
            let mut draw = Draw::at(self.script.seed, "commit", [self.now, 0]);
            self.after(draw.within(1, 200), Happening::Commits(self.process));
        }
    }

    /// One transaction with all that waits; the answers go out after it.
    pub fn commits(&mut self, process: u64) -> Result<(), Violation> {
        if process != self.process {
            return Ok(());
        }
        self.commit_due = false;
        let (pushes, answers): (Vec<_>, Vec<_>) = std::mem::take(&mut self.group)
            .into_iter()
            .map(|waiting| (waiting.push, waiting.answer))
            .unzip();
        let (next, pushed) = self.server.write(&pushes, self.now_ms());
        self.trace
            .line(self.now, format_args!("server commits {}", pushes.len()));
        let stored = self.server.commit(next);
        if !self.server.up {
            self.server_died();
            return Ok(());
        }
        for ((push, answer), mut pushed) in pushes.iter().zip(answers).zip(pushed) {
            let Some((ticket, after)) = answer else {
                continue;
            };
            if !stored {
                self.answer(Some(ticket), Reply::Failed(Failure::Unreachable));
                continue;
            }
            pushed.page = after.and_then(|after| self.next_page(&push.carrier, &after));
            let bytes = minicbor::to_vec(&pushed).expect("writing to memory does not fail");
            self.answer(Some(ticket), Reply::Bytes(bytes));
        }
        self.look_soon();
        self.nothing_is_doubled()
    }

    fn next_page(&self, reader: &Reader, after: &After) -> Option<Vec<u8>> {
        let page = self.server.page(reader, after, self.limits);
        (page.len() <= PUSHED_PAGE_LIMIT_BYTES).then_some(page)
    }

    fn look_soon(&mut self) {
        if !self.look_due {
            self.look_due = true;
            let mut draw = Draw::at(self.script.seed, "look", [self.now, 0]);
            let slow = !self.healed && draw.chance(200);
            let delay = draw.within(20, if slow { 20_000 } else { 500 });
            self.after(delay, Happening::Looks(self.process));
        }
    }

    /// The checker reads what waits for it. It leaves some for later, as if a worker were slow.
    pub fn looks(&mut self, process: u64) {
        if process != self.process {
            return;
        }
        self.look_due = false;
        let mut draw = Draw::at(self.script.seed, "checks", [self.now, 0]);
        let mut looked = Checker::look(&self.server.disk);
        if !self.healed {
            looked.retain(|_, _| !draw.chance(300));
        }
        let delay = draw.within(1, 400);
        self.after(delay, Happening::Settles(self.process, looked));
    }

    /// The checker writes down what the worker said.
    pub fn settles(&mut self, process: u64, looked: &Looked) -> Result<(), Violation> {
        if process != self.process {
            return Ok(());
        }
        let next = self.checker.settle(&self.server.disk, looked, self.off);
        let stored = self.server.commit(next);
        self.trace.line(
            self.now,
            format_args!("server checked {} documents", looked.len()),
        );
        if !self.server.up {
            self.server_died();
            return Ok(());
        }
        if !stored {
            self.checker.die();
        }
        if Checker::look(&self.server.disk).is_empty() {
            let mut draw = Draw::at(self.script.seed, "saves", [self.now, 0]);
            self.after(draw.within(1, 2_000), Happening::Saves(self.process));
        } else {
            self.look_soon();
        }
        Ok(())
    }

    /// A document is saved whole while nothing else is to be done.
    pub fn saves(&mut self, process: u64) {
        let grown = checker::grown(&self.server.disk, self.saves_from);
        let Some(id) = grown.first().filter(|_| process == self.process) else {
            return;
        };
        let spoilt = std::mem::take(&mut self.spoils);
        let next = checker::saved(&self.server.disk, *id, spoilt);
        self.trace
            .line(self.now, format_args!("server saves a document whole"));
        let stored = self.server.commit(next);
        if !self.server.up {
            self.server_died();
        } else if stored && grown.len() > 1 {
            self.after(50, Happening::Saves(process));
        }
    }

    /// The server starts again: what it promised must be on its disk.
    pub fn restart(&mut self) -> Result<(), Violation> {
        if self.server.up {
            return Ok(());
        }
        self.server.up = true;
        self.commit_due = false;
        self.look_due = false;
        if std::mem::take(&mut self.puts_back) {
            self.put_back();
        }
        self.look_soon();
        self.promises_are_kept()
    }

    /// The backup is the server's disk, and the log begins a new epoch.
    fn put_back(&mut self) {
        let Some(backup) = self.server.backup.clone() else {
            return;
        };
        self.lives += 1;
        self.server.disk = backup;
        if self.off() != Some(Guard::Anew) {
            let mut draw = Draw::at(self.script.seed, "epoch", [u64::from(self.lives), 0]);
            let (epoch, at_ms) = (Epoch(draw.bytes()), self.now_ms());
            self.server.disk.begin_anew(epoch, self.lives, at_ms);
            // Database and files may come from backups of different days.
            if draw.chance(500) {
                self.server.disk.attachments.pop_first();
            }
        }
        self.trace
            .line(self.now, format_args!("a backup is put back"));
        self.lost_with_the_disk();
    }

    /// A chief revokes a phone: a leaf of the log, from which on nothing of it comes in.
    pub fn revoke(&mut self, place: usize) {
        self.revokes = None;
        let phone = self.handsets[place].phone.id;
        let mut next = self.server.disk.clone();
        // What a revoked phone had in the log before a backup was put back comes no more: what builds on it waits for a person.
        if next.revoked.contains_key(&phone) || !self.server.up || self.lives > 0 {
            return;
        }
        let at_ms = self.now_ms();
        let leaf = next.append(Leaf::Revoked { phone, at_ms });
        next.revoked.insert(phone, leaf);
        self.trace
            .line(self.now, format_args!("phone {place} is revoked"));
        self.server.commit(next);
        if !self.server.up {
            self.server_died();
        }
    }
}
