//! A phone's signal: a relay on loopback between it and the server, which can be off. What is under way then breaks off.

use std::net::SocketAddr;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// The way to the server.
pub struct Signal {
    on: watch::Sender<bool>,
    address: SocketAddr,
    relay: JoinHandle<()>,
}

impl Signal {
    /// A relay to `server` (`http://host:port`), on.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub async fn new(server: &str) -> Self {
        let server = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (on, state) = watch::channel(true);
        let relay = tokio::spawn(async move {
            while let Ok((phone, _)) = listener.accept().await {
                if *state.borrow() {
                    tokio::spawn(carry(phone, server.clone(), state.clone()));
                }
            }
        });
        Self { on, address, relay }
    }

    /// Where the phone finds the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Turns it on or off.
    pub fn set(&self, on: bool) {
        self.on.send_replace(on);
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

async fn carry(mut phone: TcpStream, server: String, mut state: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    tokio::select! {
        // Either way the connection is over; who was cut tries again.
        _ = tokio::io::copy_bidirectional(&mut phone, &mut server) => {}
        _ = state.wait_for(|on| !on) => {}
    }
}
