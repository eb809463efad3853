//! The other servers of the table as processes, and what each promises when it answers. They live in `tests/bench/peers` and are
//! installed by their lock files (`make peers`).

use super::burden::Tree;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
};

/// Which other server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// automerge-repo 2.5.6 on Node: express, ws, files.
    Repo,
    /// samod 0.16 on SQLite.
    Samod,
    /// express-pouchdb on leveldb.
    Pouch,
}

impl Peer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Repo, Self::Samod, Self::Pouch];

    /// As tables name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Repo => "automerge-repo",
            Self::Samod => "samod",
            Self::Pouch => "PouchDB",
        }
    }

    /// What an answer of it means.
    #[must_use]
    pub const fn promises(self) -> &'static str {
        match self {
            Self::Repo => {
                "has it in memory; a file is written up to 100 ms later, nobody waits for the disk; unsigned, no tokens, no receipts"
            }
            Self::Samod => {
                "has it in memory; the row is on its way to SQLite (synchronous=FULL); unsigned, no tokens, no receipts"
            }
            Self::Pouch => {
                "leveldb took it, nobody waited for the disk; one JSON per record, no history, unsigned, no tokens, no receipts"
            }
        }
    }

    /// Starts it on `folder`, on the servers' core if one is named.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn start(self, folder: &Path) -> Running {
        let node = |script: &str| {
            (
                PathBuf::from("node"),
                Some(folder_of_peers().join("node").join(script)),
            )
        };
        let (program, script) = match self {
            Self::Repo => node("repo-server.mjs"),
            Self::Pouch => node("pouch-server.mjs"),
            Self::Samod => (cargo_peer("samod-server"), None),
        };
        let mut command = crate::built::on_the_servers_core(&program);
        let mut child = command
            .args(script)
            .arg(folder)
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; `make peers` installs it", self.name()));
        let out = child.stdout.take().expect("its output is piped");
        let mut lines = BufReader::new(out).lines();
        let url = lines.next_line().await.expect("reads");
        let url = url.unwrap_or_else(|| panic!("{} did not start: `make peers`?", self.name()));
        // Whatever else it prints must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Running { child, url }
    }
}

/// A server that runs until it is dropped or killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Where it listens.
    pub url: String,
}

impl Running {
    /// Its processes.
    ///
    /// # Panics
    /// When it ended by itself.
    #[must_use]
    pub fn tree(&self) -> Tree {
        Tree(self.child.id().expect("it runs"))
    }

    /// Ends it with `SIGKILL`.
    ///
    /// # Panics
    /// When the system refuses.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }
}

/// Where the peers lie.
#[must_use]
pub fn folder_of_peers() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bench/peers")
}

/// A binary of the peers' own package. Always a release build: a peer is measured at its best.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn cargo_peer(name: &str) -> PathBuf {
    let path = folder_of_peers().join("samod/target/release").join(name);
    assert!(path.exists(), "{}: `make peers` builds it", path.display());
    path
}
