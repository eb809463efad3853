//! The server itself: where it listens, what it routes, how it ends.
//!
//! Nothing personal crosses a wire in the clear: beyond loopback the server speaks TLS, or a proxy in front of it does.

use crate::{
    alone::Alone,
    app::{self, App, OpenError},
    attachment, clock,
    command::failure::Failure,
    enrolment,
    gate::Gate,
    live::Live,
    pages,
    problem::{Answer, Problem},
    rescue, stored, sync,
    tls::{Source, Tls, listener::Secured},
    token, version,
};
use axum::{Router, extract::State, http::Uri, middleware, routing};
use kieumau_core::{hash::Sha256, pin::PINS};
use sqlx::Row as _;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

/// Where to listen and how, as the command line says it.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Where; port 0 takes a free one.
    pub address: SocketAddr,
    /// How phones and people reach it, when it is not the address listened on.
    pub public_url: Option<String>,
    /// A proxy in front speaks TLS.
    pub behind_proxy: bool,
    /// TLS on loopback too.
    pub tls: bool,
    /// The operator's certificate and its key.
    pub files: Option<(PathBuf, PathBuf)>,
    /// Keys that phones are to trust besides the one spoken with: the proxy's, the next one.
    pub pins: Vec<Sha256>,
    /// No other server may serve the folder meanwhile: it holds an SQLite.
    pub alone: bool,
}

/// A server that listens.
pub struct Bound {
    listener: TcpListener,
    tls: Option<Tls>,
    // Nobody else serves the folder meanwhile; none where several may, on PostgreSQL.
    _alone: Option<Alone>,
    /// How it is reached.
    pub url: String,
    /// The keys that phones are to trust.
    pub pins: Vec<Sha256>,
}

impl Listen {
    /// Listens, with TLS unless it is on loopback or a proxy has it.
    ///
    /// # Errors
    /// What the system says; a sentence for a way that could be listened to, or that phones could not follow, and for a folder that
    /// another server serves.
    pub async fn bind(self, data: &Path) -> Result<Bound, OpenError> {
        let tls = self.speaks_tls()?;
        let listener = TcpListener::bind(self.address).await?;
        let address = listener.local_addr()?;
        // Before a key is made in the folder, and before the demo gives its people new passwords.
        let alone = if self.alone {
            Some(Alone::take(data).await?)
        } else {
            None
        };
        let scheme = if tls { "https" } else { "http" };
        let url = self
            .public_url
            .unwrap_or_else(|| format!("{scheme}://{address}"));
        let url = url.trim_end_matches('/').to_owned();
        let tls = if tls {
            let source = match self.files {
                Some((certificate, key)) => Source::Files { certificate, key },
                None => {
                    app::make_folder(data)?;
                    Source::Made {
                        data: data.to_owned(),
                        names: vec![host(&url)?],
                    }
                }
            };
            Some(Tls::open(source, clock::today())?)
        } else {
            None
        };
        let mut pins = tls.as_ref().map(|tls| tls.pins.clone()).unwrap_or_default();
        pins.extend(self.pins);
        check_reach(&url, &pins)?;
        Ok(Bound {
            listener,
            tls,
            _alone: alone,
            url,
            pins,
        })
    }

    /// Whether this server speaks TLS itself.
    fn speaks_tls(&self) -> Result<bool, OpenError> {
        let asked = self.tls || self.files.is_some();
        if self.behind_proxy && asked {
            return Err(two_that_speak_tls().into());
        }
        if self.public_url.is_none() && (self.behind_proxy || self.address.ip().is_unspecified()) {
            return Err(no_public_url().into());
        }
        Ok(asked || !(self.behind_proxy || self.address.ip().is_loopback()))
    }
}

/// Refuses what no phone would follow: HTTP beyond this machine, and TLS with nothing to hold the server to.
fn check_reach(url: &str, pins: &[Sha256]) -> Result<(), OpenError> {
    let host = host(url)?;
    let loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if url.starts_with("http://") && !loopback {
        return Err(in_the_clear(url).into());
    }
    if url.starts_with("https://") && pins.is_empty() {
        return Err(no_pin().into());
    }
    if pins.len() > PINS {
        return Err(too_many_pins().into());
    }
    Ok(())
}

/// The host in a URL, an address without its brackets.
fn host(url: &str) -> Result<String, OpenError> {
    let uri: Option<Uri> = url.parse().ok();
    let web = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let host = web.as_ref().and_then(Uri::host);
    let host = host.ok_or_else(|| not_a_url(url))?;
    Ok(host.trim_matches(['[', ']']).to_owned())
}

fn no_public_url() -> Failure {
    Failure::new(
        (
            "Sau một proxy, hoặc nghe ở mọi địa chỉ, máy chủ không tự biết điện thoại liên lạc với nó ở đâu.",
            "Behind a proxy, or on every address, the server cannot know where phones reach it.",
        ),
        (
            "Thêm --public-url https://TÊN_MÁY:CỔNG: địa chỉ này nằm trong mã cấp cho thiết bị.",
            "Add --public-url https://HOST:PORT: this address goes into the codes for phones.",
        ),
    )
}

fn two_that_speak_tls() -> Failure {
    Failure::new(
        (
            "TLS hoặc do máy chủ này, hoặc do proxy phía trước, không cả hai.",
            "TLS is spoken by this server or by the proxy in front, not by both.",
        ),
        (
            "Bỏ --behind-proxy, hoặc bỏ các tùy chọn --tls.",
            "Leave out --behind-proxy, or the options --tls.",
        ),
    )
}

fn in_the_clear(url: &str) -> Failure {
    Failure::new(
        (
            format!(
                "Điện thoại không liên lạc với {url}: ngoài máy này, không dữ liệu nào đi qua mạng mà không mã hóa."
            ),
            format!(
                "No phone talks to {url}: beyond this machine nothing crosses a network in the clear."
            ),
        ),
        (
            "Dùng --public-url https://TÊN_MÁY:CỔNG.",
            "Use --public-url https://HOST:PORT.",
        ),
    )
}

fn no_pin() -> Failure {
    Failure::new(
        (
            "Điện thoại chỉ tin máy chủ theo khóa TLS, mà khóa của proxy chưa được nêu.",
            "Phones hold the server to its TLS key, and the proxy's was not given.",
        ),
        (
            "Thêm --pin với dấu khóa mà `kieumau tls pin CHỨNG_CHỈ.pem` in ra.",
            "Add --pin with what `kieumau tls pin CERTIFICATE.pem` prints.",
        ),
    )
}

fn too_many_pins() -> Failure {
    Failure::new(
        (
            format!("Điện thoại nhớ nhiều nhất {PINS} khóa TLS."),
            format!("Phones remember {PINS} TLS keys at most."),
        ),
        ("Bớt --pin.", "Give fewer --pin."),
    )
}

fn not_a_url(url: &str) -> Failure {
    Failure::new(
        (
            format!("“{url}” không phải địa chỉ của một máy chủ."),
            format!("“{url}” is not the address of a server."),
        ),
        (
            "Viết theo dạng https://TÊN_MÁY:CỔNG.",
            "Write it as https://HOST:PORT.",
        ),
    )
}

/// Everything the server answers.
pub fn router(app: App) -> Router {
    Router::new()
        .merge(sync::router())
        .merge(enrolment::router())
        .merge(token::router())
        .merge(attachment::router())
        .merge(rescue::router())
        .route("/healthz", routing::get(async || "ok"))
        .route("/readyz", routing::get(ready))
        .merge(version::router())
        .merge(pages::router())
        .layer(CatchPanicLayer::custom(Problem::of_panic))
        .layer(middleware::from_fn(version::understand))
        .with_state(app)
}

/// Serves until Ctrl-C or SIGTERM; what is under way is finished. Whoever starts it [announces](announce) first where it is.
///
/// # Errors
/// What the system or the database says.
pub async fn serve(app: App, bound: Bound) -> Result<(), OpenError> {
    app.start();
    let (live, database) = (app.live.clone(), app.database.clone());
    let router = router(app);
    let gate = Gate::open(bound.listener)?;
    match bound.tls {
        Some(tls) => {
            let listener = Secured::new(gate, &tls)?;
            tokio::spawn(renew(tls));
            axum::serve(listener, router)
                .with_graceful_shutdown(ended(live))
                .await?;
        }
        None => {
            axum::serve(gate, router)
                .with_graceful_shutdown(ended(live))
                .await?;
        }
    }
    database.settle().await;
    Ok(())
}

/// How often the certificate is looked at.
const RENEW: Duration = Duration::from_secs(3_600);

/// Keeps the certificate fresh.
async fn renew(tls: Tls) {
    let mut tick = tokio::time::interval(RENEW);
    loop {
        tick.tick().await;
        if let Err(error) = tls.renew(clock::today()) {
            tracing::error!(cause = %error, "the certificate could not be renewed; it is tried again in an hour");
        }
    }
}

/// Writes down how this server is reached, for commands that make invitations.
pub(crate) async fn announce(app: &App) -> Result<(), sqlx::Error> {
    let before = announced(app).await?;
    let pins = &app.config.pins;
    if let (Some(before), Some(present)) = (&before, pins.first())
        && !before.pins.is_empty()
        && !before.pins.contains(present)
    {
        tracing::warn!(
            "this server speaks with a TLS key that phones were never told of: they refuse it until its code is scanned again"
        );
    }
    let number = number_of(before.as_ref(), pins, clock::now_ms());
    let pins: Vec<String> = pins.iter().map(Sha256::to_string).collect();
    let mut tx = app.database.begin().await?;
    for (name, value) in [
        ("public-url", app.config.public_url.clone()),
        ("tls-pins", pins.join(" ")),
        ("tls-pins-number", number.to_string()),
    ] {
        sqlx::query(
            "insert into setting (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value",
        )
        .bind(name)
        .bind(value)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await
}

/// The number that phones hear with these pins: greater than before if they are others. Not the next one but the time, so that a server
/// that was put back from its backup does not count what it counted already.
fn number_of(before: Option<&Reach>, pins: &[Sha256], now_ms: i64) -> i64 {
    let set = |pins: &[Sha256]| pins.iter().copied().collect::<BTreeSet<_>>();
    match before {
        Some(before) if before.number > 0 && set(&before.pins) == set(pins) => before.number,
        Some(before) => now_ms.max(before.number + 1),
        None => now_ms,
    }
}

/// How a server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Its public URL.
    pub url: String,
    /// The keys that phones are to trust, the present one first.
    pub pins: Vec<Sha256>,
    /// Their number, see [`kieumau_core::pin::Announced`].
    pub number: i64,
}

impl Reach {
    /// Since when phones hear of this key, Unix milliseconds: since these pins were announced, which may be later than this one was.
    /// None while it is not announced.
    pub fn announces_since(&self, pin: &Sha256) -> Option<i64> {
        self.pins.contains(pin).then_some(self.number)
    }
}

/// How the server of this database was last reached.
///
/// # Errors
/// What the database says.
pub async fn announced(app: &App) -> Result<Option<Reach>, sqlx::Error> {
    let rows = sqlx::query(
        "select name, value from setting where name in ('public-url', 'tls-pins', 'tls-pins-number')",
    )
    .fetch_all(&app.database.read)
    .await?;
    let value = |name: &str| {
        let row = rows.iter().find(|row| row.get::<&str, _>(0) == name);
        row.map(|row| row.get::<String, _>(1))
    };
    let pins = value("tls-pins").unwrap_or_default();
    Ok(value("public-url").map(|url| Reach {
        url,
        pins: stored::parse_hashes(&pins),
        number: value("tls-pins-number")
            .and_then(|number| number.parse().ok())
            .unwrap_or(0),
    }))
}

/// Waits for the word to end, and ends what would never end by itself.
async fn ended(live: Live) {
    told_to_end().await;
    live.end();
}

async fn told_to_end() {
    let ctrl_c = tokio::signal::ctrl_c();
    let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    else {
        // Without the one signal there is still the other.
        let _ = ctrl_c.await;
        return;
    };
    tokio::select! {
        _ = ctrl_c => {}
        _ = term.recv() => {}
    }
}

/// With less room than this the server is not ready: four of the largest pushes.
const ROOM_BYTES: u64 = 32 << 20;

/// Ready when the database answers and there is room for what phones bring.
async fn ready(State(app): State<App>) -> Answer<&'static str> {
    sqlx::query("select 1")
        .fetch_one(&app.database.read)
        .await
        .map_err(|_| Problem::busy(2))?;
    let disk = rustix::fs::statvfs(&app.config.data)
        .map_err(|error| Problem::internal(std::io::Error::from(error)))?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM_BYTES {
        return Err(Problem::storage_full());
    }
    Ok("ready")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(address: &str) -> Listen {
        Listen {
            address: address.parse().expect("an address"),
            public_url: None,
            behind_proxy: false,
            tls: false,
            files: None,
            pins: Vec::new(),
            alone: true,
        }
    }

    #[test]
    fn beyond_loopback_it_speaks_tls_unless_a_proxy_does() {
        assert!(!listen("127.0.0.1:0").speaks_tls().expect("allowed"));
        assert!(listen("10.0.0.5:0").speaks_tls().expect("allowed"));
        let url = Some("https://kieumau.example".to_owned());
        let everywhere = Listen {
            public_url: url.clone(),
            ..listen("0.0.0.0:0")
        };
        assert!(everywhere.speaks_tls().expect("allowed"));
        let proxied = Listen {
            behind_proxy: true,
            ..everywhere
        };
        assert!(!proxied.speaks_tls().expect("allowed"));
        let asked = Listen {
            tls: true,
            ..listen("127.0.0.1:0")
        };
        assert!(asked.speaks_tls().expect("allowed"));
    }

    #[test]
    fn it_asks_how_it_is_reached_where_it_cannot_know() {
        assert!(listen("0.0.0.0:0").speaks_tls().is_err());
        let proxied = Listen {
            behind_proxy: true,
            ..listen("127.0.0.1:0")
        };
        assert!(proxied.speaks_tls().is_err());
        let both = Listen {
            tls: true,
            public_url: Some("https://kieumau.example".to_owned()),
            ..proxied
        };
        assert!(both.speaks_tls().is_err());
    }

    #[test]
    fn a_url_that_no_phone_would_follow_is_refused_at_the_start() {
        let pin = [Sha256::of(b"a key")];
        for url in ["http://127.0.0.1:8080", "http://[::1]:8080"] {
            check_reach(url, &[]).expect("loopback");
        }
        check_reach("https://kieumau.example", &pin).expect("pinned");
        for url in ["https://kieumau.example", "https://127.0.0.1:8443"] {
            assert!(check_reach(url, &[]).is_err(), "{url}");
        }
        for url in ["http://10.0.0.5:8080", "kieumau.example", "ftp://127.0.0.1"] {
            assert!(check_reach(url, &pin).is_err(), "{url}");
        }
        assert!(check_reach("https://kieumau.example", &[pin[0]; 5]).is_err());
    }

    #[tokio::test]
    async fn a_folder_with_sqlite_is_bound_once_and_one_beside_postgresql_as_often_as_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        for (alone, refused) in [(true, true), (false, false)] {
            let bind = async || {
                let listen = Listen {
                    alone,
                    ..listen("127.0.0.1:0")
                };
                listen.bind(folder.path()).await
            };
            let first = bind().await.expect("the first");
            assert_eq!(bind().await.is_err(), refused);
            drop(first);
        }
    }

    #[test]
    fn the_number_of_the_pins_grows_with_them_and_only_with_them() {
        let [one, other] = [b"one", b"two"].map(|key| Sha256::of(key));
        let before = |number| Reach {
            pins: vec![one, other],
            number,
            ..Reach::default()
        };
        assert_eq!(number_of(None, &[one], 7), 7);
        // The same keys, in whatever order, are no news; a server that did not count begins to.
        assert_eq!(number_of(Some(&before(7)), &[other, one], 9), 7);
        assert_eq!(number_of(Some(&before(0)), &[other, one], 9), 9);
        // Others are, also to a clock that was put back.
        assert_eq!(number_of(Some(&before(7)), &[other], 9), 9);
        assert_eq!(number_of(Some(&before(7)), &[other], 3), 8);
    }

    #[test]
    fn a_key_is_announced_since_the_pins_are_that_it_is_among() {
        let [one, other] = [b"one", b"two"].map(|key| Sha256::of(key));
        let reach = Reach {
            pins: vec![one],
            number: 7,
            ..Reach::default()
        };
        assert_eq!(reach.announces_since(&one), Some(7));
        assert_eq!(reach.announces_since(&other), None);
    }

    #[tokio::test]
    async fn what_was_announced_is_read_by_commands() {
        for app in crate::fixture::apps().await {
            assert_eq!(announced(&app).await.expect("read"), None);
            announce(&app).await.expect("written");
            let reach = announced(&app).await.expect("read").expect("announced");
            assert_eq!(reach.url, app.config.public_url);
            assert_eq!(reach.pins, app.config.pins);
            // Started again it says the same.
            announce(&app).await.expect("written");
            assert!(reach.number > 0);
        }
    }
}
