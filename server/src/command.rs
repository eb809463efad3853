//! The command line. Each subcommand is a few lines over the module that does it.

use crate::{
    app::{App, Config, OpenError},
    checker, clock, demo, enrolment,
    person::{self, FirstPassword, NewPerson},
    phone, reference, rescue,
    serve::{self, Bound},
    tls,
    unit::{self, Level, NewUnit},
    worker,
};
use clap::{Args, Parser, Subcommand};
use kieumau_core::{
    dossier::Selection,
    hash::Sha256,
    id::{DocumentId, PhoneId, UnitId},
    jws,
    period::Period,
    person::Role,
};
use std::{collections::BTreeMap, io::Write as _, net::SocketAddr, path::PathBuf};

/// Kiểu Mẫu's central server.
#[derive(Parser)]
#[command(name = "kieumau", version)]
pub struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Serves phones and pages until Ctrl-C.
    Serve(Listen),
    /// Serves an invented ward, for trying things out. Random passwords, printed once.
    Demo(Demo),
    /// Opens the database, which migrates it.
    Migrate(Data),
    /// Units (đơn vị).
    #[command(subcommand)]
    Unit(Unit),
    /// People of the force (cán bộ).
    #[command(subcommand)]
    Person(Person),
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
        /// Whose log it must be: the fingerprint that `doctor` prints on that server.
        #[arg(long)]
        server_key: Option<Sha256>,
    },
    /// Rebuilds every projected row from the documents.
    Reproject(Data),
    /// Looks again at every change that the worker withheld, after an upgrade or a bad day of the machine.
    Recheck(Data),
    /// Rescue files (tệp cứu hộ): what a phone could not send itself.
    #[command(subcommand)]
    Rescue(Rescue),
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

#[derive(Subcommand)]
enum Export {
    /// One patrol.
    Patrol {
        /// Its document's id, as in the page's address.
        id: DocumentId,
        #[command(flatten)]
        to: ExportTo,
    },
    /// One evidence file.
    Evidence {
        /// Its document's id, as in the page's address.
        id: DocumentId,
        #[command(flatten)]
        to: ExportTo,
    },
    /// All of a unit in a period.
    Unit {
        /// The unit's id.
        id: UnitId,
        /// `2025-11-16..2026-11-15`.
        #[arg(long)]
        period: Period,
        #[command(flatten)]
        to: ExportTo,
    },
}

#[derive(Args)]
struct ExportTo {
    #[command(flatten)]
    data: Data,
    /// The file to write.
    #[arg(short, long)]
    output: PathBuf,
}

#[derive(Subcommand)]
enum Unit {
    /// Adds a ward, or the province.
    Add {
        #[command(flatten)]
        data: Data,
        /// Its name.
        #[arg(long)]
        name: String,
        /// `ward` or `province`.
        #[arg(long, default_value = "ward")]
        level: Level,
        /// First day it is, `2025-07-01`.
        #[arg(long)]
        from: jiff::civil::Date,
    },
    /// Lists the units.
    List(Data),
}

#[derive(Subcommand)]
enum Person {
    /// Adds a person. The password is made here and printed once.
    Add {
        #[command(flatten)]
        data: Data,
        /// How they are called.
        #[arg(long)]
        name: String,
        /// What they sign in with.
        #[arg(long)]
        sign_in: String,
        /// `officer`, `chief`, `appraiser`, `admin`, `auditor`.
        #[arg(long)]
        role: Role,
        /// The unit's id.
        #[arg(long)]
        unit: UnitId,
        /// Records on a phone and never signs in to pages.
        #[arg(long)]
        phone_only: bool,
    },
    /// Gives a person a new password, made here and printed once, and signs them out everywhere.
    Password {
        #[command(flatten)]
        data: Data,
        /// What they sign in with.
        #[arg(long)]
        sign_in: String,
    },
    /// Ends a person's access to pages and phones; what they wrote stays.
    Disable {
        #[command(flatten)]
        data: Data,
        /// What they sign in with.
        #[arg(long)]
        sign_in: String,
    },
}

#[derive(Subcommand)]
enum Phone {
    /// Lists the phones of a unit.
    List {
        #[command(flatten)]
        data: Data,
        /// The unit's id.
        #[arg(long)]
        unit: UnitId,
    },
    /// Issues a code that enrols one phone within ten minutes.
    Code {
        #[command(flatten)]
        data: Data,
        /// The person's sign-in name.
        #[arg(long)]
        person: String,
        /// Print JSON (`code`, `qr`, `url`, `expires_at_ms`).
        #[arg(long)]
        json: bool,
    },
    /// Revokes a phone: it is refused at its next request, what it sent stays.
    Revoke {
        #[command(flatten)]
        data: Data,
        /// The phone's id.
        #[arg(long)]
        phone: PhoneId,
    },
}

#[derive(Subcommand)]
enum TlsKey {
    /// Prints the pin of a certificate or a private key.
    Pin {
        /// A PEM file.
        file: PathBuf,
    },
    /// Makes the key that will follow, and prints its pin. Phones hear of it at each sync after the server was started again.
    Next(Data),
    /// Lets the key that was made by `next` take over at the server's next start. Phones that never heard of it must scan a code.
    Switch(Data),
}

#[derive(Subcommand)]
enum Rescue {
    /// Takes a rescue file. Twice is as good as once.
    Take {
        #[command(flatten)]
        data: Data,
        /// The file.
        file: PathBuf,
    },
}

impl Data {
    async fn open(self, public_url: String) -> Result<App, OpenError> {
        self.open_at(public_url, Vec::new()).await
    }

    async fn open_at(self, public_url: String, pins: Vec<Sha256>) -> Result<App, OpenError> {
        App::open(Config {
            data: self.data,
            database_url: self.database_url,
            attachments_url: self.attachments_url,
            public_url,
            pins,
        })
        .await
    }
}

impl Listen {
    /// Listens, and opens what it serves.
    async fn open(self) -> Result<(App, Bound), OpenError> {
        let listen = serve::Listen {
            address: self.listen,
            public_url: self.public_url,
            behind_proxy: self.behind_proxy,
            tls: self.tls,
            files: self.tls_cert.zip(self.tls_key),
            pins: self.pin,
        };
        let bound = listen.bind(&self.data.data).await?;
        let app = self
            .data
            .open_at(bound.url.clone(), bound.pins.clone())
            .await?;
        Ok((app, bound))
    }
}

impl TlsKey {
    fn run(self) -> Result<(), OpenError> {
        let pin = match self {
            Self::Pin { file } => tls::pin_in(&file)?,
            Self::Next(data) => tls::prepare_next(&data.data)?,
            Self::Switch(data) => tls::switch_to_next(&data.data)?,
        };
        say(&pin.to_string())
    }
}

impl Command {
    /// Does what was asked.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub fn run(self) -> Result<(), OpenError> {
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
        tokio::runtime::Runtime::new()?.block_on(self.run_async())
    }

    async fn run_async(self) -> Result<(), OpenError> {
        match self.what {
            What::Worker => Ok(()),
            What::Serve(listen) => {
                let (app, bound) = listen.open().await?;
                say(&format!("Kiểu Mẫu: {}", bound.url))?;
                serve::serve(app, bound).await
            }
            What::Demo(demo) => {
                let (app, bound) = demo.listen.open().await?;
                let ward = demo::set_up(&app, demo.nights).await?;
                say(&if demo.json {
                    ward.to_json()?
                } else {
                    ward.to_table()
                })?;
                serve::serve(app, bound).await
            }
            What::Tls(key) => key.run(),
            What::Migrate(data) => data.open(String::new()).await.map(|_| ()),
            What::Reproject(data) => {
                let app = data.open(String::new()).await?;
                say(&format!("{} documents", checker::reproject(&app).await?))
            }
            What::Recheck(data) => {
                let app = data.open(String::new()).await?;
                say(&format!("{} changes", checker::recheck(&app).await?))
            }
            What::Doctor(data) => {
                let app = data.open(String::new()).await?;
                say(&app.database.describe().await?)?;
                say(&format!("attachments: {}", app.objects))?;
                say(&format!(
                    "log key: {}",
                    jws::fingerprint(&app.keys.log.verifying_key())
                ))
            }
            What::Export(export) => export.run().await,
            What::Verify { file, server_key } => say(&crate::export::verify(&file, server_key)?),
            What::Rescue(Rescue::Take { data, file }) => take_rescue(data, file).await,
            What::Unit(unit) => unit.run().await,
            What::Person(person) => person.run().await,
            What::Phone(phone) => phone.run().await,
        }
    }
}

impl Export {
    async fn run(self) -> Result<(), OpenError> {
        let (selection, ExportTo { data, output }) = match self {
            Self::Patrol { id, to } => (Selection::Patrol(id), to),
            Self::Evidence { id, to } => (Selection::Evidence(id), to),
            Self::Unit { id, period, to } => (Selection::UnitPeriod(id, period), to),
        };
        let app = data.open(String::new()).await?;
        let exported = crate::export::export(&app, selection, &output)
            .await
            .map_err(worded)?;
        let (documents, bytes) = (exported.documents, exported.bytes);
        say(&format!(
            "{}: {documents} documents, {bytes} bytes",
            output.display()
        ))
    }
}

impl Unit {
    async fn run(self) -> Result<(), OpenError> {
        match self {
            Self::Add {
                data,
                name,
                level,
                from,
            } => {
                let app = data.open(String::new()).await?;
                let new = NewUnit {
                    name,
                    level,
                    valid_from: from,
                    sample: false,
                };
                let id = unit::add(&app, None, new).await.map_err(worded)?;
                reference::publish(&app, id, BTreeMap::new())
                    .await
                    .map_err(worded)?;
                say(&id.to_string())
            }
            Self::List(data) => {
                let app = data.open(String::new()).await?;
                for unit in unit::list(&app).await.map_err(worded)? {
                    say(&format!(
                        "{}  {}  {}",
                        unit.unit,
                        unit.level.word(),
                        unit.name
                    ))?;
                }
                Ok(())
            }
        }
    }
}

impl Person {
    async fn run(self) -> Result<(), OpenError> {
        match self {
            Self::Add {
                data,
                name,
                sign_in,
                role,
                unit,
                phone_only,
            } => {
                let app = data.open(String::new()).await?;
                let password = if phone_only {
                    FirstPassword::None
                } else {
                    FirstPassword::Generated
                };
                let new = NewPerson {
                    name,
                    sign_in,
                    role,
                    unit,
                    password,
                };
                let added = person::add(&app, None, new).await.map_err(worded)?;
                // Colleagues' phones learn the new name at their next sync; checkpoints stay as they are published.
                reference::publish(&app, unit, BTreeMap::new())
                    .await
                    .map_err(worded)?;
                say(&added.person.to_string())?;
                added.password.map_or(Ok(()), |password| say(&password))
            }
            Self::Password { data, sign_in } => {
                let app = data.open(String::new()).await?;
                let found = person::find_by_sign_in(&app, &sign_in)
                    .await
                    .map_err(worded)?;
                let found = found.ok_or("there is no such person")?;
                let made = FirstPassword::Generated;
                let password = person::set_password(&app, None, found.person, made)
                    .await
                    .map_err(worded)?;
                password.map_or(Ok(()), |password| say(&password))
            }
            Self::Disable { data, sign_in } => {
                let app = data.open(String::new()).await?;
                let found = person::find_by_sign_in(&app, &sign_in)
                    .await
                    .map_err(worded)?;
                let found = found.ok_or("there is no such person")?;
                person::disable(&app, None, found.person)
                    .await
                    .map_err(worded)
            }
        }
    }
}

impl Phone {
    async fn run(self) -> Result<(), OpenError> {
        match self {
            Self::List { data, unit } => {
                let app = data.open(String::new()).await?;
                for phone in phone::list(&app, None, unit).await.map_err(worded)? {
                    let seen = phone
                        .last_seen_at_ms
                        .map(clock::vietnamese)
                        .unwrap_or_default();
                    let state = if phone.revoked_at_ms.is_some() {
                        "revoked"
                    } else {
                        "in use"
                    };
                    let (id, name) = (phone.phone, phone.person_name);
                    say(&format!(
                        "{id}  {name}  {state}  {}  {}  {seen}",
                        phone.model, phone.app_version
                    ))?;
                }
                Ok(())
            }
            Self::Code { data, person, json } => code(data, &person, json).await,
            Self::Revoke { data, phone } => {
                let app = data.open(String::new()).await?;
                phone::revoke(&app, None, phone).await.map_err(worded)
            }
        }
    }
}

async fn code(data: Data, sign_in: &str, json: bool) -> Result<(), OpenError> {
    let app = data.open(String::new()).await?;
    let reach = serve::announced(&app)
        .await?
        .ok_or("no server has served this data yet: start it first")?;
    let app = App {
        config: std::sync::Arc::new(Config {
            public_url: reach.url.clone(),
            pins: reach.pins,
            ..(*app.config).clone()
        }),
        ..app
    };
    let person = person::find_by_sign_in(&app, sign_in)
        .await
        .map_err(worded)?
        .ok_or("there is no such person")?;
    let issued = enrolment::issue(&app, None, person.person)
        .await
        .map_err(worded)?;
    if json {
        let line = serde_json::json!({
            "code": issued.code.grouped(), "qr": issued.qr_text, "url": reach.url, "expires_at_ms": issued.expires_at_ms,
        });
        return say(&line.to_string());
    }
    say(&format!("{}\n{}", issued.code.grouped(), issued.qr_text))
}

async fn take_rescue(data: Data, file: PathBuf) -> Result<(), OpenError> {
    let app = data.open(String::new()).await?;
    let file = std::fs::File::open(file)?;
    let taken = rescue::take(&app, rescue::Carrier::default(), file)
        .await
        .map_err(worded)?;
    say(&serde_json::to_string(&taken)?)
}

/// A problem as a command's error.
fn worded(problem: crate::problem::Problem) -> OpenError {
    problem.log();
    match problem.broken() {
        Some(invalid) => format!("{}: {invalid}", problem.word()).into(),
        None => problem.word().into(),
    }
}

fn say(text: &str) -> Result<(), OpenError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}
