//! How large a run is: the whole one, or `QUICK=1` for a table in some minutes. The same measures either way; `ROUNDS` says how often.

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
    /// Units of the ward that two servers share.
    pub units: usize,
    /// Phones of each of them.
    pub phones_per_unit: usize,
    /// Kills of each server.
    pub kills: usize,
    /// Changes of the document with a long history.
    pub history: usize,
}

impl Size {
    /// What the variables `QUICK` and `ROUNDS` ask for.
    #[must_use]
    pub fn asked() -> Self {
        let rounds = std::env::var("ROUNDS")
            .ok()
            .and_then(|rounds| rounds.parse().ok());
        let rounds = rounds.unwrap_or(3).max(1);
        match std::env::var("QUICK").as_deref() {
            Ok("" | "0") | Err(_) => Self {
                documents: 1_000,
                slow_documents: 1_000,
                small: 1_000,
                phones: 200,
                rounds,
                units: 130,
                phones_per_unit: 20,
                kills: 20,
                history: 5_000,
            },
            Ok(_) => Self {
                documents: 100,
                slow_documents: 40,
                small: 100,
                phones: 20,
                rounds,
                units: 3,
                phones_per_unit: 4,
                kills: 3,
                history: 500,
            },
        }
    }

    /// Small documents that `peer` gets at 1×. Each slows the JavaScript server down: the whole load takes it a quarter of an hour, a
    /// tenth flatters it.
    #[must_use]
    pub const fn small_of(self, peer: super::peer::Peer) -> usize {
        match peer {
            super::peer::Peer::Repo => self.small / 10,
            super::peer::Peer::Samod | super::peer::Peer::Pouch => self.small,
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
