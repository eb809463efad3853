//! Outbox: what of a phone's unsent changes goes into one push, and what the server's answer makes of them.
//!
//! The phone's store reads rows, calls these functions and writes rows; a simulator does the same with what it keeps in memory.
//! Nothing is marked as sent by having been sent: only the server's answer marks it, and only a receipt whose signature holds
//! lets an item be shown as *Đã gửi*.

use crate::{
    document::{Change, Key},
    hash::Sha256,
    header::{self, HeaderError},
    id::{DocumentId, PhoneId},
    receipt::Receipt,
    review::heads_text,
    seal::Signer,
    wire::{Pushed, PushedDocument, WireKey},
};
use ed25519_dalek::{SigningKey, VerifyingKey};
use std::collections::{BTreeMap, BTreeSet};

/// Changes in one push: with their seals well below the server's limits.
pub const PUSH_CHANGES: usize = 2_000;
/// Bytes of changes in one push, on a line that bears them.
pub const PUSH_BYTES: usize = 4 << 20;
/// Documents asked about in one push.
pub const PUSH_RECEIPTS: usize = 2_000;

/// The word of a change that the server holds.
pub const HELD: &str = "held";
/// The word of a change that the server keeps until its ancestor comes.
pub const WAITING: &str = "waiting";

/// How many of the oldest unsent changes go into the next push, by their sizes: as many as the line bears, and always one.
#[must_use]
pub fn cut(sizes: impl IntoIterator<Item = usize>, line_bytes: usize) -> usize {
    let mut bytes = 0;
    let fits = |size: &usize| {
        bytes += size;
        bytes <= line_bytes.min(PUSH_BYTES)
    };
    let sizes = sizes.into_iter().take(PUSH_CHANGES);
    let mut sizes = sizes.peekable();
    let any = usize::from(sizes.peek().is_some());
    sizes.take_while(fits).count().max(any)
}

/// Whether a push that sends `sent` of `unsent` changes asks for the feed's next page: the last one of several does. A phone that
/// has nothing yet pulls instead, which comes compressed.
#[must_use]
pub const fn asks_for_page(cursor: &str, unsent: usize, sent: usize) -> bool {
    !cursor.is_empty() && unsent <= sent
}

/// A document's part of a push: its changes, and one fresh seal per actor, of its newest change here, which covers the older
/// ones through its own dependencies. So every cut is sealed.
///
/// # Errors
/// A stored change that is none: the disk is damaged.
pub fn document(
    key: &SigningKey,
    phone: PhoneId,
    of: &Key,
    changes: Vec<Change>,
) -> Result<PushedDocument, HeaderError> {
    let mut newest: BTreeMap<Vec<u8>, (u64, Sha256)> = BTreeMap::new();
    for change in &changes {
        let header = header::read(&change.bytes)?;
        let entry = newest
            .entry(header.actor.to_vec())
            .or_insert((header.seq, header.hash));
        *entry = (*entry).max((header.seq, header.hash));
    }
    let seals = newest
        .into_values()
        .map(|(_, hash)| of.seal(key, Signer::Phone(phone), hash));
    Ok(PushedDocument {
        key: WireKey::from(of),
        seals: seals.collect(),
        changes: changes.into_iter().map(|change| change.bytes).collect(),
    })
}

/// What an answer makes of what was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// What is now known of each sent change: [`HELD`], [`WAITING`], or a refusal's word.
    pub words: Vec<(Sha256, String)>,
    /// What the server signed for, by document.
    pub receipts: BTreeMap<DocumentId, Signed>,
}

impl Heard {
    /// What `pushed` says about `sent`. A receipt counts only if its signature by `receipt_key` holds.
    #[must_use]
    pub fn of(sent: &[Sha256], pushed: &Pushed, receipt_key: VerifyingKey) -> Self {
        let outcomes = pushed.changes.iter();
        let outcomes: BTreeMap<Sha256, &str> =
            outcomes.map(|c| (c.hash, c.word.as_str())).collect();
        // What was simply taken is not mentioned.
        let word = |hash: &Sha256| outcomes.get(hash).copied().unwrap_or(HELD).to_owned();
        let mut receipts: BTreeMap<DocumentId, Signed> = BTreeMap::new();
        for jws in &pushed.receipts {
            if let Ok(receipt) = Receipt::verify(jws, |_| Some(receipt_key)) {
                let signed = receipts.entry(receipt.document).or_default();
                signed.add(receipt, jws);
            }
        }
        Self {
            words: sent.iter().map(|hash| (*hash, word(hash))).collect(),
            receipts,
        }
    }
}

/// Whether a change of which the server said `word` is on its way there: held, or taken once its ancestor comes.
#[must_use]
pub fn is_kept(word: &str) -> bool {
    matches!(word, HELD | WAITING)
}

/// What one answer's receipts say about one document: more than one when it names more files than one receipt does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signed {
    /// The heads, in their one spelling.
    pub heads: String,
    /// The files.
    pub attachments: BTreeSet<Sha256>,
    /// The tokens.
    pub tokens: Vec<String>,
}

impl Signed {
    fn add(&mut self, receipt: Receipt, jws: &str) {
        let heads = heads_text(&receipt.heads);
        if self.heads != heads {
            *self = Self {
                heads,
                ..Self::default()
            };
        }
        self.attachments.extend(receipt.attachments);
        self.tokens.push(jws.to_owned());
    }

    /// Whether this says that the server holds the document at these heads, with all these files.
    #[must_use]
    pub fn covers(&self, heads: &str, files: &BTreeSet<Sha256>) -> bool {
        self.heads == heads && files.is_subset(&self.attachments)
    }

    /// Whether this ends the waiting of a document that has `heads` here: they are held with all that is below them, so nothing of
    /// it waits any more.
    #[must_use]
    pub fn ends_waiting(&self, heads: &str) -> bool {
        self.heads == heads
    }
}

/// Where one document is, as facts of the phone's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// A receipt covers its heads and every file it names.
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

    /// Whether a receipt is to be asked for.
    #[must_use]
    pub const fn wants_receipt(self) -> bool {
        self.own && !self.covered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{log::head::Epoch, wire::ChangeOutcome};

    fn hash(number: u8) -> Sha256 {
        Sha256([number; 32])
    }

    #[test]
    fn a_push_takes_what_the_line_bears_and_always_one() {
        assert_eq!(cut([], 100), 0);
        assert_eq!(cut([40, 60, 1], 100), 2);
        assert_eq!(cut([500, 1], 100), 1);
        assert_eq!(cut([PUSH_BYTES, 1], usize::MAX), 1);
        assert_eq!(cut(std::iter::repeat_n(1, 5_000), usize::MAX), PUSH_CHANGES);
    }

    #[test]
    fn what_the_answer_does_not_mention_is_held_and_a_strangers_receipt_is_nothing() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let receipt = Receipt {
            document: DocumentId::from_bytes([1; 16]),
            heads: vec![hash(1)],
            attachments: Vec::new(),
            epoch: Epoch([5; 16]),
            leaf_index: 1,
            tree_size: 2,
            root: hash(9),
            received_at_ms: 0,
            phone: PhoneId::from_bytes([3; 16]),
        };
        let pushed = Pushed {
            changes: vec![ChangeOutcome {
                hash: hash(2),
                word: WAITING.to_owned(),
            }],
            receipts: vec![receipt.sign(&key).expect("well formed")],
            ..Pushed::default()
        };
        let heard = Heard::of(&[hash(1), hash(2)], &pushed, key.verifying_key());
        let said = |word: &str| word.to_owned();
        assert_eq!(
            heard.words,
            [(hash(1), said(HELD)), (hash(2), said(WAITING))]
        );
        let signed = &heard.receipts[&receipt.document];
        assert!(signed.ends_waiting(&heads_text(&[hash(1)])));
        for (heads, files) in [
            (vec![hash(1)], vec![]),
            (vec![hash(1)], vec![hash(7)]),
            (vec![hash(1), hash(2)], vec![]),
        ] {
            let covers = receipt.covers(receipt.document, &heads, &files);
            let files = files.into_iter().collect();
            assert_eq!(signed.covers(&heads_text(&heads), &files), covers);
        }
        assert!(!signed.ends_waiting(&heads_text(&[hash(1), hash(2)])));
        // The twin: another's signature.
        let stranger = SigningKey::from_bytes(&[2; 32]).verifying_key();
        assert_eq!(Heard::of(&[], &pushed, stranger), Heard::default());
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
