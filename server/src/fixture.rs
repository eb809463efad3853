//! What the server's tests stand on: a fresh server on each database, the named people, and the audit rows they left.
//!
//! SQLite always; PostgreSQL too when `KIEUMAU_TEST_POSTGRES` is its URL, each test in a database of its own. Attachments lie in a
//! folder, or under a prefix of each test's own in the bucket that `KIEUMAU_TEST_S3` names.

use crate::{
    app::{App, Config},
    enrolment, feed,
    intake::{PreparedChange, PreparedDocument, PreparedPush},
    person::{self, FirstPassword, NewPerson},
    row::parsed,
    session::{self, SignedIn},
    token,
    unit::{self, Level, NewUnit},
};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use ed25519_dalek::SigningKey;
use jiff::civil::date;
use kieumau_core::{
    document::{Actor, Key, birth},
    enrolment::{Enrolled, NewPhone, PHONES},
    hash::Sha256,
    id::{PhoneId, UnitId},
    log::admission::Candidate,
    person::Role,
    token::{ASSERTION_TYP, AccessToken, Assertion, GRANT_TYPE, TOKEN},
};
use sqlx::{AnyConnection, Connection as _, Row as _};
use std::{collections::BTreeSet, ops::Deref};
use tower::ServiceExt as _;

/// A server in a folder that is gone when the test is over.
pub struct TestApp {
    app: App,
    // Deleted when dropped.
    _folder: tempfile::TempDir,
}

impl Deref for TestApp {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

/// A fresh server on each database there is.
pub async fn apps() -> Vec<TestApp> {
    let mut apps = vec![open(None).await];
    if let Ok(url) = std::env::var("KIEUMAU_TEST_POSTGRES") {
        apps.push(open(Some(fresh_database(&url).await)).await);
    }
    apps
}

async fn open(database_url: Option<String>) -> TestApp {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config {
        data: folder.path().to_owned(),
        database_url,
        attachments_url: std::env::var("KIEUMAU_TEST_S3")
            .ok()
            .map(|bucket| format!("{bucket}/{:016x}", rand::random::<u64>())),
        public_url: "http://127.0.0.1:8080".to_owned(),
        pins: Vec::new(),
    };
    let app = App::open(config).await.expect("a server");
    TestApp {
        app,
        _folder: folder,
    }
}

/// Creates an empty database beside the one in `url` and answers with its URL.
pub async fn fresh_database(url: &str) -> String {
    sqlx::any::install_default_drivers();
    let name = format!("kieumau_{:016x}", rand::random::<u64>());
    let mut connection = AnyConnection::connect(url).await.expect("PostgreSQL");
    sqlx::query(sqlx::AssertSqlSafe(format!("create database {name}")))
        .execute(&mut connection)
        .await
        .expect("a database");
    // The path of the URL is the database.
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (base, _) = base.rsplit_once('/').expect("a URL with a database");
    format!("{base}/{name}?{query}")
}

/// The named people in their units. Nobody has a password; [`cookie`] signs them in.
pub struct People {
    /// Phường Trường Vinh.
    pub truong_vinh: UnitId,
    /// Phường Vinh Phú, the other unit.
    pub vinh_phu: UnitId,
    /// Officer in Trường Vinh.
    pub an: SignedIn,
    /// Officer on An's team.
    pub ha: SignedIn,
    /// Officer in Vinh Phú.
    pub binh: SignedIn,
    /// Chief in Trường Vinh.
    pub chi: SignedIn,
    /// Appraiser of the province.
    pub giang: SignedIn,
    /// Admin.
    pub dung: SignedIn,
    /// Auditor.
    pub khoa: SignedIn,
}

impl People {
    /// Adds them all.
    pub async fn new(app: &App) -> Self {
        let mut units = Vec::new();
        for (name, level) in [
            ("Phường Trường Vinh", Level::Ward),
            ("Phường Vinh Phú", Level::Ward),
            ("Nghệ An", Level::Province),
        ] {
            let new = NewUnit {
                name: name.to_owned(),
                level,
                valid_from: date(2025, 7, 1),
                sample: true,
            };
            units.push((unit::add(app, None, new).await.expect("a unit"), name));
        }
        let [truong_vinh, vinh_phu, province] = units.try_into().expect("three units");
        Self {
            truong_vinh: truong_vinh.0,
            vinh_phu: vinh_phu.0,
            an: added(app, "An", "an", Role::Officer, truong_vinh).await,
            ha: added(app, "Hà", "ha", Role::Officer, truong_vinh).await,
            binh: added(app, "Bình", "binh", Role::Officer, vinh_phu).await,
            chi: added(app, "Chi", "chi", Role::Chief, truong_vinh).await,
            giang: added(app, "Giang", "giang", Role::Appraiser, province).await,
            dung: added(app, "Dũng", "dung", Role::Admin, province).await,
            khoa: added(app, "Khoa", "khoa", Role::Auditor, province).await,
        }
    }

    /// Trường Vinh goes into Vinh Phú; answers with the chief there.
    pub async fn merge(&self, app: &App) -> SignedIn {
        let mut tx = app.database.begin().await.expect("a transaction");
        sqlx::query(
            "insert into unit_link (from_unit_id, to_unit_id, link, on_date) values ($1, $2, 'merge', '2026-01-01')",
        )
        .bind(self.truong_vinh.to_string())
        .bind(self.vinh_phu.to_string())
        .execute(&mut *tx)
        .await
        .expect("a link");
        tx.commit().await.expect("committed");
        let unit = (self.vinh_phu, "Phường Vinh Phú");
        added(app, "Phúc", "phuc", Role::Chief, unit).await
    }
}

async fn added(
    app: &App,
    name: &str,
    sign_in: &str,
    role: Role,
    (unit, unit_name): (UnitId, &str),
) -> SignedIn {
    let new = NewPerson {
        name: name.to_owned(),
        sign_in: sign_in.to_owned(),
        role,
        unit,
        password: FirstPassword::None,
    };
    let added = person::add(app, None, new).await.expect("a person");
    SignedIn {
        person: added.person,
        unit,
        role,
        name: name.to_owned(),
        unit_name: unit_name.to_owned(),
    }
}

/// Signs somebody in without a password; the value of their `Cookie` header.
pub async fn cookie(app: &App, person: &SignedIn) -> String {
    let mut tx = app.database.begin().await.expect("a transaction");
    let token = session::open(&mut tx, crate::clock::now_ms(), person)
        .await
        .expect("a session");
    tx.commit().await.expect("committed");
    let set = token.set_cookie();
    let text = set.to_str().expect("text");
    text.split(';').next().expect("a pair").to_owned()
}

/// A phone of `person`, enrolled with a code from the command line, and its key.
pub async fn enrolled(app: &App, person: &SignedIn) -> (PhoneId, SigningKey) {
    let key = SigningKey::from_bytes(&rand::random());
    let issued = enrolment::issue(app, None, person.person)
        .await
        .expect("a code");
    let new = NewPhone::sign(&key, &issued.code, "1.0");
    let request = Request::post(PHONES)
        .body(Body::from(serde_json::to_vec(&new).expect("JSON")))
        .expect("a request");
    let reply = send(app, enrolment::router(), request).await;
    (reply.json::<Enrolled>().phone, key)
}

/// The value of `Authorization` that lets `phone` speak, got as a phone gets it.
pub async fn bearer(app: &App, phone: PhoneId, key: &SigningKey) -> String {
    let claims = Assertion::new(phone, crate::clock::now_ms() / 1000, rand::random());
    let assertion = token::signed(key, ASSERTION_TYP, &claims).expect("a token");
    let request = Request::post(TOKEN)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(format!(
            "grant_type={GRANT_TYPE}&assertion={assertion}"
        )))
        .expect("a request");
    let reply = send(app, token::router(), request).await;
    assert_eq!(reply.status, StatusCode::OK);
    format!("Bearer {}", reply.json::<AccessToken>().access_token)
}

/// A push of one change, the first that `phone` writes in this document, as if its seal had been checked. What its bytes say is nobody's
/// matter but a worker's.
pub fn one_change(phone: PhoneId, key: Key, bytes: Vec<u8>) -> PreparedPush {
    let hash = Sha256::of(&bytes);
    let actor = Actor {
        phone,
        opening: [1; 8],
    };
    let candidate = Candidate {
        hash,
        actor: hex::encode(actor.to_bytes()).into_bytes(),
        seq: 1,
        deps: vec![birth(&key).pop().expect("a birth").hash],
    };
    PreparedPush {
        carrier: Some(phone),
        unit: key.unit,
        documents: vec![PreparedDocument {
            key,
            changes: vec![PreparedChange {
                candidate,
                written_at_s: 1,
                bytes,
            }],
            seals: Vec::new(),
            sealed: BTreeSet::from([hash]),
        }],
        receipts: Vec::new(),
        refused: Vec::new(),
    }
}

/// Lets through what `unit` has, as if a worker had found nothing wrong with it.
pub async fn let_through(app: &App, unit: UnitId) {
    let mut tx = app.database.begin().await.expect("begins");
    for checked in [
        "update change set state = 'checked'",
        "update document set checked_heads = heads, unchecked_from = null",
    ] {
        let written = sqlx::query(checked).execute(&mut *tx).await;
        written.expect("checked");
    }
    feed::advance(&mut tx, unit).await.expect("advanced");
    tx.commit().await.expect("committed");
}

/// An audit row.
#[derive(Debug, PartialEq, Eq)]
pub struct Audited {
    /// Who.
    pub person: Option<String>,
    /// With which phone.
    pub phone: Option<String>,
    /// In which unit.
    pub unit: Option<String>,
    /// To what.
    pub subject: Option<String>,
    /// More.
    pub detail: Option<String>,
}

/// The audit rows of an action, in the order they were written.
pub async fn audited(app: &App, action: &str) -> Vec<Audited> {
    let rows = sqlx::query(
        "select person_id, phone_id, unit_id, subject, detail from audit \
         where action = $1 order by audit_id",
    )
    .bind(action)
    .fetch_all(&app.database.read)
    .await
    .expect("rows");
    let text = |row: &sqlx::any::AnyRow, column: &str| -> Option<String> {
        row.try_get(column).expect("text or null")
    };
    rows.iter()
        .map(|row| Audited {
            person: text(row, "person_id"),
            phone: text(row, "phone_id"),
            unit: text(row, "unit_id"),
            subject: text(row, "subject"),
            detail: text(row, "detail"),
        })
        .collect()
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).expect("JSON of this shape")
    }

    /// The stable word of the problem in the body.
    pub fn word(&self) -> String {
        self.json::<kieumau_core::problem::Problem>()
            .word()
            .to_owned()
    }
}

/// Sends `request` to `router` on `app`.
pub async fn send(app: &App, router: Router<App>, request: Request<Body>) -> Reply {
    let response = router
        .with_state(app.clone())
        .oneshot(request)
        .await
        .expect("routers do not fail");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 24).await.expect("a body");
    Reply {
        status: parts.status,
        headers: parts.headers,
        body: body.to_vec(),
    }
}

/// How many changes there are in the rows of which `condition` holds.
pub async fn changes(app: &App, condition: &str) -> i64 {
    let sql = format!(
        "select cast(coalesce(sum(change_count), 0) as text) as changes from change where {condition}"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_one(&app.database.read)
        .await
        .expect("a sum");
    parsed(&row, "changes").expect("a number")
}

/// How many rows `table` has.
pub async fn rows(app: &App, table: &str) -> i64 {
    let sql = format!("select cast(count(*) as text) as rows from {table}");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_one(&app.database.read)
        .await
        .expect("a count");
    parsed(&row, "rows").expect("a number")
}
