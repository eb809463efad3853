//! Outbox: what of a phone's unsent changes goes into one push, and what the server's answer makes of them.
//!
//! The phone's store reads rows, calls these functions and writes rows; a simulator does the same with what it keeps in memory.
//! Nothing is marked as sent by having been sent: only the server's answer marks it, and only a receipt whose signature holds
//! lets an item be shown as *Đã gửi*.

mod asked;

pub use asked::Asked;

use crate::{
    document::{Change, Fate, Key},
    hash::Sha256,
    header::{self, HeaderError},
    id::DocumentId,
    log::{
        admission::{Refusal, Remedy},
        head::Epoch,
        paging::Cursor,
    },
    receipt::Receipt,
    review::heads_text,
    seal::{self, Seal, Signer},
    wire::{Push, Pushed, PushedDocument, ReceiptRequest, WireKey},
};
use ed25519_dalek::{SigningKey, VerifyingKey};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// Changes in one push: with their seals well below the server's limits.
pub const PUSH_CHANGES: usize = 2_000;
/// Bytes of changes in one push, on a line that bears them.
pub const PUSH_BYTES: usize = 4 << 20;
/// Documents asked about in one push.
const PUSH_RECEIPTS: usize = 2_000;

/// The word of a change that the server holds.
pub const HELD: &str = "held";
/// The word of a change that the server keeps until its ancestor comes.
pub const WAITING: &str = "waiting";

/// Whether a push that sends `sent` of `unsent` changes asks for the feed's next page: the last one of several does. A phone that
/// has nothing yet pulls instead, which comes compressed; and a cursor that says to begin anew waits for the comparison: an
/// ordinary page would write an ordinary cursor over it, and what the restored server lost of documents that this phone may no
/// longer read would never be named.
#[must_use]
pub fn asks_for_page(cursor: &str, unsent: usize, sent: usize) -> bool {
    let goes_on = Cursor::parse(cursor).is_some_and(|cursor| !cursor.is_anew());
    goes_on && unsent <= sent
}

/// Which receipts a push asks for that sends `sent` of `unsent` changes: those of the documents it carries, and the last one of several
/// also those of all others that lack theirs. Asked about in each, what is confirmed would be said again until the feed is read, for only
/// then the phone knows that these receipts are of the log's present epoch.
pub fn ask_for_receipts(
    push: &mut Push,
    mut lacking: Vec<ReceiptRequest>,
    unsent: usize,
    sent: usize,
) {
    if sent < unsent {
        let carried: BTreeSet<DocumentId> = push
            .documents
            .iter()
            .filter_map(|carried| Some(carried.key.key().ok()?.document()))
            .collect();
        lacking.retain(|asked| carried.contains(&asked.document));
    }
    lacking.truncate(PUSH_RECEIPTS);
    push.receipts = lacking;
}

/// Whether a change may be sent: its bytes are those of its name, as the server will read them. What is not is refused here as the
/// server would refuse it, and holds up no other.
#[must_use]
pub fn is_readable(change: &Change) -> bool {
    header::read(&change.bytes).is_ok_and(|header| header.hash == change.hash)
}

/// Gives what the server cannot read, and so names by its bytes, the name that it has here.
pub fn under_their_names(push: &Push, pushed: &mut Pushed) {
    let malformed = |word: &str| word == Refusal::Malformed.word();
    if !pushed.changes.iter().any(|told| malformed(&told.word)) {
        return;
    }
    let sent = push.documents.iter().flat_map(|of| &of.changes);
    let names: BTreeMap<Sha256, Sha256> = sent
        .filter_map(|bytes| Some((Sha256::of(bytes), header::read(bytes).ok()?.hash)))
        .collect();
    for told in &mut pushed.changes {
        if malformed(&told.word)
            && let Some(name) = names.get(&told.hash)
        {
            told.hash = *name;
        }
    }
}

/// What goes into one push, on a line that bears so many bytes. The first thing goes whatever its size.
///
/// What was written here is cut anywhere, for it is sealed afresh. What others wrote goes in parts that hold the change which a seal of
/// theirs names and all that this seal covers: cut before that change, the rest would arrive without a seal, and be refused.
#[derive(Clone, Debug)]
pub struct Load {
    line_bytes: usize,
    bytes: usize,
    full: bool,
    /// The changes, in the order in which they were taken.
    pub sent: Vec<Sha256>,
    /// What is sent of each document.
    pub documents: BTreeMap<DocumentId, Unsent>,
}

/// What is sent of one document.
#[derive(Clone, Debug, Default)]
pub struct Unsent {
    own: Vec<Change>,
    carried: Vec<Change>,
    /// Others' seals of what is carried.
    kept: Vec<Seal>,
}

impl Load {
    /// An empty one.
    #[must_use]
    pub fn new(line_bytes: usize) -> Self {
        Self {
            line_bytes: line_bytes.min(PUSH_BYTES),
            bytes: 0,
            full: false,
            sent: Vec::new(),
            documents: BTreeMap::new(),
        }
    }

    /// Whether nothing more goes in.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// Takes a change that was written here, if it still goes in.
    pub fn write(&mut self, document: DocumentId, change: Change) {
        if self.takes(std::slice::from_ref(&change)) {
            let unsent = self.documents.entry(document).or_default();
            unsent.own.push(change);
        }
    }

    /// Takes what others wrote in a document, each after what it depends on, as far as it still goes in. `seals`: all that are kept of it.
    ///
    /// # Errors
    /// A stored change that is none: the disk is damaged.
    pub fn carry(
        &mut self,
        document: DocumentId,
        changes: Vec<Change>,
        seals: &[Seal],
    ) -> Result<(), HeaderError> {
        for part in parts(changes, seals)? {
            if !self.takes(&part) {
                break;
            }
            let unsent = self.documents.entry(document).or_default();
            let named = |seal: &&Seal| part.iter().any(|change| change.hash == seal.change);
            unsent.kept.extend(seals.iter().filter(named));
            unsent.carried.extend(part);
        }
        Ok(())
    }

    fn takes(&mut self, changes: &[Change]) -> bool {
        let bytes: usize = changes.iter().map(|change| change.bytes.len()).sum();
        let fits = self.bytes + bytes <= self.line_bytes
            && self.sent.len() + changes.len() <= PUSH_CHANGES;
        self.full |= !fits && !self.sent.is_empty();
        if !self.full {
            self.bytes += bytes;
            self.sent.extend(changes.iter().map(|change| change.hash));
        }
        !self.full
    }
}

/// Changes of one document in parts that may travel apart: each is covered by seals of its own changes. What no seal covers is last.
fn parts(changes: Vec<Change>, seals: &[Seal]) -> Result<Vec<Vec<Change>>, HeaderError> {
    let sealed: BTreeSet<Sha256> = seals.iter().map(|seal| seal.change).collect();
    let mut parts = Vec::new();
    let mut open: Vec<Change> = Vec::new();
    let mut headers = BTreeMap::new();
    for change in changes {
        let header = header::read(&change.bytes)?;
        headers.insert(
            change.hash,
            (header.actor.to_vec(), header.seq, header.deps),
        );
        let hash = change.hash;
        open.push(change);
        if sealed.contains(&hash) {
            let named: Vec<Sha256> = open.iter().map(|change| change.hash).collect();
            let named: Vec<Sha256> = named.into_iter().filter(|it| sealed.contains(it)).collect();
            let covered = seal::covered(&named, |hash| headers.get(hash).cloned());
            if covered.len() == open.len() {
                parts.push(std::mem::take(&mut open));
                headers.clear();
            }
        }
    }
    if !open.is_empty() {
        parts.push(open);
    }
    Ok(parts)
}

impl Unsent {
    /// One fresh seal per actor: of its newest change that was written here, which covers the older ones through its own dependencies. So
    /// every cut is sealed.
    ///
    /// # Errors
    /// A stored change that is none: the disk is damaged.
    pub fn seals(
        &self,
        key: &SigningKey,
        signer: Signer,
        of: &Key,
    ) -> Result<Vec<Seal>, HeaderError> {
        let mut newest: BTreeMap<Vec<u8>, (u64, Sha256)> = BTreeMap::new();
        for change in &self.own {
            let header = header::read(&change.bytes)?;
            let entry = newest
                .entry(header.actor.to_vec())
                .or_insert((header.seq, header.hash));
            *entry = (*entry).max((header.seq, header.hash));
        }
        let newest = newest.into_values();
        Ok(newest.map(|(_, hash)| of.seal(key, signer, hash)).collect())
    }

    /// The document's part of a push, with its fresh seals and those of others.
    #[must_use]
    pub fn pushed(self, of: &Key, fresh: Vec<Seal>) -> PushedDocument {
        let changes = self.own.into_iter().chain(self.carried);
        PushedDocument {
            key: WireKey::from(of),
            changes: changes.map(|change| change.bytes).collect(),
            seals: fresh.into_iter().chain(self.kept).collect(),
        }
    }
}

/// What an answer makes of what was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// What the server says of each sent change: [`HELD`], [`WAITING`], or a refusal's word.
    pub words: Vec<(Sha256, String)>,
    /// What the server signed for, by document.
    pub receipts: BTreeMap<DocumentId, Signed>,
}

impl Heard {
    /// What `pushed` says about `sent`. A receipt counts only if its signature by `receipt_key` holds. None when it names bytes that
    /// were never sent: on the way to the server a change became another, so what it took without a word is not known.
    #[must_use]
    pub fn of(sent: &[Sha256], pushed: &Pushed, receipt_key: VerifyingKey) -> Option<Self> {
        let outcomes = pushed.changes.iter();
        let outcomes: BTreeMap<Sha256, &str> =
            outcomes.map(|c| (c.hash, c.word.as_str())).collect();
        let strange = |(hash, word): (&Sha256, &&str)| {
            *word == Refusal::Malformed.word() && !sent.contains(hash)
        };
        if outcomes.iter().any(strange) {
            return None;
        }
        // What was simply taken is not mentioned.
        let word = |hash: &Sha256| outcomes.get(hash).copied().unwrap_or(HELD).to_owned();
        let mut receipts: BTreeMap<DocumentId, Signed> = BTreeMap::new();
        for jws in &pushed.receipts {
            if let Ok(receipt) = Receipt::verify(jws, |_| Some(receipt_key)) {
                match receipts.entry(receipt.document) {
                    Entry::Occupied(mut signed) => signed.get_mut().add(receipt, jws),
                    Entry::Vacant(free) => {
                        free.insert(Signed::new(receipt, jws));
                    }
                }
            }
        }
        Some(Self {
            words: sent.iter().map(|hash| (*hash, word(hash))).collect(),
            receipts,
        })
    }
}

/// Whether a change of which the server said `word` is on its way there: held, or taken once its ancestor comes.
#[must_use]
pub fn is_kept(word: &str) -> bool {
    matches!(word, HELD | WAITING)
}

/// What is written down of a change of which the server said `word`. What this phone only carried is its writer's to be told of:
/// nothing here waits for it, but for room: whose writer's phone lost it has nobody else who brings it.
#[must_use]
pub fn written_down(word: &str, own: bool) -> &str {
    if own || word == WAITING || is_sent_again(word, own) {
        word
    } else {
        HELD
    }
}

/// Whether a change of which the server said `word` is sent again at the next sync as it is: what was refused for want of room; and, of
/// this phone's own, what waits for an ancestor, for the server may have refused it when that came, and tells so only who brings it.
#[must_use]
pub fn is_sent_again(word: &str, own: bool) -> bool {
    own && word == WAITING || Remedy::of_word(word) == Some(Remedy::SendAgain)
}

/// Whether a change of this phone's own, of which the server said `word`, is not sent again by itself: a server that lost it and the word, as
/// one does that was put back from a backup, has it again only by comparing.
#[must_use]
pub fn is_settled(word: &str) -> bool {
    !is_sent_again(word, true)
}

/// Whether what is refused so leaves its document.
#[must_use]
pub fn is_taken_out(word: &str) -> bool {
    matches!(
        Remedy::of_word(word),
        Some(Remedy::WriteAnew | Remedy::LeaveOut)
    )
}

/// What becomes of a change that the server answered so. What was written anew once and is refused again is left out.
#[must_use]
pub fn fate(server: Option<&str>, is_anew: bool) -> Fate {
    match server.and_then(Remedy::of_word) {
        Some(Remedy::WriteAnew) if !is_anew => Fate::Again,
        Some(Remedy::WriteAnew | Remedy::LeaveOut) => Fate::LeftOut,
        Some(Remedy::SendAgain | Remedy::Person) | None => Fate::Stands,
    }
}

/// What one answer's receipts say about one document: more than one when it names more files than one receipt does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The heads, in their one spelling.
    pub heads: String,
    /// The epoch of the log in which they say so.
    pub epoch: Epoch,
    /// The files.
    pub attachments: BTreeSet<Sha256>,
    /// The tokens.
    pub tokens: Vec<String>,
}

impl Signed {
    fn new(receipt: Receipt, jws: &str) -> Self {
        Self {
            heads: heads_text(&receipt.heads),
            epoch: receipt.epoch,
            attachments: receipt.attachments.into_iter().collect(),
            tokens: vec![jws.to_owned()],
        }
    }

    fn add(&mut self, receipt: Receipt, jws: &str) {
        if (&self.heads, self.epoch) == (&heads_text(&receipt.heads), receipt.epoch) {
            self.attachments.extend(receipt.attachments);
            self.tokens.push(jws.to_owned());
        } else {
            *self = Self::new(receipt, jws);
        }
    }

    /// Whether this says that the server, in the present `epoch` of its log, holds a document at these heads, with all these files.
    #[must_use]
    pub fn covers(&self, heads: &str, files: &BTreeSet<Sha256>, epoch: Option<Epoch>) -> bool {
        self.heads == heads && files.is_subset(&self.attachments) && epoch == Some(self.epoch)
    }

    /// Whether this settles a document that has `heads` here: they are held with all that is below them, so whatever was said of a change
    /// of it before (that it waits, that its phone was revoked), it is held by now.
    #[must_use]
    pub fn settles(&self, heads: &str) -> bool {
        self.heads == heads
    }
}

/// Where one document is, as facts of the phone's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// A receipt of the log's present epoch covers its heads and every file it names.
    pub covered: bool,
    /// Something in it was written here.
    pub own: bool,
    /// Changes of it that the server is not known to hold: unsent, waiting or refused.
    pub unsettled: bool,
    /// Fixes of it that are not yet in the document.
    pub loose: bool,
}

impl Standing {
    /// Whether the server signed for all of it. What others wrote came from the server: there is nothing of one's own in it to
    /// be signed for.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        (self.covered || !self.own) && !self.unsettled && !self.loose
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        document::{self, Actor},
        id::{PhoneId, UnitId},
        log::paging::Position,
        patrol::PatrolLog,
        wire::ChangeOutcome,
    };

    fn hash(number: u8) -> Sha256 {
        Sha256([number; 32])
    }

    fn receipt(heads: Vec<Sha256>, epoch: u8) -> Receipt {
        Receipt {
            document: DocumentId::from_bytes([1; 16]),
            heads,
            attachments: vec![hash(epoch)],
            epoch: Epoch([epoch; 16]),
            leaf_index: 1,
            tree_size: 2,
            root: hash(9),
            received_at_ms: 0,
            phone: PhoneId::from_bytes([3; 16]),
        }
    }

    fn told(hash: Sha256, word: &str) -> ChangeOutcome {
        ChangeOutcome {
            hash,
            word: word.to_owned(),
        }
    }

    #[test]
    fn a_cursor_that_says_to_begin_anew_is_not_read_on_inside_a_push() {
        let epoch = Epoch([1; 16]);
        let anew = Cursor::anew(epoch).to_text();
        assert!(!asks_for_page(&anew, 1, 1));
        assert!(!asks_for_page("", 1, 1), "a phone that has nothing pulls");
        // The twin: any other is, by the last push.
        let position = Position {
            unit: UnitId::from_bytes([2; 16]),
            number: 7,
            listed: None,
        };
        let feeds = vec![position];
        let ordinary = Cursor { epoch, feeds }.to_text();
        assert!(asks_for_page(&ordinary, 1, 1));
        assert!(!asks_for_page(&ordinary, 2, 1), "more is to be sent");
    }

    #[test]
    fn each_push_asks_about_what_it_carries_and_the_last_one_about_all() {
        let keys = [1, 2].map(|number| {
            Key::patrol(
                UnitId::from_bytes([1; 16]),
                crate::id::fresh(1, [number; 10]),
            )
        });
        let asked = |sent| {
            let carried = PushedDocument {
                key: WireKey::from(&keys[0]),
                changes: Vec::new(),
                seals: Vec::new(),
            };
            let mut push = Push {
                documents: vec![carried],
                ..Push::default()
            };
            let lacking = keys.each_ref().map(|key| ReceiptRequest {
                document: key.document(),
                heads: Vec::new(),
                attachments: Vec::new(),
            });
            ask_for_receipts(&mut push, lacking.into(), 2, sent);
            push.receipts.len()
        };
        assert_eq!((asked(1), asked(2)), (1, 2));
    }

    /// Four changes of one writer in one document, and the seals of those at `sealed`.
    fn written(sealed: &[usize]) -> (DocumentId, Vec<Change>, Vec<Seal>) {
        let key = Key::patrol(UnitId::from_bytes([1; 16]), crate::id::fresh(1, [1; 10]));
        let phone = PhoneId::from_bytes([1; 16]);
        let actor = Actor {
            phone,
            opening: [1; 8],
        };
        let mut document = document::new(&key);
        let mut changes = Vec::new();
        for title in ["a", "b", "c", "d"] {
            let edited = document::edit(&mut document, actor, 0, |log: &mut PatrolLog| {
                log.title = Some(title.to_owned());
                Ok(())
            });
            changes.extend(edited.expect("edits").1);
        }
        let signing = SigningKey::from_bytes(&[1; 32]);
        let seal = |at: &usize| key.seal(&signing, Signer::Phone(phone), changes[*at].hash);
        let seals = sealed.iter().map(seal).collect();
        (key.document(), changes, seals)
    }

    #[test]
    fn what_others_wrote_is_never_cut_before_the_change_that_their_seal_names() {
        let carried = |sealed: &[usize], line_bytes| {
            let (id, changes, seals) = written(sealed);
            let mut load = Load::new(line_bytes);
            load.carry(id, changes, &seals).expect("changes");
            (
                load.sent.len(),
                load.documents[&id].kept.len(),
                load.is_full(),
            )
        };
        assert_eq!(carried(&[3], 1), (4, 1, false), "one seal covers all of it");
        assert_eq!(
            carried(&[1, 3], 1),
            (2, 1, true),
            "the first part goes alone"
        );
        assert_eq!(carried(&[1, 3], 10_000), (4, 2, false));
        assert_eq!(
            carried(&[1], 10_000),
            (4, 1, false),
            "what no seal covers too"
        );
    }

    #[test]
    fn what_was_written_here_is_cut_anywhere_and_the_first_goes_whatever_its_size() {
        let (id, changes, _) = written(&[]);
        let sizes: usize = changes[..2].iter().map(|change| change.bytes.len()).sum();
        for (line_bytes, taken) in [(1, 1), (sizes, 2), (10_000, 4)] {
            let mut load = Load::new(line_bytes);
            for change in &changes {
                load.write(id, change.clone());
            }
            assert_eq!(load.sent.len(), taken);
            assert_eq!(load.is_full(), taken < 4);
        }
    }

    #[test]
    fn what_the_answer_does_not_mention_is_held_and_a_strangers_receipt_is_nothing() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let sign = |receipt: Receipt| receipt.sign(&key).expect("well formed");
        let pushed = Pushed {
            changes: vec![told(hash(2), WAITING)],
            receipts: vec![sign(receipt(vec![hash(1)], 5))],
            ..Pushed::default()
        };
        let heard = |key: &SigningKey| Heard::of(&[hash(1), hash(2)], &pushed, key.verifying_key());
        let here = heard(&key).expect("it names what was sent");
        let words: Vec<&str> = here.words.iter().map(|(_, word)| word.as_str()).collect();
        assert_eq!(words, [HELD, WAITING]);
        let signed = &here.receipts[&receipt(vec![], 5).document];
        assert!(signed.settles(&heads_text(&[hash(1)])));
        assert!(!signed.settles(&heads_text(&[hash(1), hash(2)])));
        // The twin: another's signature.
        let stranger = SigningKey::from_bytes(&[2; 32]);
        assert!(heard(&stranger).expect("as above").receipts.is_empty());
    }

    #[test]
    fn receipts_of_the_same_heads_and_epoch_count_together_and_no_others() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let more = Receipt {
            attachments: vec![hash(7)],
            ..receipt(vec![hash(1)], 5)
        };
        let told = |second: Receipt| {
            let both = [receipt(vec![hash(1)], 5), second];
            let receipts = both.map(|receipt| receipt.sign(&key).expect("well formed"));
            let pushed = Pushed {
                receipts: receipts.to_vec(),
                ..Pushed::default()
            };
            let heard = Heard::of(&[], &pushed, key.verifying_key()).expect("nothing strange");
            heard
                .receipts
                .into_values()
                .next()
                .expect("one")
                .attachments
        };
        assert_eq!(told(more), [hash(5), hash(7)].into());
        assert_eq!(told(receipt(vec![hash(1)], 6)), [hash(6)].into());
        assert_eq!(told(receipt(vec![hash(2)], 5)), [hash(5)].into());
    }

    #[test]
    fn an_answer_about_bytes_that_were_never_sent_says_nothing() {
        let key = SigningKey::from_bytes(&[1; 32]).verifying_key();
        let pushed = Pushed {
            changes: vec![told(hash(7), Refusal::Malformed.word())],
            ..Pushed::default()
        };
        assert_eq!(Heard::of(&[hash(1)], &pushed, key), None);
        // The twin: about what was sent it says much.
        assert!(Heard::of(&[hash(7)], &pushed, key).is_some());
    }

    /// A change of a colleague's, and a push that sends it.
    fn sends_one() -> (Change, Push) {
        let key = Key::patrol(
            UnitId::from_bytes([3; 16]),
            uuid::Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0009),
        );
        let actor = crate::document::Actor {
            phone: PhoneId::from_bytes([9; 16]),
            opening: [9; 8],
        };
        let mut born = document::new(&key);
        let rename = |log: &mut crate::patrol::PatrolLog| {
            log.title = Some("Ca".to_owned());
            Ok(())
        };
        let (_, change) = document::edit(&mut born, actor, 0, rename).expect("the rules hold");
        let change = change.expect("something was written");
        let mut unsent = Unsent::default();
        unsent.own.push(change.clone());
        let documents = vec![unsent.pushed(&key, Vec::new())];
        let push = Push {
            documents,
            ..Push::default()
        };
        (change, push)
    }

    #[test]
    fn what_the_server_cannot_read_is_refused_alone() {
        let (change, push) = sends_one();
        let sent = [change.hash, hash(2)];
        let mut pushed = Pushed {
            changes: vec![told(Sha256::of(&change.bytes), Refusal::Malformed.word())],
            ..Pushed::default()
        };
        let key = SigningKey::from_bytes(&[1; 32]).verifying_key();
        // The twin: by its bytes it is taken for a stranger's, and nothing of the answer counts, push after push.
        assert_eq!(Heard::of(&sent, &pushed, key), None);
        under_their_names(&push, &mut pushed);
        let heard = Heard::of(&sent, &pushed, key).expect("it names what was sent");
        let words: Vec<&str> = heard.words.iter().map(|(_, word)| word.as_str()).collect();
        assert_eq!(words, [Refusal::Malformed.word(), HELD]);
    }

    #[test]
    fn what_is_no_change_of_its_name_is_not_sent() {
        let (mut change, _) = sends_one();
        assert!(is_readable(&change));
        change.hash = hash(1);
        assert!(!is_readable(&change));
        let (mut change, _) = sends_one();
        change.bytes[20] ^= 1;
        assert!(!is_readable(&change));
    }

    #[test]
    fn a_refusal_of_what_was_only_carried_is_not_this_phones() {
        let word = Refusal::Unsealed.word();
        assert_eq!(written_down(word, true), word);
        assert_eq!(written_down(word, false), HELD);
        assert_eq!(written_down(WAITING, false), WAITING);
        // For want of room it is brought again, whoever wrote it.
        let full = Refusal::QuarantineFull.word();
        assert_eq!(written_down(full, false), full);
        assert!(is_sent_again(full, false));
    }

    #[test]
    fn nothing_is_sent_while_anything_of_it_is_loose_unsettled_or_unsigned() {
        let sent = Standing {
            covered: true,
            own: true,
            unsettled: false,
            loose: false,
        };
        assert!(sent.is_whole());
        for not in [
            Standing {
                covered: false,
                ..sent
            },
            Standing {
                unsettled: true,
                ..sent
            },
            Standing {
                loose: true,
                ..sent
            },
        ] {
            assert!(!not.is_whole());
        }
        let others = Standing {
            covered: false,
            own: false,
            ..sent
        };
        assert!(others.is_whole());
    }
}
