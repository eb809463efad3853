//! What a phone and its server said to each other, as HTTP exchanges out of the bytes that passed on a connection.
//!
//! Every byte is accounted for: bytes that are no whole exchange are an error, so that nothing a phone says goes unlooked at.

use crate::signal::Said;

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// `POST`.
    pub method: String,
    /// `/v1/sync/pull?cursor=`.
    pub target: String,
    /// What the phone sent.
    pub asked: Message,
    /// The answer's status.
    pub status: u16,
    /// What the server sent.
    pub answered: Message,
}

/// A message's type and body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The media type, empty if it names none.
    pub media_type: String,
    /// The content encoding, empty if there is none.
    pub encoding: String,
    /// The body, without its transfer coding.
    pub body: Vec<u8>,
}

/// The exchanges of one connection, in order.
///
/// # Errors
/// What does not fit, in words.
pub fn exchanges(said: &Said) -> Result<Vec<Exchange>, String> {
    let (mut up, mut down) = (said.up.as_slice(), said.down.as_slice());
    let mut exchanges = Vec::new();
    while !up.is_empty() {
        let (method, target, asked) = request(&mut up)?;
        let (mut status, mut answered) = response(&mut down)?;
        while status / 100 == 1 {
            (status, answered) = response(&mut down)?;
        }
        exchanges.push(Exchange {
            method,
            target,
            asked,
            status,
            answered,
        });
    }
    match down {
        [] => Ok(exchanges),
        more => Err(format!("{} bytes that nobody asked for", more.len())),
    }
}

fn request(bytes: &mut &[u8]) -> Result<(String, String, Message), String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let end = whole(request.parse(bytes))?;
    let method = request.method.unwrap_or_default().to_owned();
    let target = request.path.unwrap_or_default().to_owned();
    let message = message(request.headers, bytes, end)?;
    Ok((method, target, message))
}

fn response(bytes: &mut &[u8]) -> Result<(u16, Message), String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let end = whole(response.parse(bytes))?;
    let status = response.code.unwrap_or_default();
    let message = message(response.headers, bytes, end)?;
    Ok((status, message))
}

fn whole(parsed: httparse::Result<usize>) -> Result<usize, String> {
    match parsed {
        Ok(httparse::Status::Complete(end)) => Ok(end),
        Ok(httparse::Status::Partial) => Err("a head that was cut".to_owned()),
        Err(error) => Err(format!("no head: {error}")),
    }
}

/// The message whose head ends at `end`, taken off `bytes` with its body.
fn message(
    headers: &[httparse::Header<'_>],
    bytes: &mut &[u8],
    end: usize,
) -> Result<Message, String> {
    let named = |name: &str| {
        let found = headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        found.map_or(String::new(), |header| {
            String::from_utf8_lossy(header.value).into_owned()
        })
    };
    *bytes = &bytes[end..];
    let body = if named("transfer-encoding").eq_ignore_ascii_case("chunked") {
        chunked(bytes)?
    } else {
        let length = named("content-length");
        let length = match length.as_str() {
            "" => 0,
            text => text.parse().map_err(|_| format!("a length of {text}"))?,
        };
        take(bytes, length)?.to_vec()
    };
    let media_type = named("content-type");
    Ok(Message {
        media_type: media_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned(),
        encoding: named("content-encoding"),
        body,
    })
}

fn chunked(bytes: &mut &[u8]) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        let Ok(httparse::Status::Complete((end, size))) = httparse::parse_chunk_size(bytes) else {
            return Err("a chunk without its size".to_owned());
        };
        *bytes = &bytes[end..];
        let size = usize::try_from(size).map_err(|_| "a chunk too large".to_owned())?;
        body.extend_from_slice(take(bytes, size)?);
        take(bytes, 2)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], size: usize) -> Result<&'a [u8], String> {
    let (taken, rest) = bytes
        .split_at_checked(size)
        .ok_or_else(|| format!("{} of {size} bytes of a body", bytes.len()))?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(up: &[u8], down: &[u8]) -> Said {
        Said {
            up: up.to_vec(),
            down: down.to_vec(),
        }
    }

    #[test]
    fn two_exchanges_on_one_connection_are_told_apart_and_a_cut_one_is_said() {
        let up = b"POST /a HTTP/1.1\r\ncontent-type: x/y; z\r\ncontent-length: 2\r\n\r\nhiGET /b HTTP/1.1\r\n\r\n";
        let down = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        let exchanges = super::exchanges(&said(up, down)).expect("whole");
        assert_eq!(exchanges.len(), 2);
        assert_eq!(
            (
                exchanges[0].asked.media_type.as_str(),
                &exchanges[0].asked.body[..]
            ),
            ("x/y", &b"hi"[..])
        );
        assert_eq!(exchanges[0].answered.body, b"abc");
        assert_eq!(
            (exchanges[1].target.as_str(), exchanges[1].status),
            ("/b", 204)
        );
        for cut in 1..down.len() {
            assert!(
                super::exchanges(&said(up, &down[..cut])).is_err(),
                "cut at {cut}"
            );
        }
        assert!(super::exchanges(&said(b"", b"HTTP/1.1 200 OK\r\n\r\n")).is_err());
    }
}
