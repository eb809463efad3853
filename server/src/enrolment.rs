//! Enrolling phones: a chief issues a one-time code, a phone spends it, and the log says whose the phone's key is.
//!
//! A code is spent by compare-and-set in the transaction that writes the phone, so that two phones never share one. The
//! phone that spent it gets the same answer again when it asks again with the same key: the first answer may have been
//! lost on the way.

use crate::{
    app::App,
    attempt::{self, Subject},
    audit::{self, Deed},
    clock,
    database::Tx,
    ledger, person,
    problem::{Answer, Problem},
    row::{parsed, parsed_or_null},
    session::SignedIn,
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::post,
};
use kieumau_core::{
    code::Code,
    enrolment::{Enrolled, Invitation, MODEL_LIMIT, NewPhone, PHONES},
    hash::Sha256,
    id::{PersonId, PhoneId, UnitId},
    invalid::{self, Invalid, Rule},
    log::leaf::Leaf,
    person::Role,
};
use sqlx::Row as _;

/// How long a code can be used.
pub const LASTS_MS: i64 = 10 * 60 * 1000;

/// How long after that its row tells a used or expired code from an unknown one.
const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1000;

/// Wrong codes in a quarter of an hour: among those that begin alike, and in all. The first bounds guessing: whatever is guessed,
/// ten tries at most are near any one code, of which seven digits are left to guess. The second bounds what a flood may write down.
const FAILURES: (i64, i64) = (10, 1_000);

/// Digits of a code that decide which codes begin alike.
const ALIKE: usize = 3;

/// The longest body of a new phone.
const BODY_LIMIT_BYTES: usize = 8 << 10;

/// What the log records about phones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolment {
    /// From here on this key is this phone's, and the phone this person's.
    Made {
        /// The phone.
        phone: PhoneId,
        /// Its person.
        person: PersonId,
        /// The person's unit.
        unit: UnitId,
        /// Ed25519.
        public_key: [u8; 32],
        /// By the server's clock, Unix milliseconds.
        at_ms: i64,
    },
    /// From here on the phone speaks for nobody.
    Revoked {
        /// The phone.
        phone: PhoneId,
        /// Who revoked it; none is the administration on the command line.
        by: Option<PersonId>,
        /// By the server's clock, Unix milliseconds.
        at_ms: i64,
    },
}

/// A code that was just issued. It is shown once; the table has its hash.
#[derive(Clone)]
pub struct IssuedCode {
    /// The code.
    pub code: Code,
    /// What the QR says: the code with the server's address and keys.
    pub qr_text: String,
    /// The server's address as it is typed with the code: with the pin of its TLS key after a `#`, if it has one.
    pub address: String,
    /// When it ends, Unix milliseconds.
    pub expires_at_ms: i64,
}

kieumau_core::unprinted!(IssuedCode);

/// Where phones enrol.
pub fn router() -> Router<App> {
    Router::new()
        .route(PHONES, post(enrol))
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
}

/// Issues a code for a phone of `person`. `by` none is the administration on the command line.
///
/// # Errors
/// 403 for a role that does not manage phones; 404 for a person who is not there or, to a chief, of another unit; 422 at
/// `person` for one who is disabled (`Ended`) or whose role records nothing (`Unknown`).
pub async fn issue(app: &App, by: Option<&SignedIn>, person: PersonId) -> Answer<IssuedCode> {
    may_manage(by)?;
    let person = person::find(app, person)
        .await?
        .filter(|person| manages(by, person.unit))
        .ok_or_else(Problem::not_found)?;
    if person.disabled_at_ms.is_some() {
        return Err(Invalid::new("person", Rule::Ended).into());
    }
    if !person.role.records() {
        return Err(Invalid::new("person", Rule::Unknown).into());
    }
    let now_ms = clock::now_ms();
    let code = Code::from_bits(rand::random());
    let expires_at_ms = now_ms + LASTS_MS;
    let mut tx = app.database.begin().await?;
    sqlx::query("delete from enrolment_code where expires_at_ms < $1")
        .bind(now_ms - REMEMBERED_MS)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "insert into enrolment_code (code_hash, person_id, issued_by, issued_at_ms, expires_at_ms) \
         values ($1, $2, $3, $4, $5)",
    )
    .bind(hash(&code))
    .bind(person.person.to_string())
    .bind(by.map(|by| by.person.to_string()))
    .bind(now_ms)
    .bind(expires_at_ms)
    .execute(&mut *tx)
    .await?;
    let deed = Deed {
        person: by.map(|by| by.person),
        unit: Some(person.unit),
        action: "enrolment-code-issued",
        subject: Some(person.person.to_string()),
        ..Deed::default()
    };
    audit::write(&mut tx, now_ms, deed).await?;
    tx.commit().await?;
    let invitation = Invitation {
        url: app.config.public_url.clone(),
        pin: app.config.pins.first().map(|pin| *pin.as_bytes()),
        log_key: app.keys.log.verifying_key().to_bytes(),
        receipt_key: app.keys.receipt.verifying_key().to_bytes(),
        rescue_key: app.keys.rescue.public(),
        code: code.clone(),
    };
    let mut address = invitation.url.clone();
    if let Some(pin) = app.config.pins.first() {
        address = format!("{address}#{pin}");
    }
    Ok(IssuedCode {
        code,
        address,
        qr_text: invitation.to_text(),
        expires_at_ms,
    })
}

/// Refuses a role that manages no phones.
pub(crate) fn may_manage(by: Option<&SignedIn>) -> Answer<()> {
    match by {
        Some(by) if !by.role.manages_phones() => Err(Problem::forbidden()),
        _ => Ok(()),
    }
}

/// Whether who [`may_manage`] phones may do so in `unit`: a chief in the own one, an admin everywhere.
pub(crate) fn manages(by: Option<&SignedIn>, unit: UnitId) -> bool {
    by.is_none_or(|by| by.role == Role::Admin || by.unit == unit)
}

fn hash(code: &Code) -> String {
    Sha256::of_parts(&[b"enrolment code\0", code.as_bytes()]).to_string()
}

/// `POST /v1/phones`: a phone spends a code.
async fn enrol(State(app): State<App>, body: Bytes) -> Answer<Response> {
    let new: NewPhone =
        serde_json::from_slice(&body).map_err(|_| Invalid::new("body", Rule::Malformed))?;
    let code: Code = new.code.parse()?;
    invalid::text("model", &new.model, MODEL_LIMIT)?;
    invalid::text("app_version", &new.app_version, MODEL_LIMIT)?;
    new.proven_key()?;
    let now_ms = clock::now_ms();
    let mut subjects = vec![Subject::new("code", &code[..ALIKE], FAILURES.0)];
    // In a flood of wrong codes an officer with a right one is still let in: who has it guessed nothing.
    if !Issued::is_there(&app, &code).await? {
        subjects.push(Subject::new("codes", "", FAILURES.1));
    }
    let attempt = attempt::begin(&app.database, now_ms, &subjects).await?;
    let mut tx = app.database.begin().await?;
    let issued = Issued::find(&mut tx, &code).await?;
    let spent = match &issued {
        Some(issued) => issued.spend(&app, &mut tx, &new, now_ms).await?,
        None => Err(Refusal::Unknown),
    };
    let answer = match spent {
        Ok((status, enrolled)) => {
            attempt.forgive(&mut tx).await?;
            Ok((status, Json(enrolled)).into_response())
        }
        Err(refusal) => {
            let deed = Deed {
                unit: issued.as_ref().map(|issued| issued.unit),
                action: "enrolment-refused",
                subject: issued.map(|issued| issued.person.to_string()),
                detail: Some(refusal.word().to_owned()),
                ..Deed::default()
            };
            audit::write(&mut tx, now_ms, deed).await?;
            Err(refusal.problem())
        }
    };
    tx.commit().await?;
    answer
}

/// Why a code is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Unknown,
    Used,
    Expired,
    PersonDisabled,
}

impl Refusal {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 4] = [
        Self::Unknown,
        Self::Used,
        Self::Expired,
        Self::PersonDisabled,
    ];

    /// The stable word, in the problem and in the audit.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "code-unknown",
            Self::Used => "code-used",
            Self::Expired => "code-expired",
            Self::PersonDisabled => "person-disabled",
        }
    }

    const fn problem(self) -> Problem {
        let (status, title) = match self {
            Self::Unknown => (StatusCode::NOT_FOUND, "There is no such code."),
            Self::Used => (StatusCode::CONFLICT, "Another phone used this code."),
            Self::Expired => (StatusCode::GONE, "The code has expired. Ask for a new one."),
            Self::PersonDisabled => (StatusCode::FORBIDDEN, "The person may not record any more."),
        };
        Problem::new(status, self.word(), title)
    }
}

/// A code's row, with the person it was issued for as they are now.
struct Issued {
    code_hash: String,
    expires_at_ms: i64,
    phone: Option<PhoneId>,
    person: PersonId,
    unit: UnitId,
    role: Role,
    person_name: String,
    unit_name: String,
    disabled: bool,
}

impl Issued {
    /// Whether such a code was ever issued. Only for what is counted: an attempt is let through before it is answered.
    async fn is_there(app: &App, code: &Code) -> Result<bool, sqlx::Error> {
        let row = sqlx::query("select code_hash from enrolment_code where code_hash = $1")
            .bind(hash(code))
            .fetch_optional(&app.database.read)
            .await?;
        Ok(row.is_some())
    }

    async fn find(tx: &mut Tx, code: &Code) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query(
            "select enrolment_code.code_hash, enrolment_code.expires_at_ms, enrolment_code.phone_id, \
                    person.person_id, person.unit_id, person.role, person.name, person.disabled_at_ms, \
                    unit.name as unit_name \
             from enrolment_code \
             join person on person.person_id = enrolment_code.person_id \
             join unit on unit.unit_id = person.unit_id \
             where enrolment_code.code_hash = $1",
        )
        .bind(hash(code))
        .fetch_optional(&mut **tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Self {
            code_hash: row.try_get("code_hash")?,
            expires_at_ms: row.try_get("expires_at_ms")?,
            phone: parsed_or_null(&row, "phone_id")?,
            person: parsed(&row, "person_id")?,
            unit: parsed(&row, "unit_id")?,
            role: parsed(&row, "role")?,
            person_name: row.try_get("name")?,
            unit_name: row.try_get("unit_name")?,
            disabled: row.try_get::<Option<i64>, _>("disabled_at_ms")?.is_some(),
        }))
    }

    /// Spends the code on `new`: 201, or 200 if `new` spent it before.
    async fn spend(
        &self,
        app: &App,
        tx: &mut Tx,
        new: &NewPhone,
        now_ms: i64,
    ) -> Answer<Result<(StatusCode, Enrolled), Refusal>> {
        if self.disabled || !self.role.records() {
            return Ok(Err(Refusal::PersonDisabled));
        }
        if let Some(phone) = self.phone {
            let leaf = leaf_of(tx, phone, &new.public_key).await?;
            return match leaf {
                Some(leaf) => {
                    let enrolled = self.enrolled(app, tx, phone, leaf, now_ms).await?;
                    Ok(Ok((StatusCode::OK, enrolled)))
                }
                None => Ok(Err(Refusal::Used)),
            };
        }
        if self.expires_at_ms <= now_ms {
            return Ok(Err(Refusal::Expired));
        }
        let phone = PhoneId::fresh(now_ms, rand::random());
        let marked = sqlx::query(
            "update enrolment_code set used_at_ms = $2, phone_id = $3 \
             where code_hash = $1 and used_at_ms is null",
        )
        .bind(&self.code_hash)
        .bind(now_ms)
        .bind(phone.to_string())
        .execute(&mut **tx)
        .await?;
        if marked.rows_affected() == 0 {
            return Ok(Err(Refusal::Used));
        }
        let leaf = self.write(tx, phone, new, now_ms).await?;
        let enrolled = self.enrolled(app, tx, phone, leaf, now_ms).await?;
        Ok(Ok((StatusCode::CREATED, enrolled)))
    }

    /// Writes the leaf, the phone and the audit row; answers with the leaf's position.
    async fn write(
        &self,
        tx: &mut Tx,
        phone: PhoneId,
        new: &NewPhone,
        now_ms: i64,
    ) -> Result<i64, sqlx::Error> {
        let made = Enrolment::Made {
            phone,
            person: self.person,
            unit: self.unit,
            public_key: new.public_key,
            at_ms: now_ms,
        };
        let leaf = record_leaf(tx, &made).await?;
        sqlx::query(
            "insert into phone (phone_id, person_id, unit_id, algorithm, public_key, model, app_version, \
             enrolled_at_ms, enrolled_leaf) values ($1, $2, $3, 'Ed25519', $4, $5, $6, $7, $8)",
        )
        .bind(phone.to_string())
        .bind(self.person.to_string())
        .bind(self.unit.to_string())
        .bind(new.public_key.to_vec())
        .bind(&new.model)
        .bind(&new.app_version)
        .bind(now_ms)
        .bind(leaf)
        .execute(&mut **tx)
        .await?;
        let deed = Deed {
            person: Some(self.person),
            phone: Some(phone),
            unit: Some(self.unit),
            action: "phone-enrolled",
            subject: Some(phone.to_string()),
            ..Deed::default()
        };
        audit::write(tx, now_ms, deed).await?;
        Ok(leaf)
    }

    async fn enrolled(
        &self,
        app: &App,
        tx: &mut Tx,
        phone: PhoneId,
        leaf: i64,
        now_ms: i64,
    ) -> Result<Enrolled, sqlx::Error> {
        Ok(Enrolled {
            phone,
            person: self.person,
            unit: self.unit,
            role: self.role,
            person_name: self.person_name.clone(),
            unit_name: self.unit_name.clone(),
            log_key: app.keys.log.verifying_key().to_bytes(),
            receipt_key: app.keys.receipt.verifying_key().to_bytes(),
            seal_key: app.keys.seal.verifying_key().to_bytes(),
            rescue_key: app.keys.rescue.public(),
            epoch: log_epoch(tx).await?,
            leaf,
            server_time_ms: now_ms,
        })
    }
}

/// The leaf that enrolled `phone`, if it has this key.
async fn leaf_of(
    tx: &mut Tx,
    phone: PhoneId,
    public_key: &[u8; 32],
) -> Result<Option<i64>, sqlx::Error> {
    let row = sqlx::query("select public_key, enrolled_leaf from phone where phone_id = $1")
        .bind(phone.to_string())
        .fetch_one(&mut **tx)
        .await?;
    let same = row.try_get::<Vec<u8>, _>("public_key")? == public_key;
    Ok(if same {
        Some(row.try_get("enrolled_leaf")?)
    } else {
        None
    })
}

/// Appends what happened to a phone to the log; the position of the leaf.
///
/// # Errors
/// What the database says.
pub(crate) async fn record_leaf(tx: &mut Tx, what: &Enrolment) -> Result<i64, sqlx::Error> {
    let leaf = match *what {
        Enrolment::Made {
            phone,
            person,
            unit,
            public_key,
            at_ms,
        } => Leaf::Enrolled {
            phone,
            person,
            unit,
            public_key,
            at_ms,
        },
        Enrolment::Revoked { phone, at_ms, .. } => Leaf::Revoked { phone, at_ms },
    };
    ledger::append(tx, &leaf).await
}

/// The epoch that the log is in.
async fn log_epoch(tx: &mut Tx) -> Result<String, sqlx::Error> {
    let (epoch, _) = ledger::size(&mut **tx).await?;
    Ok(epoch.to_string())
}

#[cfg(test)]
mod tests;
