//! What the bytes that travel are worth, once the line is good.
//!
//! While the line is bad, a phone cannot know which of its messages arrived, so sending again is what keeps the promise, and no bound
//! on it would say anything about the rules. From the moment it heals, everything arrives, and so everything *needed* has to travel
//! once: a change that the phone has no word about, with its seal; a question for a receipt that was not asked since, and the receipt
//! that newly names these heads; a change or a seal that the phone has not, or that it wrote before it was last opened (the server
//! cannot know whether its disk is an older copy), and such a one once more when its document is granted, because a grant brings the
//! document whole; a page of which a phone died before it kept how far that goes, once more; a piece of a file. To that come the frames: 300 bytes
//! for each round trip that carried something needed, and for one round trip of each sync (P5: nothing new is one request
//! and an answer of at most 300 bytes). Everything else is waste, and all together may be half of the ideal.

use crate::{
    phone::Phone,
    session::{Reply, Request, Under},
};
use kieumau_core::{
    hash::Sha256,
    header,
    id::DocumentId,
    seal::Signer,
    wire::{Pulled, Push, Pushed},
};
use std::collections::BTreeSet;

/// A round trip's frame.
const FRAME: usize = 300;

/// A phone that hears an answer.
pub struct Reading<'a> {
    pub place: usize,
    pub phone: &'a Phone,
    /// Whether a document was granted to its person.
    pub granted: &'a dyn Fn(DocumentId) -> bool,
    /// The epoch of the log, by its number.
    pub life: u32,
}

/// See the module.
#[derive(Default)]
pub struct Account {
    /// Bytes that travelled since the line is good.
    pub spent: usize,
    /// Bytes that had to.
    pub ideal: usize,
    /// The epoch of the log, by its number: in another one all has to be told once more.
    life: u32,
    seen: BTreeSet<(usize, u32, Sha256)>,
    /// Phones that died since they last heard a page: what they hold of it is not beneath their cursor yet.
    died: BTreeSet<usize>,
}

impl Account {
    /// The phone at `place` died, perhaps over a page.
    pub fn died(&mut self, place: usize) {
        self.died.insert(place);
    }

    /// A sync began.
    pub fn sync(&mut self) {
        self.ideal += FRAME;
    }

    /// The phone at `place` sends this.
    pub fn request(&mut self, place: usize, request: &Request, life: u32) {
        self.life = life;
        match request {
            Request::SignIn => {}
            // What is here is told once in an epoch, and what differs asked for; once a day beside.
            Request::Compare(bytes) | Request::Fetch(bytes) => {
                self.spent += bytes.len();
                self.ideal += bytes.len();
            }
            Request::Pull(after) => self.spent += after.query().len(),
            Request::Upload {
                sha256,
                offset,
                bytes,
                ..
            } => {
                self.spent += bytes.len() + FRAME;
                let piece = Sha256::of_parts(&[sha256.as_bytes(), &offset.to_be_bytes()]);
                self.needs(place, piece, bytes.len() + FRAME);
            }
            Request::Push(bytes) => {
                self.spent += bytes.len();
                let push: Push = minicbor::decode(bytes).expect("it was just written");
                for document in &push.documents {
                    for change in &document.changes {
                        self.needs(place, Sha256::of(change), change.len());
                    }
                    for seal in &document.seals {
                        let encoded = seal.encode();
                        self.needs(place, Sha256::of(&encoded), encoded.len());
                    }
                }
                for asked in &push.receipts {
                    let encoded = minicbor::to_vec(asked).expect("writing to memory does not fail");
                    self.needs(place, Sha256::of(&encoded), encoded.len());
                }
            }
        }
    }

    /// The phone at `place` hears this.
    pub fn reply(&mut self, reader: &Reading<'_>, under: Option<&Under>, reply: &Reply) {
        let Reply::Bytes(bytes) = reply else {
            return;
        };
        self.life = reader.life;
        self.spent += bytes.len();
        let before = self.ideal;
        match under {
            Some(Under::Push(..)) => {
                // One that was cut before the line healed is worth nothing.
                let pushed = minicbor::decode::<Pushed>(bytes).unwrap_or_default();
                self.page(reader, pushed.page.as_deref().unwrap_or_default());
            }
            // What differs comes whole.
            Some(Under::Compare | Under::Fetch(_)) => self.ideal += bytes.len(),
            _ => self.page(reader, bytes),
        }
        if self.ideal > before {
            self.ideal += FRAME;
        }
    }

    /// The phone has new receipts: these tokens had to come.
    pub fn receipts<'t>(&mut self, tokens: impl Iterator<Item = &'t String>) {
        self.ideal += tokens.map(String::len).sum::<usize>();
    }

    fn page(&mut self, reader: &Reading<'_>, page: &[u8]) {
        let (place, phone) = (reader.place, reader.phone);
        let mut granted = false;
        let items = sequence(page);
        let once_more = !items.is_empty() && self.died.remove(&place);
        for item in items {
            let encoded = minicbor::to_vec(&item).expect("writing to memory does not fail");
            match &item {
                Pulled::Change(bytes) => {
                    let header = header::read(bytes).expect("the server passes on changes");
                    let own = header.actor.starts_with(phone.id.as_bytes());
                    if own || once_more || phone.disk.row(header.hash).is_none() {
                        self.comes(place, &encoded, granted);
                    }
                }
                Pulled::Seal(seal) => {
                    let own = seal.signer == Signer::Phone(phone.id);
                    let seals = &phone.disk.seals;
                    if own || once_more || !seals.contains_key(&(seal.document, seal.change)) {
                        self.comes(place, &encoded, granted);
                    }
                }
                Pulled::Snapshot(_) => self.comes(place, &encoded, granted),
                Pulled::Document(key) => {
                    let key = key.key().expect("the server names documents");
                    granted = (reader.granted)(key.document());
                    self.needs(place, Sha256::of(&encoded), encoded.len());
                }
                _ => {}
            }
        }
    }

    /// Counts what has to come, once, or twice of a document that was granted.
    fn comes(&mut self, place: usize, item: &[u8], granted: bool) {
        let first = Sha256::of_parts(&[b"pulled", item]);
        if self.seen.contains(&(place, self.life, first)) && granted {
            self.needs(place, Sha256::of_parts(&[b"granted", item]), item.len());
        } else {
            self.needs(place, first, item.len());
        }
    }

    /// Counts what is needed, once.
    fn needs(&mut self, place: usize, what: Sha256, bytes: usize) {
        if self.seen.insert((place, self.life, what)) {
            self.ideal += bytes;
        }
    }
}

fn sequence(page: &[u8]) -> Vec<Pulled> {
    let mut decoder = minicbor::Decoder::new(page);
    let mut items = Vec::new();
    while let Ok(item) = decoder.decode() {
        items.push(item);
    }
    items
}
