//! `make demo`: a ward in one command. Two phones as processes, each with an encrypted store of its own, live through a night
//! without signal; each step says what was seen that proves it. Then the server stays up for a person to look around.
//!
//! `ONCE=1` ends after the story, without pauses. `LISTEN` is the address, `DATA` the folder, `TRACK` and `PHOTO` a track and
//! a picture of one's own. Nothing is ever deleted: each run takes a fresh folder for its phones.

mod brought;
mod decisions;
mod dossier;
mod limits;
mod morning;
mod night;
mod stage;
mod story;

use brought::Brought;
use kieumau_tests::server::{Launch, Server};
use stage::{Failed, Stage, Teller, must, say};
use std::{
    fs::{File, TryLockError},
    io::ErrorKind,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::LocalSet,
};

/// Nights of sample patrols that a new demo ward gets.
const NIGHTS: u16 = 365;

/// What the environment says.
struct Settings {
    listen: String,
    data: PathBuf,
    track: Option<PathBuf>,
    photo: Option<PathBuf>,
    once: bool,
}

impl Settings {
    fn from_environment() -> Self {
        // `make` passes a variable that is not set as an empty one.
        let said = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            listen: said("LISTEN").unwrap_or_else(|| "127.0.0.1:8080".to_owned()),
            data: PathBuf::from(said("DATA").unwrap_or_else(|| "data/demo".to_owned())),
            track: said("TRACK").map(PathBuf::from),
            photo: said("PHOTO").map(PathBuf::from),
            once: said("ONCE").is_some_and(|once| once != "0"),
        }
    }
}

fn main() -> ExitCode {
    let settings = Settings::from_environment();
    let teller = Arc::new(Teller::new(!settings.once));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        // A task of its own, so that a panic under a step is one more way for the step to fail.
        let demo = tokio::task::spawn_local(demo(settings, Arc::clone(&teller)));
        let outcome = tokio::select! {
            outcome = demo => outcome.unwrap_or_else(|_| Err(Failed::new("see above · xem ở trên"))),
            () = told_to_end() => return if teller.is_told() { ExitCode::SUCCESS } else { ExitCode::from(130) },
        };
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(failed) => {
                say(&format!("demo: FAILED at {}: {failed}", teller.step()));
                ExitCode::FAILURE
            }
        }
    })
}

async fn demo(settings: Settings, teller: Arc<Teller>) -> Result<(), Failed> {
    teller.begin("Lộ trình và ảnh", "the track and the picture");
    let brought = Brought::new(settings.track.as_deref(), settings.photo.as_deref())?;
    teller.begin("Thư mục dữ liệu", "the data folder");
    let (_lock, run) = take_folder(&settings.data)?;
    teller.begin("Máy chủ", "the server");
    let server = start_server(&settings).await?;
    let stage = Stage::new(server, settings.data.clone(), run, Arc::clone(&teller));
    let page = story::tell(&stage, &brought).await?;
    let mut server = stage.server;
    if settings.once {
        say("demo: ok");
        return Ok(());
    }
    welcome(&server, &page);
    teller.end();
    teller.begin("Phục vụ", "serving");
    server.ended().await;
    Err(Failed::new("the server ended by itself"))
}

/// Takes the folder for this demo alone, and the number of this run: one above the last, so nothing older is touched.
fn take_folder(data: &Path) -> Result<(File, u32), Failed> {
    std::fs::create_dir_all(data.join("phone-an"))?;
    let lock = File::create(data.join("demo.lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let words = "a demo is running in this folder: end it, or name another with DATA=…";
            return Err(Failed::new(words));
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    let mut last = 0;
    for entry in std::fs::read_dir(data.join("phone-an"))? {
        let name = entry?.file_name();
        last = last.max(
            name.to_str()
                .and_then(|name| name.parse().ok())
                .unwrap_or(0),
        );
    }
    Ok((lock, last + 1))
}

/// Starts the server where it was asked for, or on a free port if that one is taken. Loopback only: its passwords are on a
/// screen.
async fn start_server(settings: &Settings) -> Result<Server, Failed> {
    let asked_for = &settings.listen;
    let address: SocketAddr = asked_for.parse().map_err(|_| {
        Failed::new(format!(
            "LISTEN={asked_for}: say an address and a port, 127.0.0.1:8080"
        ))
    })?;
    must(address.ip().is_loopback(), || {
        format!("LISTEN={asked_for}: the demo listens on loopback only, 127.0.0.1")
    })?;
    let listen = match TcpListener::bind(address).await {
        Ok(_) => asked_for,
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            say(&format!(
                "{asked_for} đã có chương trình khác dùng, lấy cổng khác · is taken, another port is used"
            ));
            "127.0.0.1:0"
        }
        Err(error) => return Err(Failed::new(format!("LISTEN={asked_for}: {error}"))),
    };
    let asked = std::env::var_os("RUST_LOG").is_some();
    Ok(Server::launch(Launch {
        data: &settings.data,
        database_url: None,
        nights: NIGHTS,
        listen,
        more: Vec::new(),
        log: (!asked).then_some("warn"),
    })
    .await)
}

fn welcome(server: &Server, page: &str) {
    let url = &server.ward.url;
    say(&format!(
        "\nMở {url} · open it; ca vừa kể · the patrol of the story: {url}{page}. Ctrl-C để dừng · to end."
    ));
    say(
        "Mật khẩu chỉ in một lần này, lần chạy sau sẽ khác · passwords are printed this once, the next run has others:",
    );
    for person in &server.ward.people {
        let (name, role, sign_in, password) = (
            &person.name,
            &person.role,
            &person.sign_in,
            &person.password,
        );
        say(&format!("  {name:<6} {role:<10} {sign_in:<8} {password}"));
    }
}

async fn told_to_end() {
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be heard");
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be heard");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
