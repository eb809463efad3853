//! One committer per process: pushes that arrive while a transaction is under way go together into the next one.
//!
//! A durable answer costs one wait for the disk, whoever shares it. The answer is sent after the commit and never before.
//! A group that fails is replayed one push at a time, so that one push cannot fail another's. A large push comes in slices, the next
//! when the one before is on the disk, so that others' pushes get between them.

use crate::{
    app::App,
    intake::{self, PreparedPush, Written},
    problem::{Answer, Problem},
};
use kieumau_core::wire::Pushed;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, oneshot};

/// Pushes that may wait for the committer; more are told to come back.
const QUEUE: usize = 1_024;
/// Pushes in one transaction.
const GROUP: usize = 256;
/// How much of one push goes into one transaction, in changes: sixteen patrols of a night. Below it the waits for the disk begin to
/// show in a first upload.
const SLICE: usize = 512;
/// How much goes into one transaction, in changes: what more waits for it gets the next.
const GROUP_WEIGHT: usize = 4 * SLICE;
/// How often a transaction is tried again after a deadlock or a serialization failure.
const TRIES: u32 = 5;

#[derive(Debug)]
struct Waiting {
    push: PreparedPush,
    answer: oneshot::Sender<Answer<Written>>,
}

/// The way to the committer.
#[derive(Clone, Debug, Default)]
pub struct Committer {
    queue: Arc<Mutex<Vec<Waiting>>>,
    arrived: Arc<Notify>,
}

impl Committer {
    /// Commits `push` and answers when all of it is on the disk.
    ///
    /// # Errors
    /// `busy` when too many wait; `internal` when the database fails. Slices before the one that failed are stored, and held when
    /// the push comes again.
    pub async fn commit(&self, push: PreparedPush) -> Answer<Written> {
        self.commit_by(push, SLICE).await
    }

    async fn commit_by(&self, push: PreparedPush, size: usize) -> Answer<Written> {
        let mut slices = push.slices(size).into_iter();
        let first = slices.next().ok_or_else(|| Problem::busy(2))?;
        let mut written = self.commit_slice(first).await?;
        for slice in slices {
            written.append(self.commit_slice(slice).await?);
        }
        Ok(written)
    }

    async fn commit_slice(&self, push: PreparedPush) -> Answer<Written> {
        let (answer, answered) = oneshot::channel();
        self.with_queue(|queue| {
            if queue.len() >= QUEUE {
                return Err(Problem::busy(2));
            }
            queue.push(Waiting { push, answer });
            Ok(())
        })?;
        self.arrived.notify_one();
        answered.await.map_err(|_| Problem::busy(2))?
    }

    fn with_queue<T>(&self, with: impl FnOnce(&mut Vec<Waiting>) -> T) -> T {
        with(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes pushes until the server ends. Call once.
    pub async fn run(self, app: App) {
        loop {
            let group: Vec<Waiting> = self.with_queue(|queue| {
                let size = fitting(queue);
                queue.drain(..size).collect()
            });
            if group.is_empty() {
                self.arrived.notified().await;
                continue;
            }
            // What brings nothing keeps nobody from checking.
            let brings = group.iter().any(|waiting| waiting.push.brings());
            answer(&app, group).await;
            if brings {
                app.checker.stored();
            }
        }
    }
}

/// How many of the first of these go into one transaction: at least one.
fn fitting(queue: &[Waiting]) -> usize {
    let mut weight = 0;
    let fit = queue.iter().take(GROUP).take_while(|waiting| {
        let room = weight < GROUP_WEIGHT;
        weight += waiting.push.weight();
        room
    });
    fit.count()
}

/// Commits a group and answers each of it. If it fails as a whole, one by one: one push cannot fail another's.
async fn answer(app: &App, mut group: Vec<Waiting>) {
    let pushes: Vec<&PreparedPush> = group.iter().map(|waiting| &waiting.push).collect();
    let answers: Vec<Answer<Written>> = match written(app, &pushes).await {
        Ok(all) => all.into_iter().map(Ok).collect(),
        Err(error) if group.len() == 1 => vec![Err(error.into())],
        Err(_) => {
            let mut answers = Vec::with_capacity(pushes.len());
            for push in pushes {
                let one = written(app, &[push]).await.map_err(Problem::from);
                answers.push(one.and_then(|mut one| one.pop().ok_or_else(|| Problem::busy(2))));
            }
            answers
        }
    };
    for (waiting, answer) in group.drain(..).zip(answers) {
        // Who hung up gets no answer; what they pushed is kept.
        let _ = waiting.answer.send(answer);
    }
}

/// Commits `pushes` in one transaction of their own, for who brings much at once and should not fill the queue.
///
/// # Errors
/// What the database says; nothing was written then.
pub async fn commit(app: &App, pushes: &[&PreparedPush]) -> Result<Vec<Pushed>, sqlx::Error> {
    let all = written(app, pushes).await?.into_iter();
    Ok(all.map(|written| written.signed(app)).collect())
}

async fn written(app: &App, pushes: &[&PreparedPush]) -> Result<Vec<Written>, sqlx::Error> {
    let mut tried = 1;
    loop {
        match intake::store(app, pushes).await {
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

#[cfg(test)]
mod tests;
