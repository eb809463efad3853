//! The server as a process: `kieumau demo` on port 0, in a folder or on a PostgreSQL database of its own.

use crate::built;
use serde::Deserialize;
use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// What `kieumau demo --json` prints.
#[derive(Clone, Debug, Deserialize)]
pub struct Ward {
    /// Where the server is.
    pub url: String,
    /// Who can sign in.
    pub people: Vec<Person>,
    /// Which units there are.
    pub units: Vec<Unit>,
}

/// A person of the sample ward.
#[derive(Clone, Debug, Deserialize)]
pub struct Person {
    /// How they are called.
    pub name: String,
    /// Their role's word.
    pub role: String,
    /// Their unit's id.
    pub unit: String,
    /// Their sign-in name.
    pub sign_in: String,
    /// Their password.
    pub password: String,
}

/// A unit of the sample ward.
#[derive(Clone, Debug, Deserialize)]
pub struct Unit {
    /// Its id.
    pub unit: String,
    /// Its name.
    pub name: String,
}

/// An invitation for one phone.
#[derive(Clone, Debug, Deserialize)]
pub struct Code {
    /// To be typed.
    pub code: String,
    /// To be scanned.
    pub qr: String,
}

/// A server that runs until it is dropped or killed, and can be started again where it was.
pub struct Server {
    // Killed when dropped.
    child: Child,
    data: PathBuf,
    database_url: Option<String>,
    /// What else it is started with: TLS.
    pub more: Vec<String>,
    /// What it printed.
    pub ward: Ward,
}

/// How a server is started.
pub struct Launch<'a> {
    /// Where its data lies.
    pub data: &'a Path,
    /// PostgreSQL instead of SQLite.
    pub database_url: Option<String>,
    /// How many nights of sample patrols a new ward gets.
    pub nights: u16,
    /// Where it listens.
    pub listen: &'a str,
    /// What else it is started with.
    pub more: Vec<String>,
    /// What it logs, if not what `RUST_LOG` says.
    pub log: Option<&'a str>,
}

impl Server {
    /// Starts a sample ward with `nights` nights of patrols in `data`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(data: &Path, database_url: Option<String>, nights: u16) -> Self {
        Self::launch(Launch {
            data,
            database_url,
            nights,
            listen: "127.0.0.1:0",
            more: Vec::new(),
            log: None,
        })
        .await
    }

    /// Starts a sample ward as told.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn launch(launch: Launch<'_>) -> Self {
        let mut command = built::on_the_servers_core(&built::server());
        let nights = launch.nights.to_string();
        let arguments = [
            "demo",
            "--json",
            "--listen",
            launch.listen,
            "--nights",
            &nights,
            "--data",
        ];
        command
            .args(arguments)
            .arg(launch.data)
            .args(&launch.more)
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(log) = launch.log {
            command.env("RUST_LOG", log);
        }
        set_database(&mut command, launch.database_url.as_deref());
        let (child, line) = started(command).await;
        let ward = serde_json::from_str(&line).expect("one JSON line");
        Self {
            child,
            data: launch.data.to_owned(),
            database_url: launch.database_url,
            more: launch.more,
            ward,
        }
    }

    /// One more server process on the same database and the same keys, at an address of its own.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn beside(&self) -> Self {
        let (child, line) = started(self.serving("127.0.0.1:0")).await;
        let mut ward = self.ward.clone();
        let (_, url) = line.rsplit_once(' ').expect("it says where it is");
        url.clone_into(&mut ward.url);
        Self {
            child,
            data: self.data.clone(),
            database_url: self.database_url.clone(),
            more: self.more.clone(),
            ward,
        }
    }

    /// Ends it with `SIGKILL` and starts it again at once. Returns when it listens.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn kill_and_restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Ends it with `SIGKILL`; [`Server::start_again`] goes on.
    ///
    /// # Panics
    /// When the system refuses.
    pub async fn stop(&mut self) {
        self.child.kill().await.expect("killed");
    }

    /// Starts a stopped server on what lies in its folder, at the same address.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again(&mut self) {
        let listen = self.ward.url.split_once("://").expect("a URL").1;
        (self.child, _) = started(self.serving(listen)).await;
    }

    fn serving(&self, listen: &str) -> Command {
        let mut command = built::on_the_servers_core(&built::server());
        command
            .args(["serve", "--listen", listen, "--data"])
            .arg(&self.data)
            .args(&self.more)
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        set_database(&mut command, self.database_url.as_deref());
        command
    }

    /// Tells it to end, as an operator does.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn terminate(&self) {
        let id = self.child.id().expect("it runs").to_string();
        let told = std::process::Command::new("kill")
            .args(["-TERM", &id])
            .status();
        assert!(told.expect("kill starts").success(), "it was told");
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When the system cannot say.
    pub async fn ended(&mut self) {
        self.child.wait().await.expect("a child can be waited for");
    }

    /// Runs one command of the server's binary on the same data; what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub async fn command(&self, arguments: &[&str]) -> String {
        let out = self.run(arguments).await;
        assert!(
            out.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).expect("text")
    }

    /// Runs one command of the server's binary that must not do what it is asked; why it did not.
    ///
    /// # Panics
    /// When it does.
    pub async fn refusal(&self, arguments: &[&str]) -> String {
        let out = self.run(arguments).await;
        assert!(!out.status.success(), "{arguments:?} was done");
        String::from_utf8(out.stderr).expect("text")
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = built::on_the_servers_core(&built::server());
        command.args(arguments).arg("--data").arg(&self.data);
        set_database(&mut command, self.database_url.as_deref());
        command.output().await.expect("the command starts")
    }

    /// Runs SQL in the server's own database, behind its back: for what no command does, and for spoiling what one mends.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn sql(&self, statements: &str) {
        let mut command = match self.database_url() {
            Some(url) => {
                let mut psql = Command::new("psql");
                psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", url, "-c", statements]);
                psql
            }
            None => {
                let program = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],timeout=20)\nc.executescript(sys.argv[2])\nc.commit()";
                let mut python = Command::new("python3");
                python.args(["-c", program]);
                python.arg(self.data.join("kieumau.db")).arg(statements);
                python
            }
        };
        let out = command.output().await.expect("it starts");
        assert!(
            out.status.success(),
            "{statements}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }

    /// A code that enrols one phone of the person who signs in so.
    ///
    /// # Panics
    /// When there is no such person.
    pub async fn code(&self, sign_in: &str) -> Code {
        let out = self
            .command(&["phone", "code", "--json", "--person", sign_in])
            .await;
        serde_json::from_str(&out).expect("one JSON line")
    }

    /// Its process' id; none when it was stopped.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its process.
    ///
    /// # Panics
    /// When it was stopped.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Where its data lies.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its PostgreSQL database; none on SQLite.
    #[must_use]
    pub fn database_url(&self) -> Option<&str> {
        self.database_url.as_deref()
    }

    /// Who signs in so.
    ///
    /// # Panics
    /// When there is no such person.
    #[must_use]
    pub fn person(&self, sign_in: &str) -> &Person {
        self.ward
            .people
            .iter()
            .find(|person| person.sign_in == sign_in)
            .expect("one of the named people")
    }

    /// Ends it with `SIGKILL`.
    ///
    /// # Panics
    /// When the system refuses.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }
}

/// Starts a server; the process, and the first line it prints, which comes when it listens.
async fn started(mut command: Command) -> (Child, String) {
    let mut child = command.spawn().expect("the server starts");
    let out = child.stdout.take().expect("its output is piped");
    let line = BufReader::new(out)
        .lines()
        .next_line()
        .await
        .expect("reads")
        .expect("the server says where it is");
    (child, line)
}

fn set_database(command: &mut Command, url: Option<&str>) {
    match url {
        Some(url) => command.env("DATABASE_URL", url),
        None => command.env_remove("DATABASE_URL"),
    };
}
