//! Live: whoever listens hears how far a feed may be served, as soon as it may. Numbers only, and only the newest of each feed:
//! ten pushes at once are one event.
//!
//! Truth is the row of `feed`; what lies in memory here is a copy for listeners. Server processes on one PostgreSQL tell each
//! other by NOTIFY, after the commit and at most every [`TELL`]: inside the transaction it cost up to three quarters of the
//! throughput. What is missed (a command on the data, a lost connection) is seen at the next [`LOOK`].

pub mod stream;

use crate::app::App;
use kieumau_core::id::UnitId;
use sqlx::{
    PgPool, Row as _,
    postgres::{PgListener, PgPoolOptions},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use stream::Seats;
use tokio::sync::{Notify, watch};

/// How often feeds are looked at although nobody said they had grown, while somebody listens.
const LOOK: Duration = Duration::from_secs(2);
/// Between two words to the other processes.
const TELL: Duration = Duration::from_millis(20);
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// The channel of NOTIFY.
const CHANNEL: &str = "kieumau_live";
/// Units named in one NOTIFY: its payload holds 8,000 bytes.
const UNITS: usize = 200;

/// What listeners of this process share; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    feeds: Mutex<BTreeMap<UnitId, watch::Sender<i64>>>,
    /// Units whose feeds grew here, to be told to the other processes.
    grown: Mutex<BTreeSet<UnitId>>,
    look: Notify,
    tell: Notify,
    ended: watch::Sender<bool>,
    seats: Seats,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// More of these units' feeds may be served: said after the commit.
    pub fn grew(&self, units: impl IntoIterator<Item = UnitId>) {
        held(&self.0.grown).extend(units);
        self.0.look.notify_one();
        self.0.tell.notify_one();
    }

    /// Ends every stream: the server ends.
    pub fn end(&self) {
        self.0.ended.send_replace(true);
    }

    /// The newest known number of a feed; 0 before it was looked at.
    fn feed(&self, unit: UnitId) -> watch::Receiver<i64> {
        let mut feeds = held(&self.0.feeds);
        feeds.entry(unit).or_default().subscribe()
    }

    fn is_heard(&self) -> bool {
        let feeds = held(&self.0.feeds);
        feeds.values().any(|feed| feed.receiver_count() > 0)
    }

    /// Keeps listeners up to date for as long as the server runs.
    pub async fn run(self, app: App) {
        if let Some(url) = app.config.database_url.clone() {
            tokio::spawn(self.clone().between_processes(url));
        }
        loop {
            // Either way it looks: because somebody said so, or because nobody did for so long.
            let _ = tokio::time::timeout(LOOK, self.0.look.notified()).await;
            if self.is_heard()
                && let Err(error) = self.look(&app).await
            {
                tracing::error!(cause = %error, "feeds could not be looked at; it is tried again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Tells listeners what the rows say now.
    async fn look(&self, app: &App) -> Result<(), sqlx::Error> {
        let rows = sqlx::query("select unit_id, checked_through from feed")
            .fetch_all(&app.database.read)
            .await?;
        let feeds = held(&self.0.feeds);
        for row in &rows {
            let unit: Option<UnitId> = row.get::<&str, _>(0).parse().ok();
            if let Some(feed) = unit.and_then(|unit| feeds.get(&unit)) {
                let number = row.get(1);
                feed.send_if_modified(|known| std::mem::replace(known, number) != number);
            }
        }
        Ok(())
    }

    /// Tells the other processes, and hears them.
    async fn between_processes(self, url: String) {
        let pool = PgPoolOptions::new().max_connections(2).connect_lazy(&url);
        let pool = match pool {
            Ok(pool) => pool,
            Err(error) => {
                tracing::error!(cause = %error, "other server processes cannot be told; listeners wait for the next look");
                return;
            }
        };
        tokio::join!(self.tell_all(&pool), self.hear_all(&pool));
    }

    async fn tell_all(&self, pool: &PgPool) {
        loop {
            self.0.tell.notified().await;
            let grown: Vec<UnitId> = std::mem::take(&mut *held(&self.0.grown))
                .into_iter()
                .collect();
            for units in grown.chunks(UNITS) {
                let units: Vec<String> = units.iter().map(UnitId::to_string).collect();
                let told = sqlx::query("select pg_notify($1, $2)")
                    .bind(CHANNEL)
                    .bind(units.join(" "))
                    .execute(pool)
                    .await;
                if let Err(error) = told {
                    tracing::warn!(cause = %error, "other server processes were not told; their listeners wait for the next look");
                }
            }
            tokio::time::sleep(TELL).await;
        }
    }

    async fn hear_all(&self, pool: &PgPool) {
        loop {
            if let Err(error) = self.hear(pool).await {
                tracing::warn!(cause = %error, "other server processes are not heard; it is tried again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    /// Looks at the feeds whenever another process says that one grew, or when one may have said so meanwhile.
    async fn hear(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        self.0.look.notify_one();
        loop {
            // None is a connection that was lost and is back.
            let _ = listener.try_recv().await?;
            self.0.look.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
