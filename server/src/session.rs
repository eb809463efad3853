//! People signed in to pages: a random token in a `__Host-` cookie, its hash in a row. Revoked by deleting the row.
//!
//! The row is read with every request, joined with the person, so that a disabled person or a changed role takes effect
//! with the next click. Sessions end twelve hours after they began: a shift, not a week.

use crate::{
    app::App,
    attempt::{self, Subject},
    audit::{self, Deed},
    clock,
    database::Tx,
    password,
    person::kept_sign_in,
    problem::{Answer, Problem},
    row::parsed,
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use kieumau_core::{
    hash::Sha256,
    id::{PersonId, UnitId},
    person::Role,
};
use sqlx::Row as _;
use std::fmt;
use zeroize::Zeroizing;

/// The name of the cookie. A browser takes a `__Host-` cookie only from this host, with `Secure` and for the path `/`.
pub const COOKIE: &str = "__Host-session";

/// How long a session lasts from its beginning, whatever is done in it.
pub const LASTS_MS: i64 = 12 * 60 * 60 * 1000;

/// Failures that an account bears in a quarter of an hour.
pub const FAILURES: i64 = 10;

/// Who is signed in, read anew from the database with every request.
#[derive(Clone)]
pub struct SignedIn {
    /// Who.
    pub person: PersonId,
    /// Of which unit.
    pub unit: UnitId,
    /// With which role.
    pub role: Role,
    /// How pages greet them.
    pub name: String,
    /// How pages call their unit.
    pub unit_name: String,
}

kieumau_core::unprinted!(SignedIn);

/// What the cookie holds: 32 random bytes as base64url. It is never printed and lies in no table.
pub struct Token(Zeroizing<String>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    fn fresh() -> Self {
        let mut random = Zeroizing::new([0; 32]);
        rand::fill(random.as_mut_slice());
        Self(Zeroizing::new(
            BASE64_URL_SAFE_NO_PAD.encode(random.as_ref()),
        ))
    }

    /// The token in the request's cookie. Two of them are none: one would be somebody else's.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut found = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == COOKIE)
            .map(|(_, value)| value);
        let value = found.next()?;
        (found.next().is_none() && value.len() == 43)
            .then(|| Self(Zeroizing::new(value.to_owned())))
    }

    fn hash(&self) -> String {
        Sha256::of(self.0.as_bytes()).to_string()
    }

    /// The value of `Set-Cookie` that hands the token to the browser.
    pub fn set_cookie(&self) -> HeaderValue {
        let seconds = LASTS_MS / 1000;
        let cookie = format!(
            "{COOKIE}={}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax",
            *self.0
        );
        let mut value =
            HeaderValue::try_from(cookie).expect("base64url and a number make a header value");
        value.set_sensitive(true);
        value
    }
}

/// The value of `Set-Cookie` that makes the browser forget the token.
pub const fn forget_cookie() -> HeaderValue {
    HeaderValue::from_static("__Host-session=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax")
}

/// Whom wrong passwords for this name are counted against, whoever types them.
pub fn account(sign_in: &str) -> Subject {
    Subject::new("account", sign_in, FAILURES)
}

/// Signs in with what was typed. An unknown name, a wrong password, a person without one and a disabled person get the
/// same answer after the same work, and count the same.
///
/// # Errors
/// 401 `sign-in-refused`; 429 after [`FAILURES`] in a quarter of an hour; 503 in a flood.
pub async fn sign_in(app: &App, sign_in: &str, password: &str) -> Answer<(SignedIn, Token)> {
    let now_ms = clock::now_ms();
    let typed = sign_in.trim().to_ascii_lowercase();
    let attempt = attempt::begin(&app.database, now_ms, &[account(&typed)]).await?;
    let row = sqlx::query(
        "select person.person_id, person.unit_id, person.role, person.name, unit.name as unit_name, \
                person.password_hash, person.disabled_at_ms \
         from person join unit on unit.unit_id = person.unit_id where person.sign_in = $1",
    )
    // What cannot be a name is nobody's, and no database sees it: one of them would refuse where the other finds nothing.
    .bind(kept_sign_in(&typed).unwrap_or_default())
    .fetch_optional(&app.database.read)
    .await?;
    let (mut kept, mut known) = (None, None);
    if let Some(row) = &row {
        known = Some(SignedIn::read(row)?);
        if row.try_get::<Option<i64>, _>("disabled_at_ms")?.is_none() {
            kept = row.try_get("password_hash")?;
        }
    }
    let right = password::matches(password, kept).await?;
    let mut tx = app.database.begin().await?;
    let answer = match known {
        Some(signed_in) if right => {
            attempt.forgive(&mut tx).await?;
            let token = open(&mut tx, now_ms, &signed_in).await?;
            Ok((signed_in, token))
        }
        known => {
            let deed = Deed {
                unit: known.as_ref().map(|known| known.unit),
                action: "sign-in-failed",
                subject: known.map(|known| known.person.to_string()),
                ..Deed::default()
            };
            audit::write(&mut tx, now_ms, deed).await?;
            Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "sign-in-refused",
                "Unknown name or wrong password.",
            ))
        }
    };
    tx.commit().await?;
    answer
}

/// Opens a session for somebody whose password was right, and clears away the sessions that are over.
///
/// # Errors
/// What the database says.
pub(crate) async fn open(
    tx: &mut Tx,
    now_ms: i64,
    signed_in: &SignedIn,
) -> Result<Token, sqlx::Error> {
    sqlx::query("delete from session where expires_at_ms <= $1")
        .bind(now_ms)
        .execute(&mut **tx)
        .await?;
    let token = Token::fresh();
    sqlx::query(
        "insert into session (token_hash, person_id, created_at_ms, expires_at_ms) \
         values ($1, $2, $3, $4)",
    )
    .bind(token.hash())
    .bind(signed_in.person.to_string())
    .bind(now_ms)
    .bind(now_ms + LASTS_MS)
    .execute(&mut **tx)
    .await?;
    audit::write(tx, now_ms, signed_in.deed("sign-in")).await?;
    Ok(token)
}

/// Ends the session of the request's cookie, if it has one. Whoever signs out twice is as signed out as before.
/// Answers with the `Set-Cookie` that goes with it.
///
/// # Errors
/// What the database says.
pub async fn sign_out(app: &App, headers: &HeaderMap) -> Answer<HeaderValue> {
    let now_ms = clock::now_ms();
    if let Some(token) = Token::of(headers)
        && let Some(signed_in) = find(app, now_ms, &token).await?
    {
        let mut tx = app.database.begin().await?;
        sqlx::query("delete from session where token_hash = $1")
            .bind(token.hash())
            .execute(&mut *tx)
            .await?;
        audit::write(&mut tx, now_ms, signed_in.deed("sign-out")).await?;
        tx.commit().await?;
    }
    Ok(forget_cookie())
}

/// Whose session it is, unless it is over or the person is disabled.
async fn find(app: &App, now_ms: i64, token: &Token) -> Result<Option<SignedIn>, sqlx::Error> {
    let row = sqlx::query(
        "select person.person_id, person.unit_id, person.role, person.name, unit.name as unit_name \
         from session \
         join person on person.person_id = session.person_id \
         join unit on unit.unit_id = person.unit_id \
         where session.token_hash = $1 and session.expires_at_ms > $2 \
           and person.disabled_at_ms is null",
    )
    .bind(token.hash())
    .bind(now_ms)
    .fetch_optional(&app.database.read)
    .await?;
    row.as_ref().map(SignedIn::read).transpose()
}

impl SignedIn {
    fn read(row: &sqlx::any::AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            person: parsed(row, "person_id")?,
            unit: parsed(row, "unit_id")?,
            role: parsed(row, "role")?,
            name: row.try_get("name")?,
            unit_name: row.try_get("unit_name")?,
        })
    }

    /// The beginning of an audit row about something this person did.
    pub fn deed<'a>(&self, action: &'a str) -> Deed<'a> {
        Deed {
            person: Some(self.person),
            unit: Some(self.unit),
            action,
            ..Deed::default()
        }
    }
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        signed_in(app, &parts.headers).await
    }
}

/// Who is signed in by the cookie among `headers`.
///
/// # Errors
/// 401 if nobody is, any more.
pub async fn signed_in(app: &App, headers: &HeaderMap) -> Answer<SignedIn> {
    let token = Token::of(headers).ok_or_else(Problem::signed_out)?;
    find(app, clock::now_ms(), &token)
        .await?
        .ok_or_else(Problem::signed_out)
}

#[cfg(test)]
mod tests;
