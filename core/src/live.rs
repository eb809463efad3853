//! Live: server-sent events that say how far a feed may be served, and nothing of what is in it. Who hears one asks as always.
//!
//! The reader of such a stream lives here, data to data: bytes come in pieces that end anywhere, and no stream may fill the memory.

use crate::id::UnitId;
use serde::{Deserialize, Serialize};

/// Path of the stream for phones.
pub const LIVE: &str = "/v1/sync/live";
/// Its media type.
pub const EVENT_STREAM: &str = "text/event-stream";
/// The event's name.
pub const FEED: &str = "feed";
/// Something comes at least so often, if only a comment, seconds: a silent stream is a dead one.
pub const HEARTBEAT_S: u64 = 15;
/// The longest line that is read, bytes.
const LINE: usize = 4 << 10;

/// A feed may be served up to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedAt {
    /// Whose feed.
    pub unit: UnitId,
    /// The number of its last entry that may be served.
    pub number: i64,
}

/// The stream said something that no server of ours says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a stream of feeds")]
pub struct NotLive;

/// Reads a stream piece by piece.
#[derive(Debug, Default)]
pub struct Hearing {
    line: Vec<u8>,
    event: String,
    data: String,
}

impl Hearing {
    /// Takes the next bytes; what they complete, in order.
    ///
    /// # Errors
    /// `NotLive` for a line without end, or an event that cannot be read.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<Vec<FeedAt>, NotLive> {
        let mut heard = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    heard.extend(self.line(&line)?);
                }
                _ if self.line.len() == LINE => return Err(NotLive),
                byte => self.line.push(*byte),
            }
        }
        Ok(heard)
    }

    /// Takes one line; the event that an empty one completes. Events of other names are a later version's, and passed over.
    fn line(&mut self, line: &[u8]) -> Result<Option<FeedAt>, NotLive> {
        let line = std::str::from_utf8(line).map_err(|_| NotLive)?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            let (event, data) = (
                std::mem::take(&mut self.event),
                std::mem::take(&mut self.data),
            );
            return match event.as_str() {
                FEED => serde_json::from_str(&data).map(Some).map_err(|_| NotLive),
                _ => Ok(None),
            };
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" if self.data.len() + value.len() > LINE => return Err(NotLive),
            "data" => self.data.push_str(value),
            // A comment, which is a heartbeat, or a field of a later version.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(number: i64) -> FeedAt {
        FeedAt {
            unit: UnitId::from_bytes([7; 16]),
            number,
        }
    }

    fn stream() -> String {
        let data = |number| serde_json::to_string(&at(number)).expect("JSON");
        format!(
            ":\n\nevent: feed\ndata: {}\n\nevent: later\ndata: ?\n\nid: 9\r\nevent:feed\r\ndata:{}\r\n\r\n",
            data(1),
            data(2)
        )
    }

    #[test]
    fn a_stream_is_read_wherever_its_pieces_end() {
        let stream = stream();
        for cut in 0..stream.len() {
            let (one, other) = stream.as_bytes().split_at(cut);
            let mut hearing = Hearing::default();
            let mut heard = hearing.hear(one).expect("reads");
            heard.extend(hearing.hear(other).expect("reads"));
            assert_eq!(heard, [at(1), at(2)], "cut at {cut}");
        }
    }

    #[test]
    fn an_event_that_is_not_whole_is_not_heard() {
        let mut hearing = Hearing::default();
        let whole = stream();
        let begun = whole.trim_end();
        assert_eq!(hearing.hear(begun.as_bytes()), Ok(vec![at(1)]));
    }

    #[test]
    fn a_stream_without_end_fills_no_memory() {
        for endless in [vec![b'a'; LINE + 1], b"data: aaaaaaa\n".repeat(LINE)] {
            assert_eq!(Hearing::default().hear(&endless), Err(NotLive));
        }
        assert_eq!(
            Hearing::default().hear(b"event: feed\ndata: {}\n\n"),
            Err(NotLive)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = Hearing::default().hear(&bytes);
        }
    }
}
