//! The server's tasks: the committer, the checker, and its start after a death.

use crate::{
    draw::Draw,
    feed::{Checker, Looked, Reader},
    guard::Violation,
    server::Carrier,
    session::Reply,
    world::{Happening, Waiting, World},
};
use kieumau_core::{
    exchange::Failure,
    log::leaf::Leaf,
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

    fn next_page(&self, carrier: &Carrier, after: &After) -> Option<Vec<u8>> {
        let phones = self.handsets.iter().map(|handset| &handset.phone);
        let role = phones
            .into_iter()
            .find(|phone| phone.id == carrier.phone)?
            .role;
        let carrier = carrier.clone();
        let page = self
            .server
            .page(&Reader { carrier, role }, after, self.limits);
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
        if !Checker::look(&self.server.disk).is_empty() {
            self.look_soon();
        }
        Ok(())
    }

    /// The server starts again: what it promised must be on its disk.
    pub fn restart(&mut self) -> Result<(), Violation> {
        if self.server.up {
            return Ok(());
        }
        self.server.up = true;
        self.commit_due = false;
        self.look_due = false;
        self.look_soon();
        self.promises_are_kept()
    }

    /// A chief revokes a phone: a leaf of the log, from which on nothing of it comes in.
    pub fn revoke(&mut self, place: usize) {
        self.revokes = None;
        let phone = self.handsets[place].phone.id;
        let mut next = self.server.disk.clone();
        if next.revoked.contains_key(&phone) || !self.server.up {
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
