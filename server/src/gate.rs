//! The gate: which connections are let in, and when one is let go. A connection costs nothing of HTTP before it has said
//! something; those that say nothing make way, the oldest first, and so nobody who speaks waits behind them.
//!
//! Who trickles is let go too: a line counts as alive while the server writes to it, or while it brings some bytes a minute. A phone
//! on 2 kB/s is far above that, and a page that listens is written to.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{AbortHandle, JoinSet},
    time::{Instant, Sleep, sleep},
};

/// Connections that have said nothing yet; one more, and the oldest makes way.
const SILENT: usize = 512;
/// How long one may say nothing.
const SILENCE: Duration = Duration::from_secs(10);
/// Connections that have spoken, at most.
pub const OPEN: usize = 4_096;
/// How long a line is watched at a time.
const WINDOW: Duration = Duration::from_secs(60);
/// What it must bring in a window in which nothing was written to it, bytes.
const WINDOW_BYTES: usize = 128;

/// A listener that lets in who speaks.
#[derive(Debug)]
pub struct Gate {
    local: SocketAddr,
    spoken: mpsc::Receiver<(TcpStream, SocketAddr)>,
    room: Arc<Semaphore>,
}

impl Gate {
    /// The gate of `listener`, from inside a runtime.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(listener: TcpListener) -> io::Result<Self> {
        // Each connection is a file: the system's default of 1,024 is for programs that open files.
        rlimit::increase_nofile_limit(u64::MAX)?;
        let local = listener.local_addr()?;
        let (speaks, spoken) = mpsc::channel(64);
        tokio::spawn(listen(listener, speaks));
        Ok(Self {
            local,
            spoken,
            room: Arc::new(Semaphore::new(OPEN)),
        })
    }

    async fn next(&mut self) -> Option<(Line, SocketAddr)> {
        let room = Arc::clone(&self.room).acquire_owned().await.ok()?;
        let (stream, from) = self.spoken.recv().await?;
        Some((Line::new(stream, room, WINDOW), from))
    }
}

impl axum::serve::Listener for Gate {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        match self.next().await {
            Some(accepted) => accepted,
            // The listening task never ends before the runtime does.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

/// Accepts for ever, and hands on who says something.
async fn listen(listener: TcpListener, speaks: mpsc::Sender<(TcpStream, SocketAddr)>) {
    let mut silent = JoinSet::new();
    let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        while silent.try_join_next().is_some() {}
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of files or memory, or the other side is gone already: what is open goes on.
                tracing::warn!(cause = %error, "a connection could not be accepted");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        while oldest.front().is_some_and(AbortHandle::is_finished) {
            oldest.pop_front();
        }
        if oldest.len() >= SILENT {
            oldest.retain(|task| !task.is_finished());
        }
        if oldest.len() >= SILENT
            && let Some(makes_way) = oldest.pop_front()
        {
            makes_way.abort();
        }
        let speaks = speaks.clone();
        oldest.push_back(silent.spawn(async move {
            // Its first byte, which stays where it is. `readable` may say so of one that has said nothing.
            let spoke = tokio::time::timeout(SILENCE, stream.peek(&mut [0])).await;
            if matches!(spoke, Ok(Ok(1))) {
                let _ = speaks.send((stream, from)).await;
            }
        }));
    }
}

/// A connection that was let in, watched for as long as it is open.
#[derive(Debug)]
pub struct Line {
    stream: TcpStream,
    /// How long a window is.
    lasts: Duration,
    window: Pin<Box<Sleep>>,
    /// Bytes that came in this window.
    came: usize,
    /// Whether something was written in it.
    written: bool,
    // Given back when the connection ends.
    _room: OwnedSemaphorePermit,
}

impl Line {
    fn new(stream: TcpStream, room: OwnedSemaphorePermit, lasts: Duration) -> Self {
        // An answer is one write; there is nothing to gather.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            lasts,
            window: Box::pin(sleep(lasts)),
            came: 0,
            written: false,
            _room: room,
        }
    }

    /// An error when a window ends in which the line was not alive.
    fn watch(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.window.as_mut().poll(cx));
            if !self.written && self.came < WINDOW_BYTES {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            (self.came, self.written) = (0, false);
            let next = Instant::now() + self.lasts;
            self.window.as_mut().reset(next);
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, into) {
            self.came += into.filled().len() - before;
            return Poll::Ready(read);
        }
        self.watch(cx).map(Err)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(cx, bytes) {
            self.written |= written.as_ref().is_ok_and(|count| *count > 0);
            return Poll::Ready(written);
        }
        // Who asks and does not listen is let go as well.
        self.watch(cx).map(Err)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write_vectored(cx, parts) {
            self.written |= written.as_ref().is_ok_and(|count| *count > 0);
            return Poll::Ready(written);
        }
        self.watch(cx).map(Err)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, routing};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    /// Serves "ok"; where.
    async fn served(gate: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let router = Router::new().route("/", routing::get(async || "ok"));
        if gate {
            let gate = Gate::open(listener).expect("opens");
            tokio::spawn(axum::serve(gate, router).into_future());
        } else {
            tokio::spawn(axum::serve(listener, router).into_future());
        }
        at
    }

    /// Whether the first of more silent connections than there may be is still open.
    async fn first_is_open(at: SocketAddr) -> bool {
        let mut silent = Vec::new();
        for _ in 0..=SILENT {
            silent.push(TcpStream::connect(at).await.expect("connects"));
        }
        let mut asks = TcpStream::connect(at).await.expect("connects");
        asks.write_all(ASKED).await.expect("asked");
        let mut answer = String::new();
        asks.read_to_string(&mut answer).await.expect("answered");
        assert!(answer.ends_with("ok"), "{answer}");
        let wait = Duration::from_secs(2);
        let ended = tokio::time::timeout(wait, silent[0].read(&mut [0])).await;
        ended.is_err()
    }

    #[tokio::test]
    async fn who_says_nothing_makes_way_and_who_asks_is_answered() {
        assert!(!first_is_open(served(true).await).await);
        // The twin: without the gate every silent connection stays.
        assert!(first_is_open(served(false).await).await);
    }

    #[tokio::test]
    async fn who_trickles_is_let_go_and_who_is_slow_is_not() {
        assert_eq!(line_at(1).await, Some(io::ErrorKind::TimedOut));
        assert_eq!(line_at(WINDOW_BYTES).await, None);
    }

    /// How a line ends, three windows long, that brings so many bytes five times in each.
    async fn line_at(bytes: usize) -> Option<io::ErrorKind> {
        let window = Duration::from_millis(500);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let mut sends = TcpStream::connect(at).await.expect("connects");
        let (stream, _) = listener.accept().await.expect("accepts");
        let room = Arc::new(Semaphore::new(1));
        let room = room.acquire_owned().await.expect("room");
        let mut line = Line::new(stream, room, window);
        let sending = tokio::spawn(async move {
            for _ in 0..15 {
                if sends.write_all(&vec![b'x'; bytes]).await.is_err() {
                    break;
                }
                sleep(window / 5).await;
            }
        });
        let mut left = 15 * bytes;
        while left > 0 {
            match line.read(&mut vec![0; left]).await {
                Ok(0) => break,
                Ok(read) => left -= read,
                Err(error) => return Some(error.kind()),
            }
        }
        sending.await.expect("it sent");
        None
    }
}
