//! The command line. Each subcommand is a few lines over the module that does it; one that administers a noun is a file of its own
//! in this folder. What goes wrong is told as in [`failure`]: what happened, what is safe, what to do, Vietnamese first.

mod argument;
mod backed_up;
mod before;
mod checkpoint;
mod dossier;
mod epoch;
pub mod failure;
mod person;
mod phone;
mod quarantine;
mod rescue;
mod tls;
mod unit;

use crate::{
    app::{App, Config, OpenError},
    checker, demo,
    pages::language::Language,
    serve::{self, Bound},
    worker,
};
use backed_up::BackedUp;
use checkpoint::Checkpoint;
use clap::{Args, Parser, Subcommand};
use dossier::Export;
use epoch::Epoch;
use failure::{Failure, Outcome};
use kieumau_core::{hash::Sha256, jws};
use person::Person;
use phone::Phone;
use quarantine::Quarantine;
use rescue::Rescue;
use std::{
    ffi::OsString,
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    str::FromStr,
};
use tls::TlsKey;
use unit::Unit;

/// This program's.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Kiểu Mẫu's central server.
#[derive(Parser)]
#[command(
    name = "kieumau",
    version,
    after_help = "Where a server's data lies (--data, --database-url, --attachments-url) may be said before the command or after it."
)]
pub struct Command {
    /// `vi` or `en`; without it Vietnamese, or English where LANG says so.
    #[arg(long, global = true)]
    language: Option<Language>,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Serves phones and pages until Ctrl-C.
    Serve(Listen),
    /// Serves an invented ward, for trying things out. Random passwords, printed once.
    Demo(Demo),
    /// Begins a server where there is none, and brings the database of one to this version. Says which of the two it did.
    Migrate(Data),
    /// Units (đơn vị).
    #[command(subcommand)]
    Unit(Unit),
    /// People of the force (cán bộ).
    #[command(subcommand)]
    Person(Person),
    /// Checkpoints of a unit (điểm chốt).
    #[command(subcommand)]
    Checkpoint(Checkpoint),
    /// Phones.
    #[command(subcommand)]
    Phone(Phone),
    /// Writes a dossier that anyone can verify without this server.
    #[command(subcommand)]
    Export(Export),
    /// Verifies a dossier, without a server and without a network.
    Verify {
        /// The dossier.
        file: PathBuf,
        /// Whose log it must be: the fingerprint that `doctor` prints on that server, in letters of either size, with or without spaces.
        #[arg(long, value_parser = fingerprint)]
        server_key: Option<Sha256>,
    },
    /// Rebuilds every projected row from the documents.
    Reproject(Data),
    /// Looks again at every change that the worker withheld, after an upgrade or a bad day of the machine.
    Recheck(Data),
    /// Says what backups hold, so that phones may let go of copies of files below it. For the backup's own script: ask before it
    /// runs, tell after it succeeded.
    BackedUp(BackedUp),
    /// Epochs of the log.
    #[command(subcommand)]
    Epoch(Epoch),
    /// Rescue files (tệp cứu hộ): what a phone could not send itself.
    #[command(subcommand)]
    Rescue(Rescue),
    /// What was refused or withheld (bản ghi bị giữ lại): metadata and reasons, never content.
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// The server's TLS key, which phones hold it to.
    #[command(subcommand)]
    Tls(TlsKey),
    /// Says what the server stands on: version, database, its SQLite.
    Doctor(Data),
    /// Reads what changes say, for the server that started it.
    #[command(hide = true)]
    Worker,
}

#[derive(Args)]
struct Data {
    /// Where SQLite, the master key and attachments lie.
    #[arg(long, default_value = "./data")]
    data: PathBuf,
    /// PostgreSQL instead of SQLite.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// A bucket for attachments, `s3://BUCKET/PREFIX`, instead of a folder; how it is reached stands in AWS_… variables.
    #[arg(long, env = "KIEUMAU_ATTACHMENTS")]
    attachments_url: Option<String>,
}

#[derive(Args)]
struct Listen {
    #[command(flatten)]
    data: Data,
    /// Where to listen; port 0 takes a free one. Beyond loopback with TLS.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A proxy in front speaks TLS: this server listens without. Needs --public-url, and --pin for the proxy's key.
    #[arg(long)]
    behind_proxy: bool,
    /// How phones and people reach this server, when it is not the address listened on: `https://HOST:PORT`.
    #[arg(long)]
    public_url: Option<String>,
    /// TLS on loopback too.
    #[arg(long)]
    tls: bool,
    /// A certificate chain of your own, PEM; without it one is made in the data folder.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// One more TLS key that phones shall trust: the proxy's, or the one that will follow. `kieumau tls pin FILE` prints it.
    #[arg(long)]
    pin: Vec<Sha256>,
}

#[derive(Args)]
struct Demo {
    #[command(flatten)]
    listen: Listen,
    /// Print one JSON line (`url`, `people`, `units`) instead of a table.
    #[arg(long)]
    json: bool,
    /// How many nights of patrols the sample holds.
    #[arg(long, default_value_t = 365)]
    nights: u16,
}

impl Data {
    /// Opens the server that is here.
    async fn reopen(self) -> Result<App, Failure> {
        Ok(App::reopen(self.config(String::new())).await?)
    }

    fn config(self, public_url: String) -> Config {
        Config {
            data: self.data,
            database_url: self.database_url,
            attachments_url: self.attachments_url,
            public_url,
            pins: Vec::new(),
        }
    }
}

/// Does what `arguments` ask; what goes wrong is printed.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or(set("LC_MESSAGES")).or(set("LANG"));
    let language = Language::of_terminal(&arguments, locale.as_deref());
    let command = match Command::try_parse_from(before::put_behind(arguments)) {
        Ok(command) => command,
        // Help and the version are no errors.
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            eprintln!("{}", argument::told(&error, language));
            return ExitCode::from(2);
        }
    };
    match command.run(language) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", failure.told(language));
            ExitCode::FAILURE
        }
    }
}

impl Command {
    fn run(self, language: Language) -> Outcome {
        // A worker reads hostile bytes: it starts no runtime and opens no database.
        if matches!(self.what, What::Worker) {
            return Ok(worker::run(
                std::io::stdin().lock(),
                std::io::stdout().lock(),
            )?);
        }
        let filter = tracing_subscriber::EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn"));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
        tokio::runtime::Runtime::new()?.block_on(self.run_async(language))
    }

    async fn run_async(self, language: Language) -> Outcome {
        match self.what {
            What::Worker => Ok(()),
            What::Serve(listen) => {
                let (app, bound) = listen.open().await?;
                serve::announce(&app).await?;
                say(&format!("Kiểu Mẫu: {}", bound.url))?;
                Ok(serve::serve(app, bound).await?)
            }
            What::Demo(demo) => {
                let (app, bound) = demo.listen.open().await?;
                let ward = demo::set_up(&app, demo.nights).await?;
                // Whoever reads the line may ask for a phone's code.
                serve::announce(&app).await?;
                say(&if demo.json {
                    ward.to_json().map_err(io::Error::from)?
                } else {
                    ward.to_table()
                })?;
                Ok(serve::serve(app, bound).await?)
            }
            What::Tls(key) => key.run(language).await,
            What::Migrate(data) => migrate(data, language).await,
            What::Reproject(data) => {
                let app = data.reopen().await?;
                let documents = checker::reproject(&app).await?;
                say(&format!("{documents} tài liệu · documents"))
            }
            What::Recheck(data) => {
                let app = data.reopen().await?;
                let changes = checker::recheck(&app).await?;
                say(&format!("{changes} thay đổi · changes"))
            }
            What::Doctor(data) => {
                let app = data.reopen().await?;
                let database = app.database.describe().await?;
                say(&format!("kieumau {VERSION} on {database}"))?;
                say(&format!("attachments: {}", app.objects))?;
                say(&format!(
                    "log key: {}",
                    jws::fingerprint(&app.keys.log.verifying_key())
                ))
            }
            What::BackedUp(backed_up) => backed_up.run().await,
            What::Export(export) => export.run().await,
            What::Verify { file, server_key } => dossier::verify(&file, server_key),
            What::Rescue(rescue) => rescue.run().await,
            What::Quarantine(quarantine) => quarantine.run(language).await,
            What::Epoch(epoch) => epoch.run(language).await,
            What::Unit(unit) => unit.run(language).await,
            What::Person(person) => person.run(language).await,
            What::Checkpoint(checkpoint) => checkpoint.run(language).await,
            What::Phone(phone) => phone.run(language).await,
        }
    }
}

impl Listen {
    /// Listens, and opens what it serves.
    async fn open(self) -> Result<(App, Bound), Failure> {
        let listen = serve::Listen {
            address: self.listen,
            public_url: self.public_url,
            behind_proxy: self.behind_proxy,
            tls: self.tls,
            files: self.tls_cert.zip(self.tls_key),
            pins: self.pin,
            alone: self.data.database_url.is_none(),
        };
        let bound = listen.bind(&self.data.data).await;
        let bound = bound.map_err(|error| not_listening(self.listen, error))?;
        let config = Config {
            pins: bound.pins.clone(),
            ..self.data.config(bound.url.clone())
        };
        Ok((App::open(config).await?, bound))
    }
}

async fn migrate(data: Data, language: Language) -> Outcome {
    let config = data.config(String::new());
    let was_there = App::is_begun(&config).await?;
    let app = App::open(config).await?;
    let database = app.database.describe().await?;
    say(&match (language, was_there) {
        (Language::Vietnamese, false) => {
            format!("Đã lập một máy chủ mới, kieumau {VERSION}: {database}")
        }
        (Language::English, false) => {
            format!("A new server was begun, kieumau {VERSION}: {database}")
        }
        (Language::Vietnamese, true) => {
            format!("Máy chủ đã có sẵn, nay ở phiên bản kieumau {VERSION}: {database}")
        }
        (Language::English, true) => {
            format!("The server was already there, now of kieumau {VERSION}: {database}")
        }
    })?;
    if !was_there {
        let key = app.config.data.join("master.key");
        let key = key.display();
        remark(&match language {
            Language::Vietnamese => format!(
                "Hãy sao lưu {key} riêng, tách khỏi dữ liệu: mất khóa này là không đọc lại được gì."
            ),
            Language::English => {
                format!("Back {key} up apart from the data: without this key nothing can be read.")
            }
        });
    }
    Ok(())
}

fn not_listening(address: SocketAddr, error: OpenError) -> Failure {
    let cause = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let (happened, todo) = match cause {
        Some(io::ErrorKind::AddrInUse) => (
            (
                format!(
                    "Đã có chương trình khác nghe ở {address}; có thể là một kieumau đang chạy."
                ),
                format!("Something listens on {address} already; it may be another kieumau."),
            ),
            (
                "Dừng chương trình đó, hoặc chọn cổng khác: --listen 127.0.0.1:8081.",
                "End it, or choose another port: --listen 127.0.0.1:8081.",
            ),
        ),
        Some(io::ErrorKind::AddrNotAvailable) => (
            (
                format!("Máy này không có địa chỉ {}.", address.ip()),
                format!("This machine has no address {}.", address.ip()),
            ),
            (
                "Chọn một địa chỉ của máy này, ví dụ --listen 127.0.0.1:8080.",
                "Choose an address of this machine, such as --listen 127.0.0.1:8080.",
            ),
        ),
        Some(io::ErrorKind::PermissionDenied) => (
            (
                format!("Tài khoản này không được nghe ở cổng {}.", address.port()),
                format!("This account may not listen on port {}.", address.port()),
            ),
            (
                "Chọn cổng từ 1024 trở lên: --listen 127.0.0.1:8080.",
                "Choose a port of 1024 or above: --listen 127.0.0.1:8080.",
            ),
        ),
        _ => return error.into(),
    };
    Failure::new(happened, todo)
}

/// What was asked for, for people and for other programs.
fn say(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // Who reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        said => Ok(said?),
    }
}

/// A fingerprint as people pass it on: in letters of either size, in groups.
fn fingerprint(typed: &str) -> Result<Sha256, <Sha256 as FromStr>::Err> {
    let plain: String = typed
        .chars()
        .filter(|character| !character.is_whitespace() && *character != ':')
        .collect();
    plain.to_ascii_lowercase().parse()
}

/// A word to people beside an answer that is empty: programs that read the answer do not take it for one.
fn remark(text: &str) {
    eprintln!("{text}");
}
