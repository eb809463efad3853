//! A relay on loopback between a phone and the server that keeps what passes, request by request. HTTP/1.1 without pipelining
//! takes turns, so the first byte upwards after a byte downwards begins the next request. For one phone that does one thing
//! at a time: two connections at once would be mixed.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// One request and its answer, every byte of both.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// From the phone.
    pub up: Vec<u8>,
    /// To the phone.
    pub down: Vec<u8>,
}

impl Turn {
    /// The request's first line without its version: `POST /v1/sync/push`.
    #[must_use]
    pub fn line(&self) -> String {
        let line = self.up.split(|byte| *byte == b'\r').next().unwrap_or(&[]);
        let line = String::from_utf8_lossy(line);
        let path = line.trim_end_matches(" HTTP/1.1");
        path.split('?').next().unwrap_or(path).to_owned()
    }

    /// Bytes of the request's head, its body, the answer's head, its body.
    #[must_use]
    pub fn parts(&self) -> [usize; 4] {
        let (up, down) = (head(&self.up), head(&self.down));
        [up, self.up.len() - up, down, self.down.len() - down]
    }

    /// Bytes both ways.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.up.len() + self.down.len()
    }
}

fn head(message: &[u8]) -> usize {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n");
    end.map_or(message.len(), |end| end + 4)
}

type Turns = Arc<Mutex<Vec<Turn>>>;

/// See the module.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    turns: Turns,
    connections: Arc<AtomicU32>,
    carrying: JoinHandle<()>,
}

impl Relay {
    /// A relay to `server` (`http://host:port`).
    ///
    /// # Panics
    /// When there is no port to be had.
    pub async fn new(server: &str) -> Self {
        let server = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let turns = Turns::default();
        let connections = Arc::<AtomicU32>::default();
        let (kept, counted) = (Arc::clone(&turns), Arc::clone(&connections));
        let carrying = tokio::spawn(async move {
            while let Ok((phone, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(carry(phone, server.clone(), Arc::clone(&kept)));
            }
        });
        Self {
            address,
            turns,
            connections,
            carrying,
        }
    }

    /// Where the phone finds the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What passed since it was asked last, and how many connections were opened for it.
    #[must_use]
    pub fn take(&self) -> (Vec<Turn>, u32) {
        let turns = std::mem::take(&mut *self.turns.lock().unwrap_or_else(PoisonError::into_inner));
        let opened = self.connections.swap(0, Ordering::Relaxed);
        (turns, opened)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

async fn carry(mut phone: TcpStream, server: String, turns: Turns) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut up, mut down) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    // Whoever hangs up ends the connection: there is nobody left to tell.
    loop {
        let went = tokio::select! {
            read = phone.read(&mut up) => match read {
                Ok(size) if size > 0 => {
                    keep(&turns, |turns| upwards(turns, &up[..size]));
                    server.write_all(&up[..size]).await
                }
                _ => return,
            },
            read = server.read(&mut down) => match read {
                Ok(size) if size > 0 => {
                    keep(&turns, |turns| downwards(turns, &down[..size]));
                    phone.write_all(&down[..size]).await
                }
                _ => return,
            },
        };
        if went.is_err() {
            return;
        }
    }
}

fn keep(turns: &Turns, with: impl FnOnce(&mut Vec<Turn>)) {
    with(&mut turns.lock().unwrap_or_else(PoisonError::into_inner));
}

fn upwards(turns: &mut Vec<Turn>, bytes: &[u8]) {
    if turns.last().is_none_or(|turn| !turn.down.is_empty()) {
        turns.push(Turn::default());
    }
    if let Some(turn) = turns.last_mut() {
        turn.up.extend_from_slice(bytes);
    }
}

fn downwards(turns: &mut [Turn], bytes: &[u8]) {
    if let Some(turn) = turns.last_mut() {
        turn.down.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_when_the_phone_speaks_again() {
        let mut turns = Vec::new();
        upwards(
            &mut turns,
            b"POST /v1/sync/push HTTP/1.1\r\nhost: a\r\n\r\n",
        );
        upwards(&mut turns, b"body");
        downwards(&mut turns, b"HTTP/1.1 200 OK\r\n\r\n");
        downwards(&mut turns, b"answer");
        upwards(&mut turns, b"GET /v1/sync/pull?cursor=x HTTP/1.1\r\n\r\n");
        assert_eq!(turns.len(), 2);
        assert_eq!(turns[0].line(), "POST /v1/sync/push");
        assert_eq!(turns[0].parts(), [40, 4, 19, 6]);
        assert_eq!(turns[1].line(), "GET /v1/sync/pull");
    }
}
