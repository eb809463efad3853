//! Attempts at secrets that people type: passwords and enrolment codes. So many failures in a quarter of an hour per
//! subject, then 429 until the oldest is past; nothing stays locked, and a refused attempt does not prolong it.
//!
//! An attempt is written down *before* the secret is looked at and forgiven if it was right. Counting afterwards would
//! let a thousand parallel guesses all read "nine so far"; so each commits its own row first and then counts all rows.

use crate::{
    database::{Database, Tx},
    problem::{Answer, Problem},
};
use kieumau_core::hash::Sha256;
use sqlx::Row as _;

/// How long a failure counts.
pub const WINDOW_MS: i64 = 15 * 60 * 1000;

/// Whom an attempt is about, and how many failures that bears in a window.
#[derive(Clone, Debug)]
pub struct Subject {
    hash: Sha256,
    limit: i64,
}

impl Subject {
    /// `name` of this `kind` (`account`, `code`), kept as a hash: the table holds nothing that was typed.
    pub fn new(kind: &str, name: &str, limit: i64) -> Self {
        Self {
            hash: Sha256::of_parts(&[kind.as_bytes(), b"\0", name.as_bytes()]),
            limit,
        }
    }
}

#[cfg(test)]
impl Subject {
    /// The same with this limit.
    pub fn with_limit(self, limit: i64) -> Self {
        Self { limit, ..self }
    }
}

/// An attempt that was let through and counts as failed unless it is forgiven.
#[derive(Debug)]
pub struct Attempt {
    ids: Vec<String>,
}

/// Lets an attempt through if every subject still bears one more failure.
///
/// # Errors
/// 429 with the seconds until it would be let through.
pub async fn begin(database: &Database, now_ms: i64, subjects: &[Subject]) -> Answer<Attempt> {
    let attempt = Attempt {
        ids: subjects
            .iter()
            .map(|_| uuid::Uuid::now_v7().to_string())
            .collect(),
    };
    let mut tx = database.begin().await?;
    sqlx::query("delete from sign_in_attempt where at_ms <= $1")
        .bind(now_ms - WINDOW_MS)
        .execute(&mut *tx)
        .await?;
    for (id, subject) in attempt.ids.iter().zip(subjects) {
        sqlx::query("insert into sign_in_attempt (attempt_id, subject, at_ms) values ($1, $2, $3)")
            .bind(id)
            .bind(subject.hash.to_string())
            .bind(now_ms)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    let mut wait_ms = 0;
    for subject in subjects {
        wait_ms = wait_ms.max(wait(database, now_ms, subject).await?);
    }
    if wait_ms == 0 {
        return Ok(attempt);
    }
    let mut tx = database.begin().await?;
    attempt.forgive(&mut tx).await?;
    tx.commit().await?;
    let seconds = u32::try_from(wait_ms / 1000 + 1).unwrap_or(u32::MAX);
    Err(Problem::too_many(seconds))
}

/// Milliseconds until `subject` bears another failure; 0 if it bears the one just written.
async fn wait(database: &Database, now_ms: i64, subject: &Subject) -> Result<i64, sqlx::Error> {
    let row = sqlx::query(
        "select count(*) as attempts, min(at_ms) as oldest_ms from sign_in_attempt \
         where subject = $1 and at_ms > $2",
    )
    .bind(subject.hash.to_string())
    .bind(now_ms - WINDOW_MS)
    .fetch_one(&database.read)
    .await?;
    if row.try_get::<i64, _>("attempts")? <= subject.limit {
        return Ok(0);
    }
    let oldest_ms: i64 = row.try_get("oldest_ms")?;
    Ok((oldest_ms + WINDOW_MS - now_ms).max(1))
}

/// Forgets all failures of `subject`, in the transaction that gives it another secret: they were about the one before.
///
/// # Errors
/// What the database says.
pub async fn forget(tx: &mut Tx, subject: &Subject) -> Result<(), sqlx::Error> {
    sqlx::query("delete from sign_in_attempt where subject = $1")
        .bind(subject.hash.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

impl Attempt {
    /// Strikes the attempt from the count, in the transaction that acts on its success.
    ///
    /// # Errors
    /// What the database says.
    pub async fn forgive(&self, tx: &mut Tx) -> Result<(), sqlx::Error> {
        for id in &self.ids {
            sqlx::query("delete from sign_in_attempt where attempt_id = $1")
                .bind(id)
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::apps;
    use axum::http::StatusCode;

    const NOW_MS: i64 = 1_795_000_000_000;

    #[tokio::test]
    async fn a_subject_bears_its_limit_and_opens_again_after_the_window() {
        for app in apps().await {
            let subjects = [
                Subject::new("account", "chi", 3),
                Subject::new("all", "", 100),
            ];
            for failure in 0..3 {
                begin(&app.database, NOW_MS + failure * 1000, &subjects)
                    .await
                    .expect("within the limit");
            }
            let refused = begin(&app.database, NOW_MS + 3000, &subjects)
                .await
                .expect_err("the fourth");
            assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(refused.retry_after_s(), Some(15 * 60 - 3 + 1));
            // Refused attempts do not prolong it: the first failure is past after its own quarter of an hour.
            begin(&app.database, NOW_MS + WINDOW_MS, &subjects)
                .await
                .expect("open again");
            begin(&app.database, NOW_MS + WINDOW_MS, &subjects)
                .await
                .expect_err("but for one only");
        }
    }

    #[tokio::test]
    async fn a_forgiven_attempt_does_not_count_and_another_subject_is_not_touched() {
        for app in apps().await {
            let chi = [Subject::new("account", "chi", 1)];
            for _ in 0..3 {
                let attempt = begin(&app.database, NOW_MS, &chi)
                    .await
                    .expect("let through");
                let mut tx = app.database.begin().await.expect("a transaction");
                attempt.forgive(&mut tx).await.expect("forgiven");
                tx.commit().await.expect("committed");
            }
            begin(&app.database, NOW_MS, &chi)
                .await
                .expect("the first failure");
            begin(&app.database, NOW_MS, &chi)
                .await
                .expect_err("the second");
            begin(&app.database, NOW_MS, &[Subject::new("account", "dung", 1)])
                .await
                .expect("another account");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn parallel_attempts_do_not_slip_past_the_limit() {
        for app in apps().await {
            let guesses = (0..40).map(|_| {
                let database = app.database.clone();
                tokio::spawn(async move {
                    begin(&database, NOW_MS, &[Subject::new("account", "chi", 10)])
                        .await
                        .is_ok()
                })
            });
            let mut through = 0;
            for guess in guesses.collect::<Vec<_>>() {
                through += usize::from(guess.await.expect("it ran"));
            }
            assert!(through <= 10, "{through} of 40 went through");
        }
    }
}
