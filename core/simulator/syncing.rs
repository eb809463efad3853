//! Syncs: requests go out, arrive or not, and answers come back or not.

use crate::{
    bytes::Reading,
    draw::Draw,
    guard::{Broken, Violation, check},
    line,
    phone::Stop,
    promise::position,
    script::Weather,
    server::Trouble,
    session::{Reply, Request, Session, Wish},
    stored::Reader,
    world::{Happening, Ticket, Waiting, World},
};
use kieumau_core::{
    exchange::Failure,
    header,
    id::PhoneId,
    log::{leaf::Leaf, numbering::Entry},
    outbox::Signed,
    wire::{Compare, Fetch, Push},
};
use std::time::Duration;

/// How long a token is good.
const TOKEN: u64 = 600_000;
/// Requests of one sync: more than any sync of this size needs.
const REQUESTS: u64 = 2_000;

impl World {
    /// A sync begins, unless one is under way.
    pub fn sync(&mut self, place: usize) {
        let seed = self.script.seed;
        let handset = &mut self.handsets[place];
        if !handset.running || handset.session.is_some() || handset.phone.disk.revoked {
            return;
        }
        handset.number += 1;
        let draw = Draw::at(seed, "session", [place as u64, handset.number]);
        if self.healed {
            self.account.sync();
        }
        let phone = &mut handset.phone;
        match phone.send_again().and_then(|()| phone.reissue()) {
            Ok(()) => {
                handset.session = Some(Session::new(draw));
                self.advance(place);
            }
            Err(Stop::Full) => {}
            Err(Stop::Died) => self.dies(place),
        }
    }

    /// A phone's process died inside a transaction.
    fn dies(&mut self, place: usize) {
        let request = self.handsets[place].requests;
        let mut draw = Draw::at(self.script.seed, "dies", [place as u64, request]);
        self.kill(place, &mut draw);
    }

    /// The clock of the phone at `place`.
    fn phone_ms(&self, place: usize) -> i64 {
        self.now_ms() + self.handsets[place].phone.skew_ms
    }

    /// Does the next step of the sync under way.
    pub fn advance(&mut self, place: usize) {
        let now_ms = self.phone_ms(place);
        let handset = &mut self.handsets[place];
        let Some(session) = &mut handset.session else {
            return;
        };
        match session.step(&mut handset.phone, &handset.kept, now_ms) {
            Ok(Wish::Send(request)) => self.send(place, request),
            Ok(Wish::Rest(rest)) => {
                let number = handset.number;
                self.after(rest, Happening::Wakes(place, number));
            }
            Ok(Wish::End(whole)) => {
                handset.session = None;
                self.trace
                    .line(self.now, format_args!("phone {place} synced: {whole}"));
            }
            Err(Stop::Full) => {
                session.ends();
                self.advance(place);
            }
            Err(Stop::Died) => self.dies(place),
        }
    }

    fn send(&mut self, place: usize, request: Request) {
        let handset = &mut self.handsets[place];
        handset.requests += 1;
        handset.waits = true;
        let ticket = Ticket {
            place,
            session: handset.number,
            request: handset.requests,
        };
        let token = handset.kept.token;
        self.trace.line(
            self.now,
            format_args!("phone {place} sends {}", request.word()),
        );
        if let Request::Push(bytes) = &request {
            self.trace.bytes(bytes);
        }
        let trouble = match request {
            Request::Push(_) => handset.trouble.take(),
            _ => None,
        };
        if self.healed {
            self.account.request(place, &request, self.server.disk.life);
        }
        let name = (place, ticket.request);
        for (copy, delay) in line::way(self.script.seed, self.weather(), name)
            .into_iter()
            .enumerate()
        {
            let arrives = Happening::Arrives {
                ticket,
                token,
                request: request.clone(),
                answered: copy == 0,
                trouble,
            };
            self.after(delay, arrives);
        }
        self.after(line::PATIENCE, Happening::Impatient(ticket));
    }

    fn weather(&self) -> Weather {
        if self.healed {
            Weather::default()
        } else {
            self.script.weather
        }
    }

    /// A request is at the server.
    pub fn arrives(
        &mut self,
        ticket: Ticket,
        token: Option<u64>,
        (request, trouble): (Request, Option<Trouble>),
        answered: bool,
    ) {
        let answer = answered.then_some(ticket);
        if !self.server.up {
            return self.answer(answer, Reply::Failed(Failure::Unreachable));
        }
        let mut draw = Draw::at(
            self.script.seed,
            "served",
            [ticket.place as u64, ticket.request],
        );
        if !self.healed && draw.chance(20) {
            let retry_after = draw.chance(500).then(|| Duration::from_secs(2));
            return self.answer(answer, Reply::Failed(Failure::Busy { retry_after }));
        }
        let phone = &self.handsets[ticket.place].phone;
        if self.server.disk.revoked.contains_key(&phone.id) {
            return self.answer(answer, Reply::Revoked);
        }
        let good = token.is_some_and(|until| until > self.now);
        let reader = phone.reader();
        match request {
            Request::SignIn => self.answer(answer, Reply::Token(self.now + TOKEN)),
            _ if !good => self.answer(answer, Reply::Failed(Failure::TokenExpired)),
            Request::Push(bytes) => {
                let mut push: Push = read(&bytes);
                let after = push.after.clone();
                // What a colleague brings back is refused in no world: it is brought again a day later, and nobody waits so long here.
                let trouble = trouble.filter(|_| writes_all(phone.id, &push));
                if matches!(trouble, Some(Trouble::Unsealed | Trouble::NoRoom)) {
                    let documents = push.documents.iter_mut();
                    documents.for_each(|document| document.seals.clear());
                }
                let push = self.server.prepare(reader, push, trouble);
                if self.revokes == Some(ticket.place) {
                    self.revoke(ticket.place);
                }
                let answer = answer.map(|ticket| (ticket, after));
                self.queue_push(Waiting { push, answer });
            }
            Request::Pull(after) => {
                let page = self.server.page(&reader, &after, self.limits);
                self.answer(answer, Reply::Bytes(page));
            }
            Request::Compare(bytes) => {
                let compared = self.server.compare(&reader, &read::<Compare>(&bytes));
                let bytes = minicbor::to_vec(&compared);
                let bytes = bytes.expect("writing to memory does not fail");
                self.answer(answer, Reply::Bytes(bytes));
            }
            Request::Fetch(bytes) => {
                let fetch = read::<Fetch>(&bytes);
                let page = self.server.fetch(&reader, &fetch, self.limits);
                self.answer(answer, Reply::Bytes(page));
            }
            Request::Upload {
                sha256,
                size_bytes,
                offset,
                bytes,
            } => {
                let reply = self.upload(&reader, (sha256, size_bytes), offset, &bytes);
                self.answer(answer, reply);
            }
        }
    }

    /// A piece of a file. The server's disk has it before the answer says so.
    fn upload(
        &mut self,
        carrier: &Reader,
        (sha256, size_bytes): (kieumau_core::hash::Sha256, usize),
        offset: usize,
        bytes: &[u8],
    ) -> Reply {
        let unit = carrier.unit;
        let mut next = self.server.disk.clone();
        if next.attachments.contains_key(&(unit, sha256)) {
            return Reply::Offset(size_bytes);
        }
        let there = next.uploads.entry((unit, sha256)).or_default();
        if there.len() != offset {
            return Reply::Offset(there.len());
        }
        there.extend(bytes);
        let reached = there.len();
        if reached == size_bytes {
            next.uploads.remove(&(unit, sha256));
            let leaf = next.append(Leaf::Attachment {
                unit,
                sha256,
                size_bytes: size_bytes as u64,
                received_at_ms: self.now_ms(),
            });
            next.attachments.insert((unit, sha256), leaf);
        }
        let stored = self.server.commit(next);
        if !self.server.up {
            self.server_died();
        }
        if stored {
            Reply::Offset(reached)
        } else {
            Reply::Failed(Failure::Unreachable)
        }
    }

    /// The server answers.
    pub fn answer(&mut self, ticket: Option<Ticket>, reply: Reply) {
        let Some(ticket) = ticket else {
            return;
        };
        let name = (ticket.place, ticket.request);
        if let Some((delay, reply)) = line::back(self.script.seed, self.weather(), name, reply) {
            self.after(delay, Happening::Answered(ticket, reply));
        }
    }

    /// An answer is at the phone, or its patience ends.
    pub fn answered(&mut self, ticket: Ticket, reply: Reply) -> Result<(), Violation> {
        let place = ticket.place;
        let handset = &mut self.handsets[place];
        let current = handset.number == ticket.session && handset.requests == ticket.request;
        if !current || !handset.waits || handset.session.is_none() {
            return Ok(());
        }
        handset.waits = false;
        self.trace.line(
            self.now,
            format_args!("phone {place} hears {}", reply.word()),
        );
        if let Reply::Bytes(bytes) = &reply {
            self.trace.bytes(bytes);
        }
        if self.healed {
            let under = handset.session.as_ref().and_then(|it| it.under.clone());
            let (phone, entries) = (&handset.phone, &self.server.disk.entries);
            let entries = entries.get(&phone.unit).map_or(&[][..], Vec::as_slice);
            let granted = |id| {
                let grant = Entry::Grant(id, phone.person);
                entries.iter().any(|(_, entry)| *entry == grant)
            };
            let granted = &granted;
            let reader = Reading {
                place,
                phone,
                granted,
                life: self.server.disk.life,
            };
            self.account.reply(&reader, under.as_ref(), &reply);
        }
        let before = handset.phone.disk.receipts.clone();
        let now_ms = self.phone_ms(place);
        let handset = &mut self.handsets[place];
        let Some(mut session) = handset.session.take() else {
            return Ok(());
        };
        let heard = session.hear(&mut handset.phone, &mut handset.kept, reply, now_ms);
        handset.session = Some(session);
        if self.healed {
            let now = handset.phone.disk.receipts.iter();
            let says = |signed: &Signed| {
                let Signed { heads, epoch, .. } = signed;
                (heads.clone(), *epoch, signed.attachments.clone())
            };
            let new = now.filter(|(id, signed)| before.get(*id).map(says) != Some(says(signed)));
            self.account
                .receipts(new.flat_map(|(_, signed)| &signed.tokens));
        }
        if heard == Err(Stop::Died) {
            self.dies(place);
        }
        let disk = &self.handsets[place].phone.disk;
        let at = position(&self.handsets[place].phone).map(|at| (at.number, at.listed));
        let changes = disk.rows.len();
        let unsent = disk.rows.iter().filter(|row| row.word.is_none()).count();
        self.trace.line(
            self.now,
            format_args!("phone {place} has {changes} changes, {unsent} unsent, read up to {at:?}"),
        );
        self.looked_at(place)?;
        check(ticket.request < REQUESTS, Broken::Restless, || {
            format!("phone {place} made {} requests", ticket.request)
        })?;
        if heard.is_ok() {
            self.advance(place);
        }
        Ok(())
    }
}

fn read<'b, T: minicbor::Decode<'b, ()>>(bytes: &'b [u8]) -> T {
    minicbor::decode(bytes).expect("a request arrives whole or not at all")
}

impl Request {
    fn word(&self) -> String {
        match self {
            Self::SignIn => "sign-in".to_owned(),
            Self::Push(bytes) => format!("push, {} bytes", bytes.len()),
            Self::Pull(_) => "pull".to_owned(),
            Self::Compare(bytes) => format!("compare, {} bytes", bytes.len()),
            Self::Fetch(bytes) => format!("fetch, {} bytes", bytes.len()),
            Self::Upload { offset, bytes, .. } => {
                format!("file, {} bytes at {offset}", bytes.len())
            }
        }
    }
}

impl Reply {
    fn word(&self) -> String {
        match self {
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            other => format!("{other:?}"),
        }
    }
}

/// Whether the phone wrote all that it brings.
fn writes_all(phone: PhoneId, push: &Push) -> bool {
    let mut changes = push.documents.iter().flat_map(|document| &document.changes);
    changes.all(|bytes| {
        header::read(bytes).is_ok_and(|header| header.actor.starts_with(phone.as_bytes()))
    })
}
