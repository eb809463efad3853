//! Units (đơn vị): wards and the province, when they began and ended, and what became of them.
//!
//! A unit is a node that never changes its id. Merge, split and rename are links between nodes with a date, so that a
//! record stays with the unit of its day and is still found from the unit of today.

use crate::{
    app::App,
    audit::{self, Deed},
    clock,
    problem::{Answer, Problem},
    row::{parsed, parsed_or_null},
    session::SignedIn,
};
use jiff::civil::Date;
use kieumau_core::{
    id::UnitId,
    invalid::{self, Invalid, Rule},
    person::{NAME_LIMIT, Role},
};
use sqlx::{Row as _, any::AnyRow};
use std::str::FromStr;

/// How high a unit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Công an phường, xã.
    Ward,
    /// Công an tỉnh.
    Province,
}

/// What became of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It went, with others, into one.
    Merge,
    /// It was divided.
    Split,
    /// It goes on under another name.
    Rename,
}

impl Level {
    /// The stable word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ward => "ward",
            Self::Province => "province",
        }
    }
}

impl Link {
    /// The stable word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Split => "split",
            Self::Rename => "rename",
        }
    }
}

impl FromStr for Level {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        [Self::Ward, Self::Province]
            .into_iter()
            .find(|level| level.word() == word)
            .ok_or_else(|| Invalid::new("level", Rule::Unknown))
    }
}

impl FromStr for Link {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        [Self::Merge, Self::Split, Self::Rename]
            .into_iter()
            .find(|link| link.word() == word)
            .ok_or_else(|| Invalid::new("link", Rule::Unknown))
    }
}

/// That a unit became another, or went into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The unit that is no more.
    pub from: UnitId,
    /// What goes on in its place.
    pub to: UnitId,
    /// How.
    pub link: Link,
    /// The first day of that.
    pub on: Date,
}

/// A unit to be.
#[derive(Clone, Debug)]
pub struct NewUnit {
    /// `Phường Trường Vinh`.
    pub name: String,
    /// How high it stands.
    pub level: Level,
    /// Its first day.
    pub valid_from: Date,
    /// Whether the demo invented it.
    pub sample: bool,
}

/// A unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its id.
    pub unit: UnitId,
    /// Its name.
    pub name: String,
    /// How high it stands.
    pub level: Level,
    /// Its first day.
    pub valid_from: Date,
    /// The first day it is no more.
    pub valid_to: Option<Date>,
    /// Whether the demo invented it.
    pub sample: bool,
}

impl Unit {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            unit: parsed(row, "unit_id")?,
            name: row.try_get("name")?,
            level: parsed(row, "level")?,
            valid_from: parsed(row, "valid_from")?,
            valid_to: parsed_or_null(row, "valid_to")?,
            sample: row.try_get::<i64, _>("sample")? != 0,
        })
    }
}

/// Refuses everyone but an admin; none is the administration on the command line.
pub(crate) fn only_admin(by: Option<&SignedIn>) -> Answer<()> {
    match by {
        Some(signed_in) if signed_in.role != Role::Admin => Err(Problem::forbidden()),
        _ => Ok(()),
    }
}

/// Adds a unit.
///
/// # Errors
/// 403 unless by an admin; 422 for a name that is empty, too long or has forbidden characters.
pub async fn add(app: &App, by: Option<&SignedIn>, new: NewUnit) -> Answer<UnitId> {
    only_admin(by)?;
    invalid::text("name", &new.name, NAME_LIMIT)?;
    if new.name.trim().is_empty() {
        return Err(Invalid::new("name", Rule::Required).into());
    }
    let unit = UnitId::fresh(clock::now_ms(), rand::random());
    let mut tx = app.database.begin().await?;
    sqlx::query(
        "insert into unit (unit_id, name, level, valid_from, sample) values ($1, $2, $3, $4, $5)",
    )
    .bind(unit.to_string())
    .bind(new.name.trim())
    .bind(new.level.word())
    .bind(new.valid_from.to_string())
    .bind(i64::from(new.sample))
    .execute(&mut *tx)
    .await?;
    let deed = Deed {
        person: by.map(|by| by.person),
        unit: Some(unit),
        action: "unit-added",
        subject: Some(unit.to_string()),
        ..Deed::default()
    };
    audit::write(&mut tx, clock::now_ms(), deed).await?;
    tx.commit().await?;
    Ok(unit)
}

/// Says that `from` became, or went into, `to` on the day `on`, and that `from` is no more from that day.
///
/// # Errors
/// 403 unless by an admin; 404 for an unknown unit; 422 if `from` already ended on another day, if either had not begun,
/// if `to` is `from` itself or a predecessor of it, or if `from` went elsewhere already and was not split.
pub async fn link(
    app: &App,
    by: Option<&SignedIn>,
    from: UnitId,
    to: UnitId,
    link: Link,
    on: Date,
) -> Answer<()> {
    only_admin(by)?;
    let old = find(app, from).await?.ok_or_else(Problem::not_found)?;
    let new = find(app, to).await?.ok_or_else(Problem::not_found)?;
    if from == to {
        return Err(Invalid::new("to", Rule::OutOfOrder).into());
    }
    if old.valid_to.is_some_and(|ended| ended != on) {
        return Err(Invalid::new("from", Rule::Ended).into());
    }
    if old.valid_from >= on || new.valid_from > on || new.valid_to.is_some_and(|end| end <= on) {
        return Err(Invalid::new("on_date", Rule::OutOfOrder).into());
    }
    let others = links(app).await?;
    let mut others = others.iter().filter(|one| one.from == from && one.to != to);
    if others.any(|one| one.link != Link::Split || link != Link::Split) {
        return Err(Invalid::new("link", Rule::Ended).into());
    }
    if successors(app, to).await?.contains(&from) {
        return Err(Invalid::new("to", Rule::OutOfOrder).into());
    }
    let mut tx = app.database.begin().await?;
    sqlx::query(
        "insert into unit_link (from_unit_id, to_unit_id, link, on_date) values ($1, $2, $3, $4)",
    )
    .bind(from.to_string())
    .bind(to.to_string())
    .bind(link.word())
    .bind(on.to_string())
    .execute(&mut *tx)
    .await
    .map_err(|error| match &error {
        sqlx::Error::Database(cause) if cause.is_unique_violation() => {
            Invalid::new("to", Rule::Already).into()
        }
        _ => Problem::from(error),
    })?;
    sqlx::query("update unit set valid_to = $2 where unit_id = $1")
        .bind(from.to_string())
        .bind(on.to_string())
        .execute(&mut *tx)
        .await?;
    let deed = Deed {
        person: by.map(|by| by.person),
        unit: Some(from),
        action: "unit-linked",
        subject: Some(to.to_string()),
        detail: Some(link.word().to_owned()),
        ..Deed::default()
    };
    audit::write(&mut tx, clock::now_ms(), deed).await?;
    tx.commit().await?;
    Ok(())
}

/// Every link, in the order of their days.
///
/// # Errors
/// What the database says.
pub async fn links(app: &App) -> Answer<Vec<Linked>> {
    let rows = sqlx::query(
        "select from_unit_id, to_unit_id, link, on_date from unit_link order by on_date, from_unit_id, to_unit_id",
    )
    .fetch_all(&app.database.read)
    .await?;
    let linked = |row: &AnyRow| {
        Ok::<_, sqlx::Error>(Linked {
            from: parsed(row, "from_unit_id")?,
            to: parsed(row, "to_unit_id")?,
            link: parsed(row, "link")?,
            on: parsed(row, "on_date")?,
        })
    };
    Ok(rows.iter().map(linked).collect::<Result<_, _>>()?)
}

/// Every unit, in the order of their names.
///
/// # Errors
/// What the database says.
pub async fn list(app: &App) -> Answer<Vec<Unit>> {
    let rows = sqlx::query(
        "select unit_id, name, level, valid_from, valid_to, sample from unit order by name, unit_id",
    )
    .fetch_all(&app.database.read)
    .await?;
    Ok(rows.iter().map(Unit::read).collect::<Result<_, _>>()?)
}

/// The unit with this id.
///
/// # Errors
/// What the database says.
pub async fn find(app: &App, unit: UnitId) -> Answer<Option<Unit>> {
    let row = sqlx::query(
        "select unit_id, name, level, valid_from, valid_to, sample from unit where unit_id = $1",
    )
    .bind(unit.to_string())
    .fetch_optional(&app.database.read)
    .await?;
    Ok(row.as_ref().map(Unit::read).transpose()?)
}

/// Every unit that links lead to, out of the column where one stands into the other.
macro_rules! linked {
    ($here:literal, $there:literal) => {
        // `union` without `all` ends on a circle too.
        concat!(
            "with recursive linked (unit_id) as (select ",
            $there,
            " from unit_link where ",
            $here,
            " = $1 \
             union select link.",
            $there,
            " from unit_link link join linked on link.",
            $here,
            " = linked.unit_id) \
             select unit_id from linked order by unit_id"
        )
    };
}

/// What `unit` became, and what that became, and so on; not itself.
///
/// # Errors
/// What the database says.
pub async fn successors(app: &App, unit: UnitId) -> Answer<Vec<UnitId>> {
    walk(app, unit, linked!("from_unit_id", "to_unit_id")).await
}

/// What went into `unit`, and what went into that, and so on; not itself. Its feeds are read with the unit's own.
///
/// # Errors
/// What the database says.
pub async fn predecessors(app: &App, unit: UnitId) -> Answer<Vec<UnitId>> {
    walk(app, unit, linked!("to_unit_id", "from_unit_id")).await
}

async fn walk(app: &App, unit: UnitId, sql: &'static str) -> Answer<Vec<UnitId>> {
    let rows = sqlx::query(sql)
        .bind(unit.to_string())
        .fetch_all(&app.database.read)
        .await?;
    Ok(rows
        .iter()
        .map(|row| parsed(row, "unit_id"))
        .collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{People, apps, audited};
    use axum::http::StatusCode;
    use jiff::civil::date;
    use std::collections::BTreeSet;

    async fn ward(app: &App, name: &str) -> UnitId {
        let new = NewUnit {
            name: name.to_owned(),
            level: Level::Ward,
            valid_from: date(2020, 1, 1),
            sample: true,
        };
        add(app, None, new).await.expect("a new unit")
    }

    #[tokio::test]
    async fn a_record_is_reached_through_the_successors_of_its_unit() {
        for app in apps().await {
            let truong_thi = ward(&app, "Phường Trường Thi").await;
            let hong_son = ward(&app, "Phường Hồng Sơn").await;
            let truong_vinh = ward(&app, "Phường Trường Vinh").await;
            let later = ward(&app, "Phường Vinh").await;
            let on = date(2025, 7, 1);
            for from in [truong_thi, hong_son] {
                link(&app, None, from, truong_vinh, Link::Merge, on)
                    .await
                    .expect("merged");
            }
            link(
                &app,
                None,
                truong_vinh,
                later,
                Link::Rename,
                date(2026, 7, 1),
            )
            .await
            .expect("renamed");
            let set = |units: &[UnitId]| units.iter().copied().collect::<BTreeSet<_>>();
            let after = successors(&app, truong_thi).await.expect("an answer");
            assert_eq!(set(&after), set(&[truong_vinh, later]));
            let before = predecessors(&app, later).await.expect("an answer");
            assert_eq!(set(&before), set(&[truong_thi, hong_son, truong_vinh]));
            assert_eq!((after.len(), before.len()), (2, 3));
            let ended = find(&app, truong_thi).await.expect("an answer");
            assert_eq!(ended.expect("still there").valid_to, Some(on));
            assert_eq!(audited(&app, "unit-linked").await.len(), 3);
            let linked = links(&app).await.expect("an answer");
            let on: Vec<Date> = linked.iter().map(|linked| linked.on).collect();
            assert_eq!(on, [date(2025, 7, 1), date(2025, 7, 1), date(2026, 7, 1)]);
            let renamed = Linked {
                from: truong_vinh,
                to: later,
                link: Link::Rename,
                on: date(2026, 7, 1),
            };
            assert_eq!(linked.last(), Some(&renamed));
        }
    }

    #[tokio::test]
    async fn a_unit_does_not_end_twice_nor_become_its_own_predecessor() {
        for app in apps().await {
            let (a, b) = (ward(&app, "Phường A").await, ward(&app, "Phường B").await);
            let on = date(2025, 7, 1);
            link(&app, None, a, b, Link::Merge, on)
                .await
                .expect("merged");
            for (from, to, day, broken) in [
                (a, b, on, Invalid::new("to", Rule::Already)),
                (a, b, date(2025, 8, 1), Invalid::new("from", Rule::Ended)),
                (
                    b,
                    a,
                    date(2026, 1, 1),
                    Invalid::new("on_date", Rule::OutOfOrder),
                ),
                (b, a, date(2025, 1, 1), Invalid::new("to", Rule::OutOfOrder)),
                (b, b, on, Invalid::new("to", Rule::OutOfOrder)),
            ] {
                let problem = link(&app, None, from, to, Link::Merge, day)
                    .await
                    .expect_err("refused");
                assert_eq!(problem.broken(), Some(&broken));
            }
            // Only what is split goes on as several.
            let (c, d) = (ward(&app, "Phường C").await, ward(&app, "Phường D").await);
            for how in [Link::Merge, Link::Split] {
                let problem = link(&app, None, a, c, how, on).await;
                let broken = problem.expect_err("merged elsewhere").broken().cloned();
                assert_eq!(broken, Some(Invalid::new("link", Rule::Ended)));
            }
            for part in [b, c] {
                link(&app, None, d, part, Link::Split, on)
                    .await
                    .expect("the twin: split");
            }
        }
    }

    #[tokio::test]
    async fn only_an_admin_adds_units() {
        for app in apps().await {
            let people = People::new(&app).await;
            let new = NewUnit {
                name: "Phường Thành Vinh".to_owned(),
                level: Level::Ward,
                valid_from: date(2025, 7, 1),
                sample: true,
            };
            for (by, status) in [
                (&people.chi, Some(StatusCode::FORBIDDEN)),
                (&people.khoa, Some(StatusCode::FORBIDDEN)),
                (&people.dung, None),
            ] {
                let answer = add(&app, Some(by), new.clone()).await;
                assert_eq!(answer.err().map(|problem| problem.status()), status);
            }
            let rows = audited(&app, "unit-added").await;
            assert_eq!(
                rows.last().expect("a row").person,
                Some(people.dung.person.to_string())
            );
            assert!(
                list(&app)
                    .await
                    .expect("units")
                    .iter()
                    .any(|unit| unit.name == new.name)
            );
        }
    }
}
