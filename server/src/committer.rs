//! One committer per process: pushes that arrive while a transaction is under way go together into the next one.
//!
//! A durable answer costs one wait for the disk, whoever shares it. The answer is sent after the commit and never before.
//! A group that fails is replayed one push at a time, so that one push cannot fail another's.

use crate::{
    app::App,
    intake::{self, PreparedPush},
    problem::{Answer, Problem},
};
use kieumau_core::wire::Pushed;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Pushes that may wait for the committer; more are told to come back.
const QUEUE: usize = 1_024;
/// Pushes in one transaction.
const GROUP: usize = 256;
/// How often a transaction is tried again after a deadlock or a serialization failure.
const TRIES: u32 = 5;

struct Waiting {
    push: PreparedPush,
    answer: oneshot::Sender<Answer<Pushed>>,
}

/// The way to the committer.
#[derive(Clone, Debug)]
pub struct Committer {
    queue: mpsc::Sender<Waiting>,
    receiver_taken: std::sync::Arc<tokio::sync::Mutex<Option<mpsc::Receiver<Waiting>>>>,
}

impl Committer {
    /// A committer that takes pushes once [`Committer::run`] runs.
    pub fn new() -> Self {
        let (queue, receiver) = mpsc::channel(QUEUE);
        Self {
            queue,
            receiver_taken: std::sync::Arc::new(tokio::sync::Mutex::new(Some(receiver))),
        }
    }

    /// Commits `push` and answers when it is on the disk.
    ///
    /// # Errors
    /// `busy` when too many wait; `internal` when the database fails.
    pub async fn commit(&self, push: PreparedPush) -> Answer<Pushed> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send(Waiting { push, answer })
            .map_err(|_| Problem::busy(2))?;
        answered.await.map_err(|_| Problem::busy(2))?
    }

    /// Takes pushes until the server ends. Call once.
    pub async fn run(self, app: App) {
        let Some(mut receiver) = self.receiver_taken.lock().await.take() else {
            return;
        };
        let mut group = Vec::with_capacity(GROUP);
        while receiver.recv_many(&mut group, GROUP).await > 0 {
            let pushes: Vec<&PreparedPush> = group.iter().map(|waiting| &waiting.push).collect();
            match commit(&app, &pushes).await {
                Ok(answers) => {
                    for (waiting, answer) in group.drain(..).zip(answers) {
                        // Who hung up gets no answer; what they pushed is kept.
                        let _ = waiting.answer.send(Ok(answer));
                    }
                }
                Err(error) if group.len() == 1 => {
                    if let Some(waiting) = group.pop() {
                        let _ = waiting.answer.send(Err(error.into()));
                    }
                }
                Err(_) => {
                    for waiting in group.drain(..) {
                        let answer = commit(&app, &[&waiting.push]).await;
                        let answer = answer
                            .map(|mut one| one.pop().unwrap_or_default())
                            .map_err(Problem::from);
                        let _ = waiting.answer.send(answer);
                    }
                }
            }
            app.checker.wake();
        }
    }
}

/// Commits `pushes` in one transaction of their own, for who brings much at once and should not fill the queue.
///
/// # Errors
/// What the database says; nothing was written then.
pub async fn commit(app: &App, pushes: &[&PreparedPush]) -> Result<Vec<Pushed>, sqlx::Error> {
    let mut tried = 1;
    loop {
        match intake::write(app, pushes).await {
            Err(error) if tried < TRIES && is_passing(&error) => {
                tokio::time::sleep(Duration::from_millis(5 << tried)).await;
                tried += 1;
            }
            other => return other,
        }
    }
}

/// A deadlock or a serialization failure on PostgreSQL, a held lock on SQLite: the same transaction may pass next time.
fn is_passing(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else {
        return false;
    };
    matches!(
        database.code().as_deref(),
        Some("40P01" | "40001" | "5" | "517")
    )
}
