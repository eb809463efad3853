//! A phone's signal: a relay on loopback between it and the server. It can be off, and what is under way then breaks off; or it
//! has bad weather, a plan of [`Fault`]s that it makes connection by connection until the plan is through.

use crate::fault::{Fault, Way};
use std::{
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// The way to the server.
pub struct Signal {
    state: watch::Sender<State>,
    address: SocketAddr,
    line: Arc<Mutex<Line>>,
    relay: JoinHandle<()>,
}

/// Whether it is on, and how often what was under way was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    on: bool,
    ended: u32,
}

/// What passed, and what is still to happen.
#[derive(Debug, Default)]
struct Line {
    weather: VecDeque<Fault>,
    passed: Passed,
    /// Requests with an access token since the weather began.
    spoken: u32,
    /// The requests whose tokens are spoiled.
    spoil: BTreeSet<u32>,
    /// What was said since [`Signal::record`], by connection.
    said: Option<Vec<Said>>,
}

/// What was said on one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// By the phone.
    pub up: Vec<u8>,
    /// By the server.
    pub down: Vec<u8>,
}

/// Bytes that passed, and what was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// From the phone.
    pub up_bytes: u64,
    /// To the phone.
    pub down_bytes: u64,
    /// The requests' first lines, as far as each came in one piece: `POST /v1/sync/push HTTP/1.1`.
    pub requests: Vec<String>,
}

impl Passed {
    /// Bytes both ways.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.up_bytes + self.down_bytes
    }
}

impl Signal {
    /// A relay to `server` (its URL), on, in good weather.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub async fn new(server: &str) -> Self {
        let (_, server) = server.split_once("://").expect("a URL");
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (set, state) = watch::channel(State { on: true, ended: 0 });
        let line = Arc::<Mutex<Line>>::default();
        let shared = Arc::clone(&line);
        let relay = tokio::spawn(async move {
            while let Ok((phone, _)) = listener.accept().await {
                if state.borrow().on {
                    let fault = held(&shared).weather.pop_front();
                    let line = Arc::clone(&shared);
                    tokio::spawn(carry(phone, server.clone(), state.clone(), line, fault));
                }
            }
        });
        Self {
            state: set,
            address,
            line,
            relay,
        }
    }

    /// Where the phone finds the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Turns it on or off.
    pub fn set(&self, on: bool) {
        self.state.send_modify(|state| {
            state.on = on;
            state.ended += u32::from(!on);
        });
    }

    /// Ends what is under way; from here on this weather, connection by connection, and good weather after it.
    pub fn suffer(&self, weather: impl IntoIterator<Item = Fault>) {
        let mut line = Line::default();
        for fault in weather {
            match fault {
                // No matter of one connection: it is for whichever makes the request.
                Fault::BadToken(request) => _ = line.spoil.insert(request),
                fault => line.weather.push_back(fault),
            }
        }
        *held(&self.line) = line;
        self.state.send_modify(|state| state.ended += 1);
    }

    /// Keeps what is said on connections that are opened from here on, until the weather changes.
    pub fn record(&self) {
        held(&self.line).said = Some(Vec::new());
        // What is under way goes on unheard: the phone opens anew.
        self.state.send_modify(|state| state.ended += 1);
    }

    /// What was said since [`Signal::record`].
    #[must_use]
    pub fn said(&self) -> Vec<Said> {
        held(&self.line).said.clone().unwrap_or_default()
    }

    /// What passed since the weather changed last.
    #[must_use]
    pub fn passed(&self) -> Passed {
        held(&self.line).passed.clone()
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

fn held(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn carry(
    phone: TcpStream,
    server: String,
    mut state: watch::Receiver<State>,
    line: Arc<Mutex<Line>>,
    fault: Option<Fault>,
) {
    let begun = *state.borrow_and_update();
    let Ok(there) = TcpStream::connect(&server).await else {
        return;
    };
    let recorded = held(&line).said.as_mut().map(|said| {
        said.push(Said::default());
        said.len() - 1
    });
    let again = match fault {
        Some(Fault::Twice) => TcpStream::connect(&server).await.ok(),
        _ => None,
    };
    // A relay adds no wait of its own.
    for stream in [&phone, &there] {
        stream.set_nodelay(true).expect("an open socket");
    }
    let ((from_phone, to_phone), (from_server, to_server)) =
        (phone.into_split(), there.into_split());
    let (stopped, halt) = watch::channel(false);
    let up = Pipe {
        way: Way::Up,
        fault,
        line: Arc::clone(&line),
        recorded,
        again,
    };
    let down = Pipe {
        way: Way::Down,
        fault,
        line,
        recorded,
        again: None,
    };
    tokio::select! {
        // Either way the connection is over; who was cut tries again.
        () = up.pump(from_phone, to_server, &stopped, halt.clone()) => {}
        () = down.pump(from_server, to_phone, &stopped, halt) => {}
        _ = state.wait_for(|state| *state != begun) => {}
    }
}

/// One way of a connection.
struct Pipe {
    way: Way,
    fault: Option<Fault>,
    line: Arc<Mutex<Line>>,
    /// Which of what was said this is, if it is kept.
    recorded: Option<usize>,
    /// Where what the phone says goes once more.
    again: Option<TcpStream>,
}

impl Pipe {
    /// Carries bytes until either end hangs up or the fault ends it.
    async fn pump(
        mut self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        stopped: &watch::Sender<bool>,
        mut halt: watch::Receiver<bool>,
    ) {
        let piece = match self.fault {
            // A tenth of a second's worth at a time: slow, not late.
            Some(Fault::Slow(per_second)) => per_second as usize / 10,
            _ => 64 << 10,
        };
        let mut bytes = vec![0; piece];
        loop {
            let read = tokio::select! {
                read = from.read(&mut bytes) => read,
                // The other way stands still: so does this one, until that one ends the connection.
                () = stood_still(&mut halt) => return std::future::pending().await,
            };
            let Ok(size @ 1..) = read else { return };
            let allowed = self.allowed(size);
            self.passes(&mut bytes[..allowed]);
            self.wait(allowed).await;
            if to.write_all(&bytes[..allowed]).await.is_err() {
                return;
            }
            if let Some(again) = &mut self.again {
                // Nobody hears how this one went.
                let _ = again.write_all(&bytes[..allowed]).await;
            }
            if allowed < size {
                if let Some(Fault::HalfOpen(_, _, lasts)) = self.fault {
                    stopped.send_replace(true);
                    tokio::time::sleep(lasts).await;
                }
                return;
            }
        }
    }

    /// How many of `size` bytes pass before the fault.
    fn allowed(&self, size: usize) -> usize {
        match self.fault {
            Some(Fault::Cut(way, after) | Fault::HalfOpen(way, after, _)) if way == self.way => {
                let line = held(&self.line);
                let passed = match way {
                    Way::Up => line.passed.up_bytes,
                    Way::Down => line.passed.down_bytes,
                };
                size.min(usize::try_from(after.saturating_sub(passed)).unwrap_or(usize::MAX))
            }
            _ => size,
        }
    }

    async fn wait(&self, size: usize) {
        match self.fault {
            Some(Fault::Delay(by)) => tokio::time::sleep(by).await,
            Some(Fault::Slow(per_second)) => {
                tokio::time::sleep(Duration::from_secs_f64(size as f64 / f64::from(per_second)))
                    .await;
            }
            _ => {}
        }
    }

    /// Counts what passes, and spoils the token whose turn it is.
    fn passes(&self, bytes: &mut [u8]) {
        let mut line = held(&self.line);
        match self.way {
            Way::Down => line.passed.down_bytes += bytes.len() as u64,
            Way::Up => {
                line.passed.up_bytes += bytes.len() as u64;
                if let Some(first) = request(bytes) {
                    line.passed.requests.push(first);
                }
                if let Some(token) = token(bytes) {
                    if line.spoil.contains(&line.spoken) {
                        bytes[token] ^= 1;
                    }
                    line.spoken += 1;
                }
            }
        }
        let said = self.recorded.zip(line.said.as_mut());
        if let Some(said) = said.and_then(|(at, said)| said.get_mut(at)) {
            let way = match self.way {
                Way::Up => &mut said.up,
                Way::Down => &mut said.down,
            };
            way.extend_from_slice(bytes);
        }
    }
}

async fn stood_still(halt: &mut watch::Receiver<bool>) {
    // An error says that the connection is over, which ends this too.
    let _ = halt.wait_for(|stopped| *stopped).await;
}

/// The first line of the request that begins here.
fn request(bytes: &[u8]) -> Option<String> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let line = std::str::from_utf8(&bytes[..end]).ok()?;
    line.ends_with(" HTTP/1.1").then(|| line.to_owned())
}

/// Where the access token of the request that begins here has a byte to spoil: in the middle of its claims.
fn token(bytes: &[u8]) -> Option<usize> {
    const HEAD: &[u8] = b"authorization: Bearer ";
    let at = bytes.windows(HEAD.len()).position(|head| head == HEAD)? + HEAD.len();
    let end = at + bytes[at..].windows(2).position(|two| two == b"\r\n")?;
    Some(at + (end - at) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_its_first_line_and_its_token_found() {
        let bytes =
            b"GET /v1/sync/pull?cursor= HTTP/1.1\r\nauthorization: Bearer abcd\r\nhost: a\r\n\r\n";
        assert_eq!(
            request(bytes).as_deref(),
            Some("GET /v1/sync/pull?cursor= HTTP/1.1")
        );
        assert_eq!(token(bytes).map(|at| bytes[at]), Some(b'c'));
        assert_eq!(request(b"only the body of one"), None);
        assert_eq!(token(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"), None);
    }
}
