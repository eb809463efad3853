//! People of the force: added, found, given a new password, disabled and enabled. Never deleted: their id stands in records.
//!
//! What a person may do follows from the role and the unit, which are read anew with every request; so whoever is disabled
//! here is out everywhere at once, and whoever is enabled again finds phone and password as they were.

use crate::{
    app::App,
    attempt,
    audit::{self, Deed},
    clock, password,
    problem::{Answer, Problem},
    row::parsed,
    session::{self, SignedIn},
    unit::{self, only_admin},
};
use kieumau_core::{
    id::{PersonId, UnitId},
    invalid::{self, Invalid, Rule},
    person::{NAME_LIMIT, Role},
};
use sqlx::{Row as _, any::AnyRow};
use zeroize::Zeroizing;

/// Characters in a sign-in name, at most.
pub const SIGN_IN_LIMIT: usize = 64;

/// How a person's password comes about.
#[derive(Clone)]
pub enum FirstPassword {
    /// No password: the person uses a phone only.
    None,
    /// Made here and handed out once.
    Generated,
    /// Chosen.
    Given(Zeroizing<String>),
}

/// A person to be.
#[derive(Clone)]
pub struct NewPerson {
    /// `Nguyễn Văn An`.
    pub name: String,
    /// What is typed to sign in: `an.nguyen`.
    pub sign_in: String,
    /// What for.
    pub role: Role,
    /// Where.
    pub unit: UnitId,
    /// With which password.
    pub password: FirstPassword,
}

/// Who was added.
pub struct Added {
    /// The fresh id.
    pub person: PersonId,
    /// The generated password, to be shown once; it is nowhere else.
    pub password: Option<Zeroizing<String>>,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The id.
    pub person: PersonId,
    /// The unit.
    pub unit: UnitId,
    /// The role.
    pub role: Role,
    /// The name.
    pub name: String,
    /// What is typed to sign in.
    pub sign_in: String,
    /// When added, Unix milliseconds.
    pub created_at_ms: i64,
    /// When disabled, Unix milliseconds.
    pub disabled_at_ms: Option<i64>,
    /// There is no password: the pages are closed to them, they use a phone only.
    pub phone_only: bool,
}

const COLUMNS: &str = "person_id, unit_id, role, name, sign_in, created_at_ms, disabled_at_ms, \
    cast(case when password_hash is null then 1 else 0 end as bigint) as phone_only";

impl Person {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            person: parsed(row, "person_id")?,
            unit: parsed(row, "unit_id")?,
            role: parsed(row, "role")?,
            name: row.try_get("name")?,
            sign_in: row.try_get("sign_in")?,
            created_at_ms: row.try_get("created_at_ms")?,
            disabled_at_ms: row.try_get("disabled_at_ms")?,
            phone_only: row.try_get::<i64, _>("phone_only")? != 0,
        })
    }
}

/// A sign-in name as it is kept: lower-case ASCII letters, digits, `.`, `-` and `_`.
///
/// # Errors
/// `Required`, `TooLong` or `ForbiddenCharacter` at `sign_in`.
pub fn kept_sign_in(typed: &str) -> Result<String, Invalid> {
    let name = typed.trim().to_ascii_lowercase();
    let broken = |rule| Err(Invalid::new("sign_in", rule));
    if name.is_empty() {
        return broken(Rule::Required);
    }
    if name.len() > SIGN_IN_LIMIT {
        return broken(Rule::TooLong);
    }
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    {
        return broken(Rule::ForbiddenCharacter);
    }
    Ok(name)
}

/// Adds a person.
///
/// # Errors
/// 403 unless by an admin (none is the administration on the command line); 404 for an unknown unit; 422 for a broken
/// rule, `Already` at `sign_in` if it is taken.
pub async fn add(app: &App, by: Option<&SignedIn>, new: NewPerson) -> Answer<Added> {
    only_admin(by)?;
    invalid::text("name", &new.name, NAME_LIMIT)?;
    if new.name.trim().is_empty() {
        return Err(Invalid::new("name", Rule::Required).into());
    }
    let sign_in = kept_sign_in(&new.sign_in)?;
    if unit::find(app, new.unit).await?.is_none() {
        return Err(Problem::not_found());
    }
    let (hash, generated) = hashed(new.password).await?;
    let now_ms = clock::now_ms();
    let person = PersonId::fresh(now_ms, rand::random());
    let mut tx = app.database.begin().await?;
    sqlx::query(
        "insert into person (person_id, unit_id, role, name, sign_in, password_hash, created_at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(person.to_string())
    .bind(new.unit.to_string())
    .bind(new.role.word())
    .bind(new.name.trim())
    .bind(sign_in)
    .bind(hash)
    .bind(now_ms)
    .execute(&mut *tx)
    .await
    .map_err(|error| match &error {
        sqlx::Error::Database(cause) if cause.is_unique_violation() => {
            Invalid::new("sign_in", Rule::Already).into()
        }
        _ => Problem::from(error),
    })?;
    let deed = deed("person-added", by, person, new.unit, new.role.word());
    audit::write(&mut tx, now_ms, deed).await?;
    tx.commit().await?;
    Ok(Added {
        person,
        password: generated,
    })
}

/// Gives a person another password and signs them out everywhere. Answers with the generated one.
///
/// # Errors
/// 403 unless by an admin; 404 for an unknown person; 422 for a password that breaks a rule.
pub async fn set_password(
    app: &App,
    by: Option<&SignedIn>,
    person: PersonId,
    password: FirstPassword,
) -> Answer<Option<Zeroizing<String>>> {
    only_admin(by)?;
    let found = find(app, person).await?.ok_or_else(Problem::not_found)?;
    let (hash, generated) = hashed(password).await?;
    let detail = if hash.is_some() { "set" } else { "removed" };
    let mut tx = app.database.begin().await?;
    sqlx::query("update person set password_hash = $2 where person_id = $1")
        .bind(person.to_string())
        .bind(hash)
        .execute(&mut *tx)
        .await?;
    sqlx::query("delete from session where person_id = $1")
        .bind(person.to_string())
        .execute(&mut *tx)
        .await?;
    // Whoever was kept out by another's guesses is let in with what they were handed now.
    attempt::forget(&mut tx, &session::account(&found.sign_in)).await?;
    let deed = deed("password-changed", by, person, found.unit, detail);
    audit::write(&mut tx, clock::now_ms(), deed).await?;
    tx.commit().await?;
    Ok(generated)
}

/// Disables a person: no sign-in, no session, no phone of theirs is served from now on.
///
/// # Errors
/// 403 unless by an admin, and for oneself; 404 for an unknown person; 409 if already disabled.
pub async fn disable(app: &App, by: Option<&SignedIn>, person: PersonId) -> Answer<()> {
    only_admin(by)?;
    if by.is_some_and(|by| by.person == person) {
        return Err(Problem::forbidden());
    }
    let found = find(app, person).await?.ok_or_else(Problem::not_found)?;
    let now_ms = clock::now_ms();
    let mut tx = app.database.begin().await?;
    let disabled = sqlx::query(
        "update person set disabled_at_ms = $2 where person_id = $1 and disabled_at_ms is null",
    )
    .bind(person.to_string())
    .bind(now_ms)
    .execute(&mut *tx)
    .await?;
    if disabled.rows_affected() == 0 {
        return Err(Problem::changed());
    }
    sqlx::query("delete from session where person_id = $1")
        .bind(person.to_string())
        .execute(&mut *tx)
        .await?;
    let deed = deed("person-disabled", by, person, found.unit, found.role.word());
    audit::write(&mut tx, now_ms, deed).await?;
    tx.commit().await?;
    Ok(())
}

/// Enables a person who was disabled: the password and every phone that was not revoked are good again. Sessions stay ended.
///
/// # Errors
/// 403 unless by an admin; 404 for an unknown person; 409 for one who is not disabled.
pub async fn enable(app: &App, by: Option<&SignedIn>, person: PersonId) -> Answer<()> {
    only_admin(by)?;
    let found = find(app, person).await?.ok_or_else(Problem::not_found)?;
    let mut tx = app.database.begin().await?;
    let enabled = sqlx::query(
        "update person set disabled_at_ms = null where person_id = $1 and disabled_at_ms is not null",
    )
    .bind(person.to_string())
    .execute(&mut *tx)
    .await?;
    if enabled.rows_affected() == 0 {
        return Err(Problem::changed());
    }
    let deed = deed("person-enabled", by, person, found.unit, found.role.word());
    audit::write(&mut tx, clock::now_ms(), deed).await?;
    tx.commit().await?;
    Ok(())
}

/// The person with this id, disabled or not.
///
/// # Errors
/// What the database says.
pub async fn find(app: &App, person: PersonId) -> Answer<Option<Person>> {
    find_where(app, "person_id", person.to_string()).await
}

/// The person with this sign-in name, disabled or not; for the command line.
///
/// # Errors
/// What the database says.
pub async fn find_by_sign_in(app: &App, typed: &str) -> Answer<Option<Person>> {
    find_where(app, "sign_in", kept_sign_in(typed)?).await
}

async fn find_where(app: &App, column: &'static str, value: String) -> Answer<Option<Person>> {
    let sql = format!("select {COLUMNS} from person where {column} = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(value)
        .fetch_optional(&app.database.read)
        .await?;
    Ok(row.as_ref().map(Person::read).transpose()?)
}

/// Everyone of `unit`, or of all units, in the order of their names; disabled people too.
///
/// # Errors
/// What the database says.
pub async fn list(app: &App, unit: Option<UnitId>) -> Answer<Vec<Person>> {
    let sql = format!(
        "select {COLUMNS} from person where unit_id = coalesce($1, unit_id) order by name, person_id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(unit.map(|unit| unit.to_string()))
        .fetch_all(&app.database.read)
        .await?;
    Ok(rows.iter().map(Person::read).collect::<Result<_, _>>()?)
}

/// The hash to keep and the password to show.
async fn hashed(password: FirstPassword) -> Answer<(Option<String>, Option<Zeroizing<String>>)> {
    match password {
        FirstPassword::None => Ok((None, None)),
        FirstPassword::Generated => {
            let generated = password::new_password();
            Ok((Some(password::hash(&generated).await?), Some(generated)))
        }
        FirstPassword::Given(given) => {
            password::check(&given)?;
            Ok((Some(password::hash(&given).await?), None))
        }
    }
}

fn deed<'a>(
    action: &'a str,
    by: Option<&SignedIn>,
    person: PersonId,
    unit: UnitId,
    detail: &str,
) -> Deed<'a> {
    Deed {
        person: by.map(|by| by.person),
        unit: Some(unit),
        action,
        subject: Some(person.to_string()),
        detail: Some(detail.to_owned()),
        ..Deed::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{People, apps, audited};
    use axum::http::StatusCode;

    fn binh(unit: UnitId) -> NewPerson {
        NewPerson {
            name: "Phạm Thanh Bình".to_owned(),
            sign_in: "Binh.Pham".to_owned(),
            role: Role::Officer,
            unit,
            password: FirstPassword::Generated,
        }
    }

    #[tokio::test]
    async fn an_admin_adds_a_person_whose_password_is_shown_once() {
        for app in apps().await {
            let people = People::new(&app).await;
            let new = binh(people.vinh_phu);
            let added = add(&app, Some(&people.dung), new).await.expect("added");
            assert_eq!(added.password.expect("generated").len(), 19);
            let found = find_by_sign_in(&app, " BINH.pham ")
                .await
                .expect("an answer");
            assert_eq!(found.expect("kept").person, added.person);
            let rows = audited(&app, "person-added").await;
            let row = rows.last().expect("a row");
            assert_eq!(row.person, Some(people.dung.person.to_string()));
            assert_eq!(row.subject, Some(added.person.to_string()));
            assert_eq!(row.unit, Some(people.vinh_phu.to_string()));
        }
    }

    #[tokio::test]
    async fn nobody_but_an_admin_adds_or_disables() {
        for app in apps().await {
            let people = People::new(&app).await;
            for by in [&people.an, &people.chi, &people.giang, &people.khoa] {
                let added = add(&app, Some(by), binh(people.vinh_phu)).await;
                assert_eq!(added.err().map(|p| p.status()), Some(StatusCode::FORBIDDEN));
                let disabled = disable(&app, Some(by), people.ha.person).await;
                assert_eq!(
                    disabled.err().map(|p| p.status()),
                    Some(StatusCode::FORBIDDEN)
                );
            }
            let oneself = disable(&app, Some(&people.dung), people.dung.person).await;
            assert_eq!(
                oneself.err().map(|p| p.status()),
                Some(StatusCode::FORBIDDEN)
            );
        }
    }

    #[tokio::test]
    async fn a_sign_in_name_is_taken_once_and_has_one_spelling() {
        for app in apps().await {
            let people = People::new(&app).await;
            add(&app, None, binh(people.vinh_phu)).await.expect("added");
            let again = add(&app, None, binh(people.truong_vinh)).await;
            assert_eq!(
                again.err().and_then(|p| p.broken().cloned()),
                Some(Invalid::new("sign_in", Rule::Already))
            );
        }
        for (typed, rule) in [
            ("", Rule::Required),
            ("an nguyen", Rule::ForbiddenCharacter),
            ("bình", Rule::ForbiddenCharacter),
            (&"x".repeat(65), Rule::TooLong),
        ] {
            assert_eq!(kept_sign_in(typed), Err(Invalid::new("sign_in", rule)));
        }
    }

    #[tokio::test]
    async fn a_person_is_disabled_once_and_stays_in_the_list() {
        for app in apps().await {
            let people = People::new(&app).await;
            let ha = people.ha.person;
            disable(&app, Some(&people.dung), ha)
                .await
                .expect("disabled");
            let again = disable(&app, Some(&people.dung), ha).await;
            assert_eq!(again.err().map(|p| p.word()), Some("changed-meanwhile"));
            let unit = list(&app, Some(people.truong_vinh)).await.expect("people");
            let row = unit.iter().find(|person| person.person == ha).expect("Hà");
            assert!(row.disabled_at_ms.is_some());
            assert!(unit.iter().all(|person| person.unit == people.truong_vinh));
            assert_eq!(list(&app, None).await.expect("people").len(), 7);
            assert_eq!(audited(&app, "person-disabled").await.len(), 1);
        }
    }

    #[tokio::test]
    async fn who_was_disabled_is_enabled_once_by_an_admin_and_the_audit_says_so() {
        for app in apps().await {
            let people = People::new(&app).await;
            let (dung, ha) = (Some(&people.dung), people.ha.person);
            let early = enable(&app, dung, ha).await;
            assert_eq!(early.err().map(|p| p.word()), Some("changed-meanwhile"));
            disable(&app, dung, ha).await.expect("disabled");
            for by in [&people.an, &people.chi, &people.giang, &people.khoa] {
                let refused = enable(&app, Some(by), ha).await;
                let status = refused.err().map(|p| p.status());
                assert_eq!(status, Some(StatusCode::FORBIDDEN));
            }
            enable(&app, dung, ha).await.expect("enabled");
            let found = find(&app, ha).await.expect("an answer").expect("kept");
            assert_eq!(found.disabled_at_ms, None);
            let again = enable(&app, dung, ha).await;
            assert_eq!(again.err().map(|p| p.word()), Some("changed-meanwhile"));
            let rows = audited(&app, "person-enabled").await;
            assert_eq!(rows.len(), 1);
            assert_eq!(rows[0].person, Some(people.dung.person.to_string()));
            assert_eq!(rows[0].subject, Some(ha.to_string()));
            assert_eq!(rows[0].unit, Some(people.truong_vinh.to_string()));
        }
    }

    #[tokio::test]
    async fn who_has_no_password_is_known_for_it_until_one_is_set() {
        for app in apps().await {
            let people = People::new(&app).await;
            let phone_only = async |person| {
                let found = find(&app, person).await.expect("an answer");
                found.expect("kept").phone_only
            };
            let added = add(&app, None, binh(people.vinh_phu)).await.expect("added");
            assert!(!phone_only(added.person).await);
            let an = people.an.person;
            assert!(phone_only(an).await);
            set_password(&app, None, an, FirstPassword::Generated)
                .await
                .expect("set");
            assert!(!phone_only(an).await);
        }
    }
}
