//! One connection that speaks automerge-repo's protocol, version 1: CBOR maps in websocket messages, and how many bytes they took.

use futures_util::{SinkExt as _, StreamExt as _};
use minicbor::{Decoder, Encoder};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

/// What a server says.
pub enum Heard {
    /// A sync message about a document.
    Sync {
        /// Which document.
        document: String,
        /// Automerge's message.
        data: Vec<u8>,
    },
    /// The server has no such document.
    Unavailable,
}

/// A connection after its handshake.
pub struct Line {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    own: String,
    theirs: String,
    /// Bytes of messages sent, without websocket's own.
    pub up_bytes: u64,
    /// Bytes of messages heard.
    pub down_bytes: u64,
}

impl Line {
    /// Connects and joins under `name`. `None` when nobody listens.
    pub async fn join(url: &str, name: &str) -> Option<Self> {
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.ok()?;
        let mut join = Encoder::new(Vec::new());
        join.map(4)
            .and_then(|e| e.str("type")?.str("join"))
            .expect("memory");
        join.str("senderId")
            .and_then(|e| e.str(name))
            .expect("memory");
        join.str("supportedProtocolVersions")
            .and_then(|e| e.array(1)?.str("1"))
            .expect("memory");
        join.str("peerMetadata")
            .and_then(|e| e.map(1)?.str("isEphemeral")?.bool(true))
            .expect("memory");
        socket
            .send(Message::binary(join.into_writer()))
            .await
            .ok()?;
        let mut line = Self {
            socket,
            own: name.to_owned(),
            theirs: String::new(),
            up_bytes: 0,
            down_bytes: 0,
        };
        loop {
            let fields = line.message().await?;
            if fields.kind == "peer" {
                line.theirs = fields.sender;
                return Some(line);
            }
        }
    }

    /// Puts a message about a document on its way; [`Line::flush`] sees it off.
    pub async fn send(&mut self, kind: &str, document: &str, data: &[u8]) -> Option<()> {
        let mut e = Encoder::new(Vec::with_capacity(data.len() + 160));
        e.map(5)
            .and_then(|e| e.str("type")?.str(kind)?.str("documentId")?.str(document))
            .expect("memory");
        e.str("senderId")
            .and_then(|e| e.str(&self.own)?.str("targetId")?.str(&self.theirs))
            .expect("memory");
        e.str("data").and_then(|e| e.bytes(data)).expect("memory");
        let message = e.into_writer();
        self.up_bytes += message.len() as u64;
        self.socket.feed(Message::binary(message)).await.ok()
    }

    /// Everything fed is on the wire.
    pub async fn flush(&mut self) -> Option<()> {
        self.socket.flush().await.ok()
    }

    /// The next message about a document; none when the line is dead.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            let Fields {
                kind,
                document,
                data,
                ..
            } = self.message().await?;
            match kind.as_str() {
                "sync" | "request" => return Some(Heard::Sync { document, data }),
                "doc-unavailable" => return Some(Heard::Unavailable),
                "error" => panic!("the server refused: {data:?}"),
                _ => {}
            }
        }
    }

    async fn message(&mut self) -> Option<Fields> {
        loop {
            match self.socket.next().await?.ok()? {
                Message::Binary(bytes) => {
                    self.down_bytes += bytes.len() as u64;
                    return Some(Fields::read(&bytes).expect("a message of the protocol"));
                }
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }
}

#[derive(Default)]
struct Fields {
    kind: String,
    sender: String,
    document: String,
    data: Vec<u8>,
}

impl Fields {
    fn read(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        let mut fields = Self::default();
        let mut d = Decoder::new(bytes);
        let entries = d.map()?.unwrap_or_default();
        for _ in 0..entries {
            match d.str()? {
                "type" => fields.kind = d.str()?.to_owned(),
                "senderId" => fields.sender = d.str()?.to_owned(),
                "documentId" => fields.document = d.str()?.to_owned(),
                "data" => fields.data = d.bytes()?.to_vec(),
                _ => d.skip()?,
            }
        }
        Ok(fields)
    }
}
