//! Connections with TLS, each ready when it is handed out: handshakes go on beside each other, so that one that says nothing
//! holds up nobody. Their number and their time are bounded.

use super::Tls;
use axum::serve::Listener;
use std::{io, sync::Arc, time::Duration};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Handshakes under way, at most; who comes then waits in the system's queue.
const HANDSHAKES: usize = 1_024;
/// How long one may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Ready connections that nobody has taken yet.
const READY: usize = 64;

/// The connections of another listener, with TLS.
pub struct Secured<L: Listener> {
    ready: mpsc::Receiver<(TlsStream<L::Io>, L::Addr)>,
    address: L::Addr,
}

impl<L: Listener> Secured<L> {
    /// Begins to take the connections of `listener`.
    ///
    /// # Errors
    /// What the system or the library says.
    pub fn new(listener: L, tls: &Tls) -> io::Result<Self> {
        let config = tls.config().map_err(io::Error::other)?;
        let address = listener.local_addr()?;
        let (ready, receiver) = mpsc::channel(READY);
        tokio::spawn(take(listener, TlsAcceptor::from(Arc::new(config)), ready));
        Ok(Self {
            ready: receiver,
            address,
        })
    }
}

async fn take<L: Listener>(
    mut listener: L,
    acceptor: TlsAcceptor,
    ready: mpsc::Sender<(TlsStream<L::Io>, L::Addr)>,
) {
    let room = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => accepted,
            // The server ends: nobody takes connections any more.
            () = ready.closed() => return,
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            // Who gives up, or speaks something else, is no connection and no line in the log: anybody can do that.
            if let Ok(Ok(stream)) = tokio::time::timeout(TIMEOUT, acceptor.accept(stream)).await {
                // Fails only when the server ends.
                let _ = ready.send((stream, address)).await;
            }
            drop(place);
        });
    }
}

impl<L: Listener<Addr: Clone>> Listener for Secured<L> {
    type Io = TlsStream<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The task that takes connections ends only after this.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<L::Addr> {
        Ok(self.address.clone())
    }
}
