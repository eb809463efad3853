//! Documents made by the benchmark, read from its file: a CBOR sequence of `[id, saved]`. The id's 16 bytes are automerge-repo's.

use automerge::{
    Automerge, ChangeHash,
    sync::{Message, State, SyncDoc as _},
};
use samod::DocumentId;
use std::path::Path;

/// One document on the client's side of a line.
pub struct Held {
    /// As the protocol spells it.
    pub id: String,
    /// What the client has.
    pub document: Automerge,
    /// What both sides shall have in the end.
    pub heads: Vec<ChangeHash>,
    /// What the client knows of the server.
    pub state: State,
    /// The first message, made before the clock runs; the client has said nothing else yet.
    pub first: Option<Vec<u8>>,
}

impl Held {
    /// The client has it all, and knows nothing of the server.
    fn whole(id: String, document: Automerge) -> Self {
        let mut held = Self {
            id,
            heads: sorted(document.get_heads()),
            document,
            state: State::new(),
            first: None,
        };
        held.first = held.reply();
        held
    }

    /// The client has nothing of it.
    fn empty(id: String, whole: &Automerge) -> Self {
        Self {
            heads: sorted(whole.get_heads()),
            ..Self::whole(id, Automerge::new())
        }
    }

    /// What the client says next, if it has anything to say.
    pub fn reply(&mut self) -> Option<Vec<u8>> {
        self.document
            .generate_sync_message(&mut self.state)
            .map(Message::encode)
    }

    /// Takes in what the server said.
    pub fn hear(&mut self, data: &[u8]) {
        let message = Message::decode(data).expect("Automerge's message");
        self.document
            .receive_sync_message(&mut self.state, message)
            .expect("it applies");
    }

    /// The server said that it has all of it.
    pub fn is_acknowledged(&self) -> bool {
        self.state
            .their_heads
            .as_ref()
            .is_some_and(|heads| sorted(heads.clone()) == self.heads)
    }

    /// The client has all of it.
    pub fn is_whole(&self) -> bool {
        sorted(self.document.get_heads()) == self.heads
    }
}

/// Heads have no order of their own.
pub fn sorted(mut heads: Vec<ChangeHash>) -> Vec<ChangeHash> {
    heads.sort_unstable();
    heads
}

/// What the client begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// With every document.
    Whole,
    /// With none, knowing their names.
    Empty,
}

/// The documents in the file at `path`, as many as `limit`.
pub fn read(path: &Path, limit: usize, begins: Begins) -> Vec<Held> {
    let bytes = std::fs::read(path).expect("the file of documents");
    let mut d = minicbor::Decoder::new(&bytes);
    let mut held = Vec::new();
    while d.position() < bytes.len() && held.len() < limit {
        d.array().expect("a pair");
        let id = d.bytes().expect("an id").to_vec();
        let id = DocumentId::try_from(id).expect("16 bytes").to_string();
        let document = Automerge::load(d.bytes().expect("saved")).expect("a document");
        held.push(match begins {
            Begins::Whole => Held::whole(id, document),
            Begins::Empty => Held::empty(id, &document),
        });
    }
    held
}
