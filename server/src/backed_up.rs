//! What the operator's backups hold: a number of leaves, set by the backup's own script after it succeeded, told to phones signed.
//!
//! The server believes the operator, for it cannot look into a backup; so the number goes up only, never beyond the log, and who
//! set it stands in the audit. A log of a new epoch has nothing announced until a backup of it is made.

use crate::{
    app::App,
    audit::{self, Deed},
    clock,
    ledger::Ledger,
    problem::{Answer, Problem},
};
use kieumau_core::{
    backed_up::BackedUp,
    invalid::{Invalid, Rule},
};
use sqlx::Row as _;

/// Writes down that backups hold the leaves below `through` of the log as it is now.
///
/// # Errors
/// `invalid` at `through`: `TooLarge` beyond the log's end, `OutOfOrder` below what was announced before.
pub async fn announce(app: &App, through: u64) -> Answer<BackedUp> {
    let at_ms = clock::now_ms();
    let mut tx = app.database.begin().await?;
    // Held, so that of two announcements the later is not the lower.
    let head = Ledger::take(&mut tx).await?.head(at_ms);
    if through > head.size {
        return Err(Problem::invalid(Invalid::new("through", Rule::TooLarge)));
    }
    let said = read(&mut *tx).await?;
    if said.is_some_and(|said| said.epoch == head.epoch && through < said.through) {
        return Err(Problem::invalid(Invalid::new("through", Rule::OutOfOrder)));
    }
    let announced = BackedUp {
        epoch: head.epoch,
        through,
        at_ms,
    };
    sqlx::query(
        "insert into setting (name, value) values ('backed-up', $1) on conflict (name) do update set value = excluded.value",
    )
    .bind(format!("{} {through} {at_ms}", head.epoch))
    .execute(&mut *tx)
    .await?;
    let deed = Deed {
        action: "backed-up",
        detail: Some(through.to_string()),
        ..Deed::default()
    };
    audit::write(&mut tx, at_ms, deed).await?;
    tx.commit().await?;
    Ok(announced)
}

/// What was announced last; none while nothing was.
///
/// # Errors
/// What the database says; `Decode` if the setting is damaged.
pub async fn announced(app: &App) -> Result<Option<BackedUp>, sqlx::Error> {
    read(&app.database.read).await
}

async fn read(
    database: impl sqlx::Executor<'_, Database = sqlx::Any>,
) -> Result<Option<BackedUp>, sqlx::Error> {
    let row = sqlx::query("select value from setting where name = 'backed-up'")
        .fetch_optional(database)
        .await?;
    row.map(|row| {
        parse(&row.get::<String, _>(0))
            .ok_or_else(|| sqlx::Error::Decode("what is backed up is damaged".into()))
    })
    .transpose()
}

fn parse(value: &str) -> Option<BackedUp> {
    let mut parts = value.split(' ');
    Some(BackedUp {
        epoch: parts.next()?.parse().ok()?,
        through: parts.next()?.parse().ok()?,
        at_ms: parts.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture, ledger};

    fn broken(answer: Answer<BackedUp>) -> Rule {
        let problem = answer.expect_err("is refused");
        problem.broken().expect("a broken rule").rule
    }

    #[tokio::test]
    async fn what_is_announced_goes_up_only_never_beyond_the_log_and_stands_in_the_audit() {
        for app in fixture::apps().await {
            assert_eq!(announced(&app).await.expect("reads"), None);
            let (epoch, size) = ledger::size(&app.database.read).await.expect("reads");
            assert!(size > 1, "the log begins with the server's keys");
            assert_eq!(broken(announce(&app, size + 1).await), Rule::TooLarge);
            let said = announce(&app, size - 1).await.expect("announced");
            assert_eq!((said.epoch, said.through), (epoch, size - 1));
            assert_eq!(announced(&app).await.expect("reads"), Some(said));
            assert_eq!(broken(announce(&app, size - 2).await), Rule::OutOfOrder);
            announce(&app, size).await.expect("announced");
            let rows = sqlx::query(
                "select detail from audit where action = 'backed-up' order by audit_id",
            )
            .fetch_all(&app.database.read)
            .await
            .expect("reads");
            let details: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            assert_eq!(details, [(size - 1).to_string(), size.to_string()]);
        }
    }
}
