//! One sync of one phone: `exchange` says what is next, this builds the request and writes down the answer.

use crate::{
    draw::Draw,
    guard::Guard,
    phone::{Disk, Phone, Stop},
};
use ed25519_dalek::VerifyingKey;
use kieumau_core::{
    document::{Change, Key},
    exchange::{Answer, Exchange, Failure, Feed, Situation, Step},
    hash::Sha256,
    id::DocumentId,
    inbox::{self, Arrival, Reading},
    outbox::{self, Heard},
    review::heads_text,
    wire::{self, After, Push, Pushed, ReceiptRequest},
};
use std::collections::BTreeMap;

/// Failures in a row after which a sync gives up.
const TRIES: u32 = 4;
/// Bytes of a file in one request.
const CHUNK: usize = 700;

/// What travels to the server. Bytes are the product's own, but for files: they go by tus, which is not played.
#[derive(Clone, Debug)]
pub enum Request {
    /// An assertion for a token.
    SignIn,
    /// A push, as it travels.
    Push(Vec<u8>),
    /// A pull's query.
    Pull(After),
    /// A piece of a file, from where the server is with it.
    Upload {
        sha256: Sha256,
        size_bytes: usize,
        offset: usize,
        bytes: Vec<u8>,
    },
}

/// What comes back.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A token, good until then.
    Token(u64),
    /// The answer to a push or a pull, as it travels.
    Bytes(Vec<u8>),
    /// How much of a file the server has.
    Offset(usize),
    /// It did not go.
    Failed(Failure),
    /// The phone was revoked.
    Revoked,
}

/// What a step is, once its request is under way.
enum Under {
    SignIn,
    Push(Vec<Sha256>),
    Pull,
    Upload(Sha256),
}

/// A sync under way.
pub struct Session {
    exchange: Exchange,
    reading: Reading,
    under: Option<Under>,
    draw: Draw,
}

/// What the sync wants of the world.
pub enum Wish {
    /// Carry this.
    Send(Request),
    /// Wake it after so many milliseconds.
    Rest(u64),
    /// It ended; true if nothing failed.
    End(bool),
}

impl Session {
    /// A sync that begins now.
    pub fn new(draw: Draw) -> Self {
        Self {
            exchange: Exchange::new(TRIES),
            reading: Reading::default(),
            under: None,
            draw,
        }
    }

    /// What is next.
    pub fn step(&mut self, phone: &Phone, token: Option<u64>, offsets: &Offsets) -> Wish {
        let disk = &phone.disk;
        let situation = Situation {
            signed_in: token.is_some(),
            unsent_changes: disk.rows.iter().any(|row| row.word.is_none()),
            unsent_files: disk.files.values().any(|file| !file.received),
            unconfirmed: !unconfirmed(disk, phone.off).is_empty(),
        };
        let (under, request) = match self.exchange.step(situation) {
            Step::SignIn => (Under::SignIn, Request::SignIn),
            Step::Push => {
                let (push, sent) = next_push(phone);
                let bytes = minicbor::to_vec(&push).expect("writing to memory does not fail");
                (Under::Push(sent), Request::Push(bytes))
            }
            Step::Pull => (Under::Pull, Request::Pull(after(phone))),
            Step::Upload => {
                let (sha256, request) = next_piece(disk, offsets);
                (Under::Upload(sha256), request)
            }
            Step::Rest(rest) => return Wish::Rest(u64::try_from(rest.as_millis()).unwrap_or(0)),
            Step::Finished => return Wish::End(true),
            Step::GiveUp(_) => return Wish::End(false),
        };
        self.under = Some(under);
        Wish::Send(request)
    }

    /// Hears an answer, writes down what it brings.
    pub fn hear(&mut self, phone: &mut Phone, kept: &mut Kept, reply: Reply) -> Result<(), Stop> {
        let answer = match self.take_in(phone, kept, reply) {
            Ok(Ok((news, feed))) => Answer::Went { news, feed },
            Ok(Err(failure)) => Answer::Failed(failure),
            // A full disk ends the sync: trying again does not help.
            Err(Stop::Full) => Answer::Failed(Failure::Final),
            Err(Stop::Died) => return Err(Stop::Died),
        };
        let random = self.draw.fraction();
        self.exchange.answered(answer, random);
        Ok(())
    }

    fn take_in(
        &mut self,
        phone: &mut Phone,
        kept: &mut Kept,
        reply: Reply,
    ) -> Result<Result<(bool, Feed), Failure>, Stop> {
        let under = self.under.take();
        let went = match (under, reply) {
            (_, Reply::Revoked) => {
                phone.commit(|disk| disk.revoked = true)?;
                return Ok(Err(Failure::Final));
            }
            (_, Reply::Failed(failure)) => {
                if failure == Failure::TokenExpired {
                    kept.token = None;
                }
                return Ok(Err(failure));
            }
            (Some(Under::SignIn), Reply::Token(until)) => {
                kept.token = Some(until);
                (false, Feed::Unread)
            }
            (Some(Under::Push(sent)), Reply::Bytes(bytes)) => {
                let Ok(pushed) = minicbor::decode::<Pushed>(&bytes) else {
                    return Ok(Err(Failure::Unreachable));
                };
                let heard = Heard::of(&sent, &pushed, kept.receipt_key);
                phone.hear(&heard, &pushed.missing_attachments)?;
                match &pushed.page {
                    None => (false, Feed::Unread),
                    Some(page) => match self.page(phone, page)? {
                        Ok(went) => went,
                        Err(failure) => return Ok(Err(failure)),
                    },
                }
            }
            (Some(Under::Pull), Reply::Bytes(page)) => match self.page(phone, &page)? {
                Ok(went) => went,
                Err(failure) => return Ok(Err(failure)),
            },
            (Some(Under::Upload(sha256)), Reply::Offset(offset)) => {
                kept.offsets.insert(sha256, offset);
                let size = phone.disk.files.get(&sha256).map(|file| file.bytes.len());
                let whole = size.is_none_or(|size| offset >= size);
                if whole {
                    phone.commit(|disk| {
                        if let Some(file) = disk.files.get_mut(&sha256) {
                            file.received = true;
                        }
                    })?;
                }
                (whole, Feed::Unread)
            }
            _ => return Ok(Err(Failure::Unreachable)),
        };
        Ok(Ok(went))
    }

    /// Takes in one page of the feed, wherever it came from.
    fn page(
        &mut self,
        phone: &mut Phone,
        page: &[u8],
    ) -> Result<Result<(bool, Feed), Failure>, Stop> {
        let Some(items) = wire::sequence(page) else {
            return Ok(Err(Failure::Unreachable));
        };
        let (mut arrivals, _) = inbox::arrivals(items);
        if phone.off == Some(Guard::CursorLast) {
            arrivals.rotate_right(1);
        }
        let mut came = 0;
        let mut went = Err(Failure::Unreachable);
        for arrival in arrivals {
            match arrival {
                Arrival::Changes(incoming) => {
                    let (new, lacking) = phone.merge(&incoming)?;
                    self.reading.lacked(lacking);
                    came += new;
                }
                Arrival::Ungrant(_) => {}
                Arrival::Cursor { cursor, more } => {
                    let (cursor, more) = self.reading.goes_on(cursor, more);
                    if phone.off != Some(Guard::Cursor) || more {
                        phone.commit(|disk| disk.cursor = cursor)?;
                    }
                    went = Ok(if more { Feed::More } else { Feed::Read });
                }
            }
        }
        Ok(went.map(|feed| (came > 0, feed)))
    }
}

/// How much of each file the server has, as far as the phone knows.
pub type Offsets = BTreeMap<Sha256, usize>;

/// What one sync leaves to the next, in memory.
pub struct Kept {
    pub token: Option<u64>,
    pub offsets: Offsets,
    pub receipt_key: VerifyingKey,
}

fn after(phone: &Phone) -> After {
    After {
        cursor: phone.disk.cursor.clone(),
        opening: Some(phone.opening),
    }
}

/// The oldest unsent changes with fresh seals, and a question about every document that lacks its receipt.
fn next_push(phone: &Phone) -> (Push, Vec<Sha256>) {
    let disk = &phone.disk;
    let unsent = || disk.rows.iter().filter(|row| row.word.is_none());
    let sizes = unsent().map(|row| row.change.bytes.len());
    let taken = outbox::cut(sizes, phone.line_bytes);
    let mut documents: BTreeMap<DocumentId, Vec<Change>> = BTreeMap::new();
    let mut sent = Vec::new();
    for row in unsent().take(taken) {
        sent.push(row.change.hash);
        let changes = documents.entry(row.document).or_default();
        changes.push(Change::clone(&row.change));
    }
    let parts = documents.into_iter().map(|(id, changes)| {
        let key: &Key = &disk.documents[&id].key;
        outbox::document(&phone.key, phone.id, key, changes)
            .expect("what is on the disk is changes")
    });
    let after = after(phone);
    let push = Push {
        documents: parts.collect(),
        receipts: unconfirmed(disk, phone.off),
        after: outbox::asks_for_page(&after.cursor, unsent().count(), sent.len()).then_some(after),
    };
    (push, sent)
}

/// What to ask receipts for.
fn unconfirmed(disk: &Disk, off: Option<Guard>) -> Vec<ReceiptRequest> {
    let documents = disk.documents.iter();
    let wanting = documents.filter(|(id, kept)| disk.standing(**id, kept, off).wants_receipt());
    wanting
        .map(|(id, kept)| ReceiptRequest {
            document: *id,
            heads: hashes(&kept.heads),
            attachments: kept.files.iter().copied().collect(),
        })
        .take(outbox::PUSH_RECEIPTS)
        .collect()
}

/// Heads as a row holds them.
pub fn hashes(text: &str) -> Vec<Sha256> {
    let hashes: Vec<Sha256> = text
        .split(' ')
        .filter_map(|hash| hash.parse().ok())
        .collect();
    debug_assert_eq!(heads_text(&hashes), text);
    hashes
}

fn next_piece(disk: &Disk, offsets: &Offsets) -> (Sha256, Request) {
    let mut files = disk.files.iter();
    let (sha256, file) = files
        .find(|(_, file)| !file.received)
        .expect("a file is unsent");
    let offset = offsets
        .get(sha256)
        .copied()
        .unwrap_or(0)
        .min(file.bytes.len());
    let end = (offset + CHUNK).min(file.bytes.len());
    let request = Request::Upload {
        sha256: *sha256,
        size_bytes: file.bytes.len(),
        offset,
        bytes: file.bytes[offset..end].to_vec(),
    };
    (*sha256, request)
}
