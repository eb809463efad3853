//! How large a run is: the whole one, or `QUICK=1` for a table in some minutes. The same measures either way.

/// Sizes of one run.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Patrol documents at 1×.
    pub documents: usize,
    /// The same for the JavaScript server, which gets slower with each: fewer flatter it.
    pub slow_documents: usize,
    /// Small documents at 1×; 10× is what memory is asked after.
    pub small: usize,
    /// Phones that come back at once.
    pub phones: usize,
    /// Rounds of each measure.
    pub rounds: usize,
}

impl Size {
    /// What the variable `QUICK` asks for.
    #[must_use]
    pub fn asked() -> Self {
        match std::env::var("QUICK").as_deref() {
            Ok("" | "0") | Err(_) => Self {
                documents: 1_000,
                slow_documents: 1_000,
                small: 1_000,
                phones: 200,
                rounds: 3,
            },
            Ok(_) => Self {
                documents: 200,
                slow_documents: 60,
                small: 100,
                phones: 40,
                rounds: 3,
            },
        }
    }

    /// Patrol documents that `peer` gets at 1×.
    #[must_use]
    pub const fn of(self, peer: super::peer::Peer) -> usize {
        match peer {
            super::peer::Peer::Repo => self.slow_documents,
            super::peer::Peer::Samod | super::peer::Peer::Pouch => self.documents,
        }
    }
}
