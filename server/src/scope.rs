//! What a unit reaches: its own records and those of every unit it came from, by merge, split or rename. A record stays with the
//! unit of its day; its successor's chief reads it, decides about it, and nobody else comes by it.

use kieumau_core::id::UnitId;

/// Begins a statement whose `scope` is the unit `$1` and every unit it came from.
macro_rules! scoped {
    ($($sql:tt)+) => {
        concat!(
            "with recursive scope (unit_id) as (select cast($1 as text) union \
             select link.from_unit_id from unit_link link join scope on link.to_unit_id = scope.unit_id) ",
            $($sql)+
        )
    };
}
pub(crate) use scoped;

/// Whether `unit` reaches the records of `other`.
///
/// # Errors
/// What the database says.
pub async fn reaches<'c, E>(executor: E, unit: UnitId, other: UnitId) -> Result<bool, sqlx::Error>
where
    E: sqlx::Executor<'c, Database = sqlx::Any>,
{
    let found = sqlx::query(scoped!("select unit_id from scope where unit_id = $2"))
        .bind(unit.to_string())
        .bind(other.to_string())
        .fetch_optional(executor)
        .await?;
    Ok(found.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{People, apps};

    #[tokio::test]
    async fn a_unit_reaches_those_it_came_from_and_not_those_that_came_of_it() {
        for app in apps().await {
            let people = People::new(&app).await;
            let (old, new) = (people.truong_vinh, people.vinh_phu);
            let asked = async |unit, other| {
                reaches(&app.database.read, unit, other)
                    .await
                    .expect("rows")
            };
            assert!(asked(old, old).await && !asked(new, old).await);
            people.merge(&app).await;
            assert!(asked(new, old).await && !asked(old, new).await);
        }
    }
}
