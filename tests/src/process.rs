//! A phone as a process of its own, seen from outside: commands go in as JSON lines, answers come out as JSON lines. What it
//! is told and what it answers is `bin/phone`'s; this holds the pipe and the end of it.

use crate::built;
use serde_json::Value;
use std::{path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// The variable that carries a phone's key, 64 hexadecimal digits: the platform's key store of a phone that is a process.
pub const KEY_VARIABLE: &str = "KIEUMAU_PHONE_KEY";

/// A phone that runs until it is dropped or killed.
pub struct PhoneProcess {
    // Killed when dropped.
    child: Child,
    told: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl PhoneProcess {
    /// Starts a phone on `folder`, under `key` or, if there is none, under the key of all tests.
    ///
    /// # Panics
    /// When the system starts no process.
    #[must_use]
    pub fn start(folder: &Path, key: Option<[u8; 32]>) -> Self {
        let mut command = Command::new(built::phone());
        match key {
            Some(key) => command.env(KEY_VARIABLE, hex::encode(key)),
            None => command.env_remove(KEY_VARIABLE),
        };
        let mut child = command
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the phone starts");
        let out = child.stdout.take().expect("its output is piped");
        Self {
            told: child.stdin.take().expect("its input is piped"),
            answers: BufReader::new(out).lines(),
            child,
        }
    }

    /// Tells it one thing, and does not wait for the answer.
    ///
    /// # Panics
    /// When it is dead.
    pub async fn tell(&mut self, command: &Value) {
        let line = format!("{command}\n");
        self.told
            .write_all(line.as_bytes())
            .await
            .expect("the phone listens");
    }

    /// Its next answer; none when it is dead and has said all.
    ///
    /// # Panics
    /// When an answer is not JSON.
    pub async fn next(&mut self) -> Option<Value> {
        let line = self.answers.next_line().await.expect("reads")?;
        Some(serde_json::from_str(&line).expect("one JSON line"))
    }

    /// Tells it one thing; its answer, which may be an error in words.
    ///
    /// # Panics
    /// When it is dead.
    pub async fn ask(&mut self, command: &Value) -> Value {
        self.tell(command).await;
        self.next().await.expect("the phone answers")
    }

    /// Ends it with `SIGKILL`, whatever it is doing.
    ///
    /// # Panics
    /// When the system refuses.
    pub async fn die(&mut self) {
        self.child.kill().await.expect("killed");
    }

    /// Ends it with `SIGKILL`; what it had answered by then and nobody had read yet.
    ///
    /// # Panics
    /// When the system refuses.
    pub async fn kill(mut self) -> Vec<Value> {
        self.die().await;
        let mut left = Vec::new();
        while let Some(answer) = self.next().await {
            left.push(answer);
        }
        left
    }
}
