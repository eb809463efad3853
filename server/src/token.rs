//! Phones sign in: an assertion signed by the phone's key for an access token of ten minutes, and the extractor that
//! believes such a token.
//!
//! The checks are those of RFC 8725: one algorithm, one exact `typ` per kind of token, no key taken from the token, no
//! header that is not ours, nothing above 8 KiB. A token only says which phone speaks; whether it may is read from the
//! phone's row with every request, so that revoking takes effect at once.

mod nonce;

use crate::{
    app::App,
    clock,
    database::Tx,
    problem::{Answer, Problem},
    row::parsed,
    serve::{self, Reach},
};
use axum::{
    Form, Json, Router,
    extract::{DefaultBodyLimit, FromRequestParts, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use ed25519_dalek::{SigningKey, VerifyingKey};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use kieumau_core::{
    hash::Sha256,
    id::{PersonId, PhoneId, UnitId},
    person::Role,
    pin::{Announced, PINS_PATH},
    token::{
        ASSERTION_LASTS_S, ASSERTION_TYP, AUDIENCE, AccessToken, Assertion, GRANT_TYPE, TOKEN,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sqlx::{Row as _, any::AnyRow};
use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

/// How long an access token lasts, seconds.
pub const LASTS_S: i64 = 600;

/// How far a phone's clock may be from ours, seconds.
const LEEWAY_S: i64 = 60;

/// The longest token that is looked at.
const TOKEN_LIMIT_BYTES: usize = 8 << 10;

/// The longest form: a token that is too long shall be told so as a token.
const BODY_LIMIT_BYTES: usize = 64 << 10;

/// The `typ` of an access token, which no assertion has.
const ACCESS_TYP: &str = "at+jwt";

/// Tokens that are remembered as verified.
const REMEMBERED: usize = 10_000;

/// The claims of an access token, times in Unix seconds. No more than what is checked: the rest of RFC 9068 (`client_id`, `iat`,
/// `jti`) would say again what `sub` and `exp` say, and every request carries the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Access {
    iss: String,
    sub: String,
    aud: String,
    exp: i64,
}

/// The phone that speaks, read anew from the database with every request.
#[derive(Clone, Debug)]
pub struct EnrolledPhone {
    /// Which phone.
    pub phone: PhoneId,
    /// Whose.
    pub person: PersonId,
    /// The unit that the person is in now.
    pub unit: UnitId,
    /// The person's role.
    pub role: Role,
}

/// The phone that speaks, with what its own seals are checked by: a push asks the database about its phone once.
#[derive(Clone, Debug)]
pub struct SealingPhone {
    /// Who speaks.
    pub speaks: EnrolledPhone,
    /// Its public key.
    pub public_key: Vec<u8>,
    /// The unit that it was enrolled in.
    pub enrolled_in: UnitId,
}

/// Where phones get tokens.
pub fn router() -> Router<App> {
    Router::new()
        .route(TOKEN, post(exchange))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .route(PINS_PATH, get(pins))
}

#[derive(Deserialize)]
struct Grant {
    grant_type: String,
    assertion: String,
}

/// `POST /v1/token` (RFC 7523).
async fn exchange(
    State(app): State<App>,
    form: Result<Form<Grant>, FormRejection>,
) -> Answer<Response> {
    let Ok(Form(grant)) = form else {
        return Err(bad_request("The form lacks a field."));
    };
    if grant.grant_type != GRANT_TYPE {
        return Err(bad_request("Only the grant type of RFC 7523 is taken."));
    }
    let now_ms = clock::now_ms();
    let now_s = now_ms / 1000;
    let named = phone_named(&grant.assertion).ok_or_else(refused)?;
    let known = Known::find(&app, named).await?.ok_or_else(refused)?;
    let assertion = asserted(&grant.assertion, named, &known.public_key).ok_or_else(refused)?;
    in_time(&assertion, &app.keys.token, now_s)?;
    let phone = known.standing()?.speaks;
    let mut tx = app.database.begin().await?;
    spend(&mut tx, named, &assertion, now_ms).await?;
    sqlx::query("update phone set last_seen_at_ms = $2 where phone_id = $1")
        .bind(named.to_string())
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    let answer = AccessToken {
        access_token: access_token(&app.keys.token, &phone, now_s)?,
        token_type: "Bearer".to_owned(),
        expires_in: LASTS_S,
        server_time_ms: now_ms,
        pins: announced_pins(&app).await?,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// The TLS keys that phones are to trust from now on; none where there is no TLS.
async fn announced_pins(app: &App) -> Result<Option<String>, sqlx::Error> {
    // Those of the database, with their number: another server on it may have been started with more since this one was.
    let reach = serve::announced(app).await?;
    let Some(Reach { pins, number, .. }) = reach.filter(|reach| !reach.pins.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(Announced { pins, number }.sign(&app.keys.log)))
}

/// `GET /v1/pins`: the announcement, in the clear.
async fn pins(State(app): State<App>) -> Answer<String> {
    announced_pins(&app).await?.ok_or_else(Problem::not_found)
}

const fn bad_request(title: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-request", title)
}

/// One answer for everything that is wrong with a token: who forges one learns nothing.
const fn refused() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "token-refused",
        "The token is not one of ours.",
    )
}

/// The phone that an assertion says it is from. Nothing is verified yet: it only tells whose key to try.
fn phone_named(assertion: &str) -> Option<PhoneId> {
    if assertion.len() > TOKEN_LIMIT_BYTES {
        return None;
    }
    let claims: Assertion = jsonwebtoken::dangerous::insecure_decode_claims(assertion).ok()?;
    claims.iss.parse().ok()
}

/// The assertion's claims, if `phone` signed it for us.
fn asserted(assertion: &str, phone: PhoneId, public_key: &[u8]) -> Option<Assertion> {
    let mut validation = validation();
    validation.set_issuer(&[phone.to_string()]);
    validation.sub = Some(phone.to_string());
    verified(assertion, ASSERTION_TYP, public_key, &validation)
}

/// What is checked in every token. Times are compared by hand: time is an argument here.
fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
    validation.validate_exp = false;
    validation
}

/// The claims of `token` if it has this `typ`, a header that says no more than that, and this key's signature.
fn verified<T: DeserializeOwned>(
    token: &str,
    typ: &str,
    public_key: &[u8],
    validation: &Validation,
) -> Option<T> {
    if token.len() > TOKEN_LIMIT_BYTES {
        return None;
    }
    let header = jsonwebtoken::decode_header(token).ok()?;
    let ours = Header {
        typ: Some(typ.to_owned()),
        // A key's name is allowed and means nothing: the key is the named phone's, whatever the header says.
        kid: header.kid.clone(),
        ..Header::new(Algorithm::EdDSA)
    };
    if header != ours {
        return None;
    }
    let key = DecodingKey::from_ed_der(public_key);
    let data = jsonwebtoken::decode(token, &key, validation).ok()?;
    Some(data.claims)
}

/// Refuses an assertion that is not of now by the server's clock.
fn in_time(assertion: &Assertion, key: &SigningKey, now_s: i64) -> Answer<()> {
    let lasts_s = assertion.exp.saturating_sub(assertion.iat);
    if !(1..=ASSERTION_LASTS_S).contains(&lasts_s) {
        return Err(refused());
    }
    if let Some(nonce) = &assertion.nonce
        && !nonce::is_fresh(key, nonce, now_s)
    {
        return Err(refused());
    }
    let from = assertion.iat.saturating_sub(LEEWAY_S);
    let until = assertion.exp.saturating_add(LEEWAY_S);
    if (from..until).contains(&now_s) {
        Ok(())
    } else {
        Err(Problem::clock_skew(nonce::make(key, now_s)))
    }
}

/// Writes down that `phone` used this assertion, and forgets those that are over.
///
/// # Errors
/// 401 if it was used before.
async fn spend(tx: &mut Tx, phone: PhoneId, assertion: &Assertion, now_ms: i64) -> Answer<()> {
    sqlx::query("delete from assertion where expires_at_ms < $1")
        .bind(now_ms)
        .execute(&mut **tx)
        .await?;
    // Of the phone's own number only: no phone can use up another one's.
    let jti = Sha256::of_parts(&[phone.as_bytes(), assertion.jti.as_bytes()]);
    let expires_at_ms = assertion.exp.saturating_add(LEEWAY_S).saturating_mul(1000);
    let spent = sqlx::query(
        "insert into assertion (jti, expires_at_ms) values ($1, $2) on conflict do nothing",
    )
    .bind(jti.to_string())
    .bind(expires_at_ms)
    .execute(&mut **tx)
    .await?;
    if spent.rows_affected() == 0 {
        return Err(refused());
    }
    Ok(())
}

fn access_token(key: &SigningKey, phone: &EnrolledPhone, now_s: i64) -> Answer<String> {
    let claims = Access {
        iss: AUDIENCE.to_owned(),
        sub: phone.phone.to_string(),
        aud: AUDIENCE.to_owned(),
        exp: now_s + LASTS_S,
    };
    signed(key, ACCESS_TYP, &claims).map_err(Problem::internal)
}

/// `claims` as a token signed by `key`.
pub(crate) fn signed(
    key: &SigningKey,
    typ: &str,
    claims: &impl Serialize,
) -> Result<String, jsonwebtoken::errors::Error> {
    let header = Header {
        typ: Some(typ.to_owned()),
        ..Header::new(Algorithm::EdDSA)
    };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(&pkcs8(key)))
}

/// The key in the only form that the library signs with: PKCS #8 (RFC 8410, section 7), a fixed head and the seed.
fn pkcs8(key: &SigningKey) -> zeroize::Zeroizing<Vec<u8>> {
    const HEAD: [u8; 16] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    let seed = zeroize::Zeroizing::new(key.to_bytes());
    zeroize::Zeroizing::new([&HEAD[..], &seed[..]].concat())
}

/// What the database knows of a phone.
struct Known {
    phone: EnrolledPhone,
    public_key: Vec<u8>,
    enrolled_in: UnitId,
    revoked: bool,
    disabled: bool,
}

impl Known {
    async fn find(app: &App, phone: PhoneId) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query(
            "select phone.phone_id, phone.person_id, phone.public_key, phone.unit_id as enrolled_in, \
                    phone.revoked_at_ms, person.unit_id, person.role, person.disabled_at_ms \
             from phone join person on person.person_id = phone.person_id where phone.phone_id = $1",
        )
        .bind(phone.to_string())
        .fetch_optional(&app.database.read)
        .await?;
        row.as_ref().map(Self::read).transpose()
    }

    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let at = |column| row.try_get::<Option<i64>, &str>(column);
        Ok(Self {
            phone: EnrolledPhone {
                phone: parsed(row, "phone_id")?,
                person: parsed(row, "person_id")?,
                unit: parsed(row, "unit_id")?,
                role: parsed(row, "role")?,
            },
            public_key: row.try_get("public_key")?,
            enrolled_in: parsed(row, "enrolled_in")?,
            revoked: at("revoked_at_ms")?.is_some(),
            disabled: at("disabled_at_ms")?.is_some(),
        })
    }

    /// The phone, if it still speaks for somebody.
    fn standing(self) -> Answer<SealingPhone> {
        let forbidden = |word, title| Err(Problem::new(StatusCode::FORBIDDEN, word, title));
        if self.revoked {
            forbidden("phone-revoked", "This phone was revoked.")
        } else if self.disabled || !self.phone.role.records() {
            forbidden("person-disabled", "The person may not record any more.")
        } else {
            Ok(SealingPhone {
                speaks: self.phone,
                public_key: self.public_key,
                enrolled_in: self.enrolled_in,
            })
        }
    }
}

/// Tokens verified by this process and when they end: a cache of a pure function of key and token, and of nothing else.
static VERIFIED: LazyLock<Mutex<HashMap<Sha256, Access>>> = LazyLock::new(Mutex::default);

/// The claims of an access token that `key` signed, over or not.
fn access(token: &str, key: &VerifyingKey, now_s: i64) -> Option<Access> {
    let name = Sha256::of_parts(&[key.as_bytes(), token.as_bytes()]);
    let remembered = || VERIFIED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(access) = remembered().get(&name) {
        return Some(access.clone());
    }
    let mut validation = validation();
    validation.set_issuer(&[AUDIENCE]);
    let access: Access = verified(token, ACCESS_TYP, key.as_bytes(), &validation)?;
    let mut tokens = remembered();
    if tokens.len() >= REMEMBERED {
        tokens.retain(|_, access| access.exp > now_s);
    }
    if tokens.len() < REMEMBERED {
        tokens.insert(name, access.clone());
    }
    Some(access)
}

/// The token in `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (values.next().is_none() && scheme.eq_ignore_ascii_case("Bearer")).then_some(token)
}

/// The phone that `headers` speak for at `now_s`.
async fn speaking(app: &App, headers: &HeaderMap, now_s: i64) -> Answer<SealingPhone> {
    let token = bearer(headers).ok_or_else(Problem::signed_out)?;
    let key = app.keys.token.verifying_key();
    let access = access(token, &key, now_s).ok_or_else(refused)?;
    if access.exp <= now_s {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "token-expired",
            "The token is over. Ask for another.",
        ));
    }
    standing(app, access.sub.parse().map_err(|_| refused())?).await
}

/// The phone as it stands now.
///
/// # Errors
/// 403 if it was revoked or its person may not record any more.
pub async fn standing(app: &App, phone: PhoneId) -> Answer<SealingPhone> {
    Known::find(app, phone)
        .await?
        .ok_or_else(refused)?
        .standing()
}

impl FromRequestParts<App> for EnrolledPhone {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        let phone = SealingPhone::from_request_parts(parts, app).await?;
        Ok(phone.speaks)
    }
}

impl FromRequestParts<App> for SealingPhone {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        speaking(app, &parts.headers, clock::now_ms() / 1000).await
    }
}

#[cfg(test)]
mod tests;
