//! What the story plays on: the server, the two phones with a signal each, and who tells it. A step that is not as told is a
//! [`Failed`], never a panic of the story's own.

use jiff::{Timestamp, tz::Offset};
use kieumau_core::enrolment::Invitation;
use kieumau_tests::{desk::Desk, process::PhoneProcess, server::Server, signal::Signal};
use serde_json::{Value, json};
use std::{
    fmt,
    io::Write as _,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Between two steps, so that a person can follow: a line of two languages takes that long to read.
const PAUSE: Duration = Duration::from_millis(1_500);
/// How long something across processes may take to come about.
const PATIENCE: Duration = Duration::from_secs(20);

/// A step that is not as told, in words.
#[derive(Debug)]
pub struct Failed(String);

impl Failed {
    /// Why.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Prints one line at once.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever closed the pipe does not listen any more; the demo's exit code still speaks.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Fails with `why` unless `so`.
pub fn must(so: bool, why: impl FnOnce() -> String) -> Result<(), Failed> {
    if so { Ok(()) } else { Err(Failed(why())) }
}

/// Who tells the story, and at which step it is.
pub struct Teller {
    slowly: bool,
    told: AtomicBool,
    at: Mutex<(u32, &'static str, &'static str)>,
}

impl Teller {
    /// With pauses or without.
    pub fn new(slowly: bool) -> Self {
        Self {
            slowly,
            told: AtomicBool::new(false),
            at: Mutex::new((0, "", "")),
        }
    }

    /// A step begins.
    pub fn begin(&self, vietnamese: &'static str, english: &'static str) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        *at = (at.0, vietnamese, english);
    }

    /// The step was as told: one line with what proves it.
    pub async fn shown(&self, proof: &str) {
        let (number, vietnamese, english) = {
            let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
            at.0 += 1;
            *at
        };
        say(&format!("{number:>2}  {vietnamese} · {english} — {proof}"));
        if self.slowly {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The story is told to its end.
    pub fn end(&self) {
        self.told.store(true, Ordering::Relaxed);
    }

    /// Whether the story is told to its end: ending then is no failure.
    pub fn is_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// The step that is under way.
    pub fn step(&self) -> &'static str {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).2
    }
}

/// See the module.
pub struct Stage {
    /// The server.
    pub server: Server,
    /// Where its data lies.
    pub data: PathBuf,
    /// Which run this is.
    pub run: u32,
    /// Who tells it.
    pub teller: Arc<Teller>,
}

impl Stage {
    /// A stage on which nobody is yet.
    pub const fn new(server: Server, data: PathBuf, run: u32, teller: Arc<Teller>) -> Self {
        Self {
            server,
            data,
            run,
            teller,
        }
    }

    /// A phone for the person who signs in so, enrolled by the QR that the chief's page would show. It finds the server through
    /// a signal of its own; the keys it pins are those of the QR.
    pub async fn phone(&self, sign_in: &'static str) -> Result<Hand, Failed> {
        let folder = self
            .data
            .join(format!("phone-{sign_in}"))
            .join(self.run.to_string());
        let signal = Signal::new(&self.server.ward.url).await;
        // In a real phone the platform's key store holds it; here it ends with the demo.
        let key = rand::random();
        let mut hand = Hand {
            name: self.server.person(sign_in).name.clone(),
            process: PhoneProcess::start(&folder, Some(key)),
            folder,
            key,
            signal,
            id: String::new(),
        };
        let code = self.server.code(sign_in).await;
        let invitation =
            Invitation::parse(&code.qr).map_err(|invalid| Failed(invalid.to_string()))?;
        let qr = Invitation {
            url: hand.signal.url(),
            ..invitation
        }
        .to_text();
        let enrolled = hand.ask(json!({ "do": "enrol", "qr": qr })).await?;
        hand.id = text(&enrolled["phone"]).to_owned();
        Ok(hand)
    }

    /// The person who signs in so, at the browser.
    pub async fn desk(&self, sign_in: &str) -> Desk {
        Desk::sign_in(&self.server.ward.url, self.server.person(sign_in)).await
    }
}

/// A phone in somebody's hand.
pub struct Hand {
    /// Whose.
    pub name: String,
    process: PhoneProcess,
    folder: PathBuf,
    key: [u8; 32],
    /// Its way to the server.
    pub signal: Signal,
    /// The phone's id.
    pub id: String,
}

impl Hand {
    /// Its process is killed by `SIGKILL`, as by a battery that is taken out, and started again on the same folder.
    pub async fn killed_and_started(&mut self) {
        self.process.die().await;
        self.process = PhoneProcess::start(&self.folder, Some(self.key));
    }

    async fn answer(&mut self, command: &Value) -> Value {
        self.process.ask(command).await
    }

    /// Tells it one thing that works.
    pub async fn ask(&mut self, command: Value) -> Result<Value, Failed> {
        let answer = self.answer(&command).await;
        must(answer["error"].is_null(), || {
            format!(
                "{}'s phone answered {answer} to {}",
                self.name, command["do"]
            )
        })?;
        Ok(answer)
    }

    /// Tells it one thing that is refused with `error`; the answer.
    pub async fn refused(&mut self, command: Value, error: &str) -> Result<Value, Failed> {
        let answer = self.answer(&command).await;
        must(answer["error"] == error, || {
            format!(
                "{}'s phone answered {answer} to {}, not {error}",
                self.name, command["do"]
            )
        })?;
        Ok(answer)
    }

    /// Syncs.
    pub async fn sync(&mut self) -> Result<Value, Failed> {
        self.ask(json!({ "do": "sync", "tries": 5 })).await
    }

    /// Sets its clock to `at_ms`; to the true time if none is given.
    pub async fn set_clock(&mut self, at_ms: Option<i64>) -> Result<(), Failed> {
        let skew_ms = at_ms.map_or(0, |at_ms| at_ms - Timestamp::now().as_millisecond());
        self.ask(json!({ "do": "set_clock", "skew_ms": skew_ms }))
            .await
            .map(|_| ())
    }

    /// The item of a document as its lists show it.
    pub async fn item(&mut self, document: &str) -> Result<Value, Failed> {
        let items = self.ask(json!({ "do": "items" })).await?;
        let found = list(&items)
            .iter()
            .find(|item| item["document"] == document);
        found
            .cloned()
            .ok_or_else(|| Failed(format!("{document} is not on {}'s phone", self.name)))
    }

    /// Fails unless the document's item is in `state`.
    pub async fn must_show(&mut self, document: &str, state: &str) -> Result<Value, Failed> {
        let item = self.item(document).await?;
        must(item["state"] == state, || {
            format!("{}'s phone shows {}, not {state}", self.name, item["state"])
        })?;
        Ok(item)
    }

    /// The newest receipt of a document.
    pub async fn receipt(&mut self, document: &str) -> Result<Value, Failed> {
        let receipt = self
            .ask(json!({ "do": "receipt", "document": document }))
            .await?;
        must(receipt.is_object(), || {
            format!("{}'s phone has no receipt", self.name)
        })?;
        Ok(receipt)
    }

    /// The observations of a patrol.
    pub async fn observations(&mut self, patrol: &str) -> Result<Vec<Value>, Failed> {
        let seen = self
            .ask(json!({ "do": "observations", "patrol": patrol }))
            .await?;
        Ok(list(&seen).to_vec())
    }

    /// Syncs until the document's item is in `state`: the server's worker takes its time.
    pub async fn sync_until(&mut self, document: &str, state: &str) -> Result<Value, Failed> {
        let what = format!("{}'s phone shows {state}", self.name);
        until(&what, async || {
            self.sync().await?;
            let item = self.item(document).await?;
            Ok((item["state"] == state).then_some(item))
        })
        .await
    }
}

/// Asks until there is an answer; there is no event to wait for across processes.
pub async fn until<T>(
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<Option<T>, Failed>,
) -> Result<T, Failed> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        must(begun.elapsed() < PATIENCE, || {
            format!("not within {} s: {what}", PATIENCE.as_secs())
        })?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The text of an answer's field; empty if it is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The list in an answer; empty if it is none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The first digits of a hash or an id: enough to compare by eye.
pub fn short(value: &Value) -> String {
    text(value).chars().take(12).collect()
}

/// A receipt in one phrase.
pub fn receipt_words(receipt: &Value) -> String {
    format!(
        "máy chủ đã nhận · receipt: heads {}, leaf {} of {}, root {}",
        list(&receipt["heads"])
            .iter()
            .map(short)
            .collect::<Vec<_>>()
            .join("+"),
        receipt["leaf_index"],
        receipt["tree_size"],
        short(&receipt["root"])
    )
}

/// A time as it is read in Vinh.
pub fn hour(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
    Offset::constant(7)
        .to_datetime(at)
        .strftime("%d/%m/%Y %H:%M:%S")
        .to_string()
}
