//! A way to the server on which pushes are meddled with: how a test makes a good server refuse what a good phone sent. One request per
//! connection, read whole, so that what is changed is CBOR and not bytes of a stream.

use kieumau_core::wire::{self, Push};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

type Meddle = Box<dyn FnMut(&mut Push) + Send>;

/// See the module.
pub struct Meddler {
    address: SocketAddr,
    meddle: Arc<Mutex<Meddle>>,
    relay: JoinHandle<()>,
}

impl Meddler {
    /// A way to `server` (`http://host:port`) on which nothing is changed yet.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub async fn new(server: &str) -> Self {
        let server = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let meddle: Arc<Mutex<Meddle>> = Arc::new(Mutex::new(Box::new(|_| {})));
        let shared = Arc::clone(&meddle);
        let relay = tokio::spawn(async move {
            while let Ok((phone, _)) = listener.accept().await {
                let (server, meddle) = (server.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    // A connection that breaks off is the phone's to notice.
                    carry(phone, &server, &meddle).await.ok();
                });
            }
        });
        Self {
            address,
            meddle,
            relay,
        }
    }

    /// Where the phone finds the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on every push goes through `meddle`.
    pub fn with(&self, meddle: impl FnMut(&mut Push) + Send + 'static) {
        *self.meddle.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(meddle);
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

async fn carry(mut phone: TcpStream, server: &str, meddle: &Mutex<Meddle>) -> std::io::Result<()> {
    let Some((head, mut body)) = request(&mut phone).await? else {
        return Ok(());
    };
    if head.starts_with(&format!("POST {} ", wire::PUSH))
        && let Ok(mut push) = minicbor::decode::<Push>(&body)
    {
        meddle.lock().unwrap_or_else(PoisonError::into_inner)(&mut push);
        body = minicbor::to_vec(&push).map_err(std::io::Error::other)?;
    }
    let mut server = TcpStream::connect(server).await?;
    let kept = head
        .lines()
        .filter(|line| !is_header(line, "content-length") && !is_header(line, "connection"));
    let mut request: String = kept.map(|line| format!("{line}\r\n")).collect();
    request.push_str(&format!(
        "content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    ));
    server.write_all(request.as_bytes()).await?;
    server.write_all(&body).await?;
    tokio::io::copy(&mut server, &mut phone).await?;
    phone.shutdown().await
}

/// The head without its empty line, and the body that it announces; none when the phone said nothing.
async fn request(phone: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end;
        }
        if phone.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .lines()
        .find(|line| is_header(line, "content-length"))
        .and_then(|line| line.split_once(':')?.1.trim().parse().ok())
        .unwrap_or(0);
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if phone.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some((head, body)))
}

fn is_header(line: &str, name: &str) -> bool {
    line.split_once(':')
        .is_some_and(|(said, _)| said.eq_ignore_ascii_case(name))
}
