//! Enrolled phones (thiết bị): listed and revoked by the chief of their unit or an admin.
//!
//! Revoking is a row and a leaf of the log: what the phone had not got into the log before that leaf is not believed.
//! Nothing is deleted, and a revoked phone is never made good again; it is enrolled anew.

use crate::{
    app::App,
    audit::{self, Deed},
    clock,
    enrolment::{Enrolment, manages, may_manage, record_leaf},
    problem::{Answer, Problem},
    row::parsed,
    sample,
    session::SignedIn,
};
use kieumau_core::id::{PersonId, PhoneId, UnitId};
use sqlx::{Row as _, any::AnyRow};

/// A phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phone {
    /// Its id.
    pub phone: PhoneId,
    /// Its person.
    pub person: PersonId,
    /// How the person is called.
    pub person_name: String,
    /// The unit it was enrolled in.
    pub unit: UnitId,
    /// What it says it is.
    pub model: String,
    /// The app's version at enrolment.
    pub app_version: String,
    /// When enrolled, Unix milliseconds.
    pub enrolled_at_ms: i64,
    /// When it last signed in, Unix milliseconds.
    pub last_seen_at_ms: Option<i64>,
    /// When revoked, Unix milliseconds.
    pub revoked_at_ms: Option<i64>,
}

impl Phone {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            phone: parsed(row, "phone_id")?,
            person: parsed(row, "person_id")?,
            person_name: row.try_get("person_name")?,
            unit: parsed(row, "unit_id")?,
            model: row.try_get("model")?,
            app_version: row.try_get("app_version")?,
            enrolled_at_ms: row.try_get("enrolled_at_ms")?,
            last_seen_at_ms: row.try_get("last_seen_at_ms")?,
            revoked_at_ms: row.try_get("revoked_at_ms")?,
        })
    }
}

/// What a phone is read of.
macro_rules! phones {
    ($rest:literal) => {
        concat!(
            "select phone.phone_id, phone.person_id, person.name as person_name, phone.unit_id, phone.model, \
                    phone.app_version, phone.enrolled_at_ms, phone.last_seen_at_ms, phone.revoked_at_ms \
             from phone join person on person.person_id = phone.person_id ",
            $rest
        )
    };
}

/// The phones of `unit`, the newest first, revoked ones too. `by` none is the administration on the command line.
///
/// # Errors
/// 403 for a role that does not manage phones; 404 to a chief for another unit.
pub async fn list(app: &App, by: Option<&SignedIn>, unit: UnitId) -> Answer<Vec<Phone>> {
    may_manage(by)?;
    if !manages(by, unit) {
        return Err(Problem::not_found());
    }
    let rows = sqlx::query(phones!(
        "where phone.unit_id = $1 order by phone.phone_id desc"
    ))
    .bind(unit.to_string())
    .fetch_all(&app.database.read)
    .await?;
    Ok(rows.iter().map(Phone::read).collect::<Result<_, _>>()?)
}

/// The phones that may sync and have not signed in since then (Unix milliseconds), or all of them; by name. Those of disabled people too,
/// who may be enabled again. The sample's are in no hand.
///
/// # Errors
/// What the database says.
pub async fn not_seen_since(app: &App, since_ms: Option<i64>) -> Result<Vec<Phone>, sqlx::Error> {
    let rows = sqlx::query(phones!(
        "where phone.revoked_at_ms is null and phone.app_version <> $2 \
         and coalesce(phone.last_seen_at_ms, 0) < $1 order by person.name, phone.phone_id"
    ))
    .bind(since_ms.unwrap_or(i64::MAX))
    .bind(sample::APP_VERSION)
    .fetch_all(&app.database.read)
    .await?;
    rows.iter().map(Phone::read).collect()
}

/// Revokes `phone`, from now on and for ever.
///
/// # Errors
/// 403 for a role that does not manage phones; 404 for a phone that is not there or, to a chief, of another unit; 409 if
/// it was revoked before.
pub async fn revoke(app: &App, by: Option<&SignedIn>, phone: PhoneId) -> Answer<()> {
    may_manage(by)?;
    let now_ms = clock::now_ms();
    let mut tx = app.database.begin().await?;
    let row = sqlx::query("select unit_id from phone where phone_id = $1")
        .bind(phone.to_string())
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(Problem::not_found)?;
    let unit: UnitId = parsed(&row, "unit_id")?;
    if !manages(by, unit) {
        return Err(Problem::not_found());
    }
    let revoked = sqlx::query(
        "update phone set revoked_at_ms = $2, revoked_by = $3 \
         where phone_id = $1 and revoked_at_ms is null",
    )
    .bind(phone.to_string())
    .bind(now_ms)
    .bind(by.map(|by| by.person.to_string()))
    .execute(&mut *tx)
    .await?;
    if revoked.rows_affected() == 0 {
        return Err(Problem::changed());
    }
    let what = Enrolment::Revoked {
        phone,
        by: by.map(|by| by.person),
        at_ms: now_ms,
    };
    let leaf = record_leaf(&mut tx, &what).await?;
    sqlx::query("update phone set revoked_leaf = $2 where phone_id = $1")
        .bind(phone.to_string())
        .bind(leaf)
        .execute(&mut *tx)
        .await?;
    let deed = Deed {
        person: by.map(|by| by.person),
        unit: Some(unit),
        action: "phone-revoked",
        subject: Some(phone.to_string()),
        ..Deed::default()
    };
    audit::write(&mut tx, now_ms, deed).await?;
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::{People, apps, audited, bearer, enrolled},
        person,
    };
    use axum::http::StatusCode;

    #[tokio::test]
    async fn a_chief_lists_and_revokes_the_phones_of_the_own_unit() {
        for app in apps().await {
            let people = People::new(&app).await;
            let (phone, _) = enrolled(&app, &people.an).await;
            let (other, _) = enrolled(&app, &people.binh).await;
            let chi = Some(&people.chi);
            let phones = list(&app, chi, people.truong_vinh).await.expect("phones");
            assert_eq!(phones.len(), 1);
            assert_eq!(
                (phones[0].phone, phones[0].person_name.as_str()),
                (phone, "An")
            );
            revoke(&app, chi, phone).await.expect("revoked");
            let again = revoke(&app, chi, phone).await.expect_err("once");
            assert_eq!(again.word(), "changed-meanwhile");
            let phones = list(&app, chi, people.truong_vinh).await.expect("phones");
            assert!(phones[0].revoked_at_ms.is_some());

            let hidden = revoke(&app, chi, other).await.expect_err("another unit's");
            assert_eq!(hidden.status(), StatusCode::NOT_FOUND);
            let hidden = list(&app, chi, people.vinh_phu)
                .await
                .expect_err("another unit");
            assert_eq!(hidden.status(), StatusCode::NOT_FOUND);

            let rows = audited(&app, "phone-revoked").await;
            assert_eq!(rows.len(), 1);
            assert_eq!(rows[0].person, Some(people.chi.person.to_string()));
            assert_eq!(rows[0].unit, Some(people.truong_vinh.to_string()));
            assert_eq!(rows[0].subject, Some(phone.to_string()));
        }
    }

    #[tokio::test]
    async fn who_has_not_signed_in_since_is_counted_and_who_may_not_is_not() {
        for app in apps().await {
            let people = People::new(&app).await;
            let mut phones = Vec::new();
            for person in [&people.an, &people.ha, &people.binh, &people.chi] {
                phones.push(enrolled(&app, person).await);
            }
            let names = async |since_ms| {
                let away = not_seen_since(&app, since_ms).await.expect("phones");
                let names: Vec<_> = away.into_iter().map(|phone| phone.person_name).collect();
                names.join(" ")
            };
            let before_ms = clock::now_ms();
            assert_eq!(names(Some(before_ms)).await, "An Bình Chi Hà");
            // An syncs and Bình's is revoked: neither is waited for. Chi, who is disabled, may be enabled again.
            bearer(&app, phones[0].0, &phones[0].1).await;
            revoke(&app, None, phones[2].0).await.expect("revoked");
            person::disable(&app, None, people.chi.person)
                .await
                .expect("disabled");
            assert_eq!(names(Some(before_ms)).await, "Chi Hà");
            // Of what nobody was told yet nobody has heard, and of what comes later An has not either.
            assert_eq!(names(None).await, "An Chi Hà");
            assert_eq!(names(Some(clock::now_ms() + 1)).await, "An Chi Hà");
        }
    }

    #[tokio::test]
    async fn an_admin_manages_phones_everywhere_and_others_nowhere() {
        for app in apps().await {
            let people = People::new(&app).await;
            let (phone, _) = enrolled(&app, &people.binh).await;
            for by in [&people.binh, &people.giang, &people.khoa] {
                let listed = list(&app, Some(by), people.vinh_phu).await;
                assert_eq!(
                    listed.err().map(|p| p.status()),
                    Some(StatusCode::FORBIDDEN)
                );
                let revoked = revoke(&app, Some(by), phone).await;
                assert_eq!(
                    revoked.err().map(|p| p.status()),
                    Some(StatusCode::FORBIDDEN)
                );
            }
            let phones = list(&app, Some(&people.dung), people.vinh_phu).await;
            assert_eq!(phones.expect("phones").len(), 1);
            revoke(&app, Some(&people.dung), phone)
                .await
                .expect("revoked");
        }
    }
}
