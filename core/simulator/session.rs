//! One sync of one phone: `exchange` says what is next, this builds the request and writes down the answer.

use crate::{
    draw::Draw,
    guard::Guard,
    kept::{Disk, Kept as Document},
    phone::{Phone, Stop},
};
use ed25519_dalek::VerifyingKey;
use kieumau_core::{
    document::Change,
    exchange::{self, Answer, Exchange, Failure, Feed, Situation, Step},
    hash::Sha256,
    id::DocumentId,
    inbox::Page,
    log::compare,
    outbox::{self, Asked, Heard, Load},
    review::heads_text,
    seal::{Seal, Signer},
    wire::{After, Compare, Compared, Fetch, Push, Pushed, ReceiptRequest},
};
use std::collections::{BTreeMap, BTreeSet};

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
    /// What is here, as it travels.
    Compare(Vec<u8>),
    /// What is wanted, as it travels.
    Fetch(Vec<u8>),
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
#[derive(Clone)]
pub enum Under {
    SignIn,
    /// With the changes that it sends and the receipts that it asks for.
    Push(Vec<Sha256>, Vec<ReceiptRequest>),
    Pull,
    Compare,
    Fetch(Fetch),
    Upload(Sha256),
}

/// A sync under way.
pub struct Session {
    exchange: Exchange,
    pub under: Option<Under>,
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

/// How a step went; a failure if no answer came that counts.
type Went = Result<(bool, Feed), Failure>;

impl Session {
    /// A sync that begins now.
    pub fn new(draw: Draw) -> Self {
        Self {
            exchange: Exchange::new(TRIES),
            under: None,
            draw,
        }
    }

    /// What is next.
    pub fn step(&mut self, phone: &mut Phone, kept: &Kept, now_ms: i64) -> Result<Wish, Stop> {
        let disk = &phone.disk;
        let due = exchange::compare_due(disk.place.compared_at_ms, now_ms);
        let situation = Situation {
            signed_in: kept.token.is_some(),
            unsent_changes: disk.rows.iter().any(|row| row.word.is_none()),
            anew: disk.place.is_anew(),
            compare_due: due,
            wanted: !disk.wanted.is_empty(),
            unsent_files: disk.files.values().any(|file| !file.received),
            unconfirmed: kept.asked.is_due(&unconfirmed(disk, phone.off), now_ms),
        };
        let (under, request) = match self.exchange.step(situation) {
            Step::SignIn => (Under::SignIn, Request::SignIn),
            Step::Push => {
                let (push, sent) = next_push(phone);
                let encoded = encoded(&push);
                (Under::Push(sent, push.receipts), Request::Push(encoded))
            }
            Step::Pull => (Under::Pull, Request::Pull(after(phone))),
            Step::Compare => {
                phone.unfold_all()?;
                let told = encoded(&here(&phone.disk));
                (Under::Compare, Request::Compare(told))
            }
            Step::Fetch => {
                let fetch = wanted(disk);
                let asked = encoded(&fetch);
                (Under::Fetch(fetch), Request::Fetch(asked))
            }
            Step::Upload => {
                let (sha256, request) = next_piece(disk, &kept.offsets);
                (Under::Upload(sha256), request)
            }
            Step::Rest(rest) => {
                return Ok(Wish::Rest(u64::try_from(rest.as_millis()).unwrap_or(0)));
            }
            Step::Finished => return Ok(Wish::End(true)),
            Step::GiveUp(_) => return Ok(Wish::End(false)),
        };
        self.under = Some(under);
        Ok(Wish::Send(request))
    }

    /// Hears an answer, writes down what it brings.
    pub fn hear(
        &mut self,
        phone: &mut Phone,
        kept: &mut Kept,
        reply: Reply,
        now_ms: i64,
    ) -> Result<(), Stop> {
        let answer = match self.take_in(phone, kept, reply, now_ms) {
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

    /// The step could not be begun: the disk is full.
    pub fn ends(&mut self) {
        self.exchange.answered(Answer::Failed(Failure::Final), 0.0);
    }

    fn take_in(
        &mut self,
        phone: &mut Phone,
        kept: &mut Kept,
        reply: Reply,
        now_ms: i64,
    ) -> Result<Went, Stop> {
        match (self.under.take(), reply) {
            (_, Reply::Revoked) => {
                phone.commit(|disk| disk.revoked = true)?;
                Ok(Err(Failure::Final))
            }
            (_, Reply::Failed(failure)) => {
                if failure == Failure::TokenExpired {
                    kept.token = None;
                }
                Ok(Err(failure))
            }
            (Some(Under::SignIn), Reply::Token(until)) => {
                kept.token = Some(until);
                Ok(Ok((false, Feed::Unread)))
            }
            (Some(Under::Push(sent, asked)), Reply::Bytes(bytes)) => {
                let pushed = minicbor::decode::<Pushed>(&bytes).ok();
                let heard = |pushed: &Pushed| Heard::of(&sent, pushed, kept.receipt_key);
                let Some((pushed, heard)) =
                    pushed.and_then(|it| heard(&it).map(|heard| (it, heard)))
                else {
                    return Ok(Err(Failure::Unreachable));
                };
                phone.hear(&heard, &pushed.missing_attachments)?;
                kept.asked.note(&asked, now_ms);
                phone.reissue()?;
                match &pushed.page {
                    None => Ok(Ok((false, Feed::Unread))),
                    Some(page) => read(phone, page, now_ms),
                }
            }
            (Some(Under::Pull), Reply::Bytes(page)) => read(phone, &page, now_ms),
            (Some(Under::Compare), Reply::Bytes(bytes)) => {
                let Ok(compared) = minicbor::decode::<Compared>(&bytes) else {
                    return Ok(Err(Failure::Unreachable));
                };
                let news = heal(phone, &compared, now_ms)?;
                if news {
                    kept.asked.forget();
                }
                Ok(Ok((news, Feed::Unread)))
            }
            (Some(Under::Fetch(fetch)), Reply::Bytes(page)) => {
                fetched(phone, &fetch, &page, now_ms)
            }
            (Some(Under::Upload(sha256)), Reply::Offset(offset)) => {
                kept.offsets.insert(sha256, offset);
                let size = phone.disk.files.get(&sha256).map(|file| file.bytes.len());
                let whole = size.is_none_or(|size| offset >= size);
                if whole {
                    kept.asked.forget();
                    phone.commit(|disk| {
                        if let Some(file) = disk.files.get_mut(&sha256) {
                            file.received = true;
                        }
                    })?;
                }
                Ok(Ok((whole, Feed::Unread)))
            }
            _ => Ok(Err(Failure::Unreachable)),
        }
    }
}

/// Takes in one page of the feed.
fn read(phone: &mut Phone, page: &[u8], now_ms: i64) -> Result<Went, Stop> {
    let Ok(page) = Page::read(page) else {
        return Ok(Err(Failure::Unreachable));
    };
    let came = phone.take_documents(&page, Some(&page.cursor), now_ms)?;
    let feed = if page.more { Feed::More } else { Feed::Read };
    Ok(Ok((came, feed)))
}

/// What differs is unsent again, and wanted.
fn heal(phone: &mut Phone, compared: &Compared, now_ms: i64) -> Result<bool, Stop> {
    let anew = phone.disk.place.is_anew();
    let off = phone.off;
    phone.commit(|disk| {
        let differing = compared.differing.iter();
        for id in differing.filter(|_| off != Some(Guard::Compare)) {
            for row in disk.rows.iter_mut().filter(|row| row.document == *id) {
                row.word = row.word.take().filter(|word| outbox::is_taken_out(word));
            }
            disk.want(*id, false);
        }
        if anew {
            let went = disk.go_on(&compared.cursor, now_ms, off);
            went.expect("a comparison ends in a cursor");
        }
        disk.place.compared_at_ms = Some(now_ms);
    })?;
    Ok(anew || !compared.differing.is_empty())
}

/// Takes in what was fetched, and what that settles.
fn fetched(phone: &mut Phone, fetch: &Fetch, page: &[u8], now_ms: i64) -> Result<Went, Stop> {
    let Ok(page) = Page::read(page) else {
        return Ok(Err(Failure::Unreachable));
    };
    let came = phone.take_documents(&page, None, now_ms)?;
    let through = if page.more {
        page.cursor.parse().expect("the server names a document")
    } else {
        DocumentId::from_bytes([0xff; 16])
    };
    phone.commit(|disk| {
        for id in fetch.documents.iter().filter(|id| **id <= through) {
            if disk
                .wanted
                .get(id)
                .is_some_and(|singly| *singly <= fetch.singly)
            {
                disk.wanted.remove(id);
            }
            let known = disk.documents.contains_key(id);
            let goes = |lain: &crate::kept::Lain| lain.document == *id && lain.set_aside && known;
            disk.lain.retain(|lain| !goes(lain));
        }
    })?;
    let feed = Feed::Unread;
    Ok(Ok((came, feed)))
}

/// How much of each file the server has, as far as the phone knows.
pub type Offsets = BTreeMap<Sha256, usize>;

/// What one sync leaves to the next, in memory.
pub struct Kept {
    pub token: Option<u64>,
    pub offsets: Offsets,
    pub asked: Asked,
    pub receipt_key: VerifyingKey,
}

fn encoded<T: minicbor::Encode<()>>(item: &T) -> Vec<u8> {
    minicbor::to_vec(item).expect("writing to memory does not fail")
}

fn after(phone: &Phone) -> After {
    After {
        cursor: phone.disk.place.cursor.clone(),
        opening: Some(phone.opening),
        snapshots: true,
    }
}

/// What is here. What this person may no longer read only if the server may have lost it: it is not fetched.
fn here(disk: &Disk) -> Compare {
    let anew = disk.place.is_anew();
    let documents = disk.documents.iter();
    let told = documents.filter(|(_, kept)| anew || !kept.ungranted);
    Compare {
        documents: compare::pack(told.map(|(id, kept)| (*id, compare::digest(&kept.heads)))),
    }
}

/// What is wanted in one form.
fn wanted(disk: &Disk) -> Fetch {
    let singly = disk.wanted.values().all(|singly| *singly);
    let of_form = disk.wanted.iter().filter(|(_, form)| **form == singly);
    Fetch {
        documents: of_form.map(|(id, _)| *id).collect(),
        singly,
    }
}

/// The oldest unsent changes with fresh seals, and a question about every document that lacks its receipt.
fn next_push(phone: &Phone) -> (Push, Vec<Sha256>) {
    let disk = &phone.disk;
    let unsent = || disk.rows.iter().filter(|row| row.word.is_none());
    let mut load = Load::new(phone.line_bytes);
    for row in unsent().filter(|row| row.own) {
        load.write(row.document, Change::clone(&row.change));
    }
    let carried = unsent().filter(|row| !row.own);
    let documents: BTreeSet<DocumentId> = carried.map(|row| row.document).collect();
    for id in documents {
        if load.is_full() {
            break;
        }
        let rows = unsent().filter(|row| !row.own && row.document == id);
        let changes = rows.map(|row| Change::clone(&row.change)).collect();
        let kept = disk.seals.iter().filter(|((of, _), _)| *of == id);
        let seals: Vec<Seal> = kept.map(|(_, seal)| *seal).collect();
        let carries = load.carry(id, changes, &seals);
        carries.expect("what is on the disk is changes");
    }
    let sent = load.sent;
    let parts = load.documents.into_iter().map(|(id, unsent)| {
        let key = &disk.documents[&id].key;
        let fresh = unsent.seals(&phone.key, Signer::Phone(phone.id), key);
        unsent.pushed(key, fresh.expect("what is on the disk is changes"))
    });
    let after = after(phone);
    let asks = outbox::asks_for_page(&after.cursor, unsent().count(), sent.len());
    let mut push = Push {
        documents: parts.collect(),
        after: asks.then_some(after),
        ..Push::default()
    };
    let lacking = unconfirmed(disk, phone.off);
    outbox::ask_for_receipts(&mut push, lacking, unsent().count(), sent.len());
    (push, sent)
}

/// What to ask receipts for.
fn unconfirmed(disk: &Disk, off: Option<Guard>) -> Vec<ReceiptRequest> {
    let lacks = |(id, kept): &(&DocumentId, &Document)| {
        let standing = disk.standing(**id, kept, off);
        standing.own && !standing.covered
    };
    let wanting = disk.documents.iter().filter(lacks);
    wanting
        .map(|(id, kept)| ReceiptRequest {
            document: *id,
            heads: hashes(&kept.heads),
            attachments: kept.files.iter().copied().collect(),
        })
        .collect()
}

/// Heads as a row holds them.
fn hashes(text: &str) -> Vec<Sha256> {
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
