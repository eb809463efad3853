//! The phone's side of HTTP: one request in, one typed answer out. It decides nothing; `exchange` does.
//!
//! An answer that is not our server's (a hotel's sign-in page, a proxy's error) counts as no answer.

use super::{
    error::{PhoneError, Unreached},
    pinned,
    refusal::{Refusal, signed_out},
};
use crate::{
    attachment::SIZE_LIMIT_BYTES,
    enrolment::{Enrolled, NewPhone, PHONES},
    hash::Sha256,
    invalid::{Invalid, Rule},
    jws,
    live::{EVENT_STREAM, LIVE},
    pin::PINS_PATH,
    problem::PROBLEM_JSON,
    rescue::{RESCUE, Taken},
    token::{ASSERTION_TYP, AccessToken, Assertion, TOKEN},
    wire::{self, After, Compare, Compared, Fetch, Push, Pushed},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use reqwest::{
    Body, Method, RequestBuilder, Response, Url,
    header::{
        ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
    },
};
use std::{io::Read as _, time::Duration};
use tokio_util::io::ReaderStream;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing may arrive in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a file in one request at most.
pub(super) const UPLOAD_CHUNK: usize = 1 << 20;

/// What the server says to an assertion.
pub(super) enum Granted {
    /// Come in.
    Token(AccessToken),
    /// The assertion is not of now.
    Skew(Skew),
}

/// The server's time, for an assertion that repeats its nonce.
pub(super) struct Skew {
    /// Unix milliseconds.
    pub(super) server_time_ms: i64,
    pub(super) nonce: String,
}

impl Skew {
    fn told(refusal: &Refusal) -> Option<Self> {
        let problem = refusal.problem.as_ref()?;
        (problem.word() == "clock-skew").then_some(())?;
        Some(Self {
            server_time_ms: problem.server_time_ms?,
            nonce: problem.nonce.clone()?,
        })
    }
}

/// An answer that goes on.
pub(super) struct Stream(Response);

impl Stream {
    /// The next bytes; none at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, PhoneError> {
        let bytes = self.0.chunk().await.map_err(|error| unanswered(&error))?;
        Ok(bytes.map(|bytes| bytes.to_vec()))
    }
}

/// Talks to one server.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    server_url: String,
}

impl Client {
    /// A client of the server at `server_url`, which is whoever holds one of the keys behind `pins`.
    ///
    /// # Errors
    /// `Invalid` at `server_url` or `pin` for a way that could be listened to; `Internal` if no client can be built.
    pub(super) fn new(server_url: &str, pins: &[Sha256]) -> Result<Self, PhoneError> {
        Self::that_waits(server_url, pins, READ_TIMEOUT)
    }

    /// A client that bears so long a silence: a server that takes a large rescue file says nothing until it is done.
    pub(super) fn that_waits(
        server_url: &str,
        pins: &[Sha256],
        silence: Duration,
    ) -> Result<Self, PhoneError> {
        check_way(server_url, pins)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(pinned::config(pins)?)
            // Nothing leaves the premises by way of somebody's proxy.
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(silence)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(PhoneError::internal)?;
        Ok(Self {
            http,
            server_url: server_url.to_owned(),
        })
    }

    fn request(&self, method: Method, path: &str, token: Option<&AccessToken>) -> RequestBuilder {
        let url = format!("{}{path}", self.server_url);
        let request = self
            .http
            .request(method, url)
            .header(wire::VERSION_HEADER, wire::VERSION);
        match token {
            Some(token) => request.bearer_auth(&token.access_token),
            None => request,
        }
    }

    /// Enrols this phone.
    pub(super) async fn enrol(&self, new: &NewPhone) -> Result<Enrolled, PhoneError> {
        let body = serde_json::to_vec(new).map_err(PhoneError::internal)?;
        let request = self
            .request(Method::POST, PHONES, None)
            .header(CONTENT_TYPE, "application/json");
        let answer = send(request.body(body)).await?;
        serde_json::from_slice(&body_of(answer, "application/json").await?).map_err(|_| not_ours())
    }

    /// Asks for an access token (RFC 7523).
    pub(super) async fn token(
        &self,
        key: &SigningKey,
        assertion: &Assertion,
    ) -> Result<Granted, PhoneError> {
        let jwt = jws::sign(key, ASSERTION_TYP, &assertion.sub, assertion);
        let form = format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={jwt}"
        );
        let request = self
            .request(Method::POST, TOKEN, None)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let answer = request.send().await.map_err(|error| unanswered(&error))?;
        if !answer.status().is_success() {
            let refusal = refused(answer).await;
            return match Skew::told(&refusal) {
                Some(skew) => Ok(Granted::Skew(skew)),
                None => Err(refusal.into()),
            };
        }
        let token = body_of(answer, "application/json").await?;
        serde_json::from_slice(&token)
            .map(Granted::Token)
            .map_err(|_| not_ours())
    }

    /// Pushes; what the server has on its disk, and how many bytes were sent.
    pub(super) async fn push(
        &self,
        token: &AccessToken,
        push: &Push,
    ) -> Result<(Pushed, usize), PhoneError> {
        let body = minicbor::to_vec(push).map_err(PhoneError::internal)?;
        let size = body.len();
        let request = self
            .request(Method::POST, wire::PUSH, Some(token))
            .header(CONTENT_TYPE, wire::CBOR)
            .body(body);
        let answer = body_of(send(request).await?, wire::CBOR).await?;
        let pushed = minicbor::decode(&answer).map_err(|_| not_ours())?;
        Ok((pushed, size))
    }

    /// Fetches what comes after a cursor: a sequence of [`wire::Pulled`].
    pub(super) async fn pull(
        &self,
        token: &AccessToken,
        after: &After,
    ) -> Result<Vec<u8>, PhoneError> {
        let path = format!("{}?{}", wire::PULL, after.query());
        let request = self
            .request(Method::GET, &path, Some(token))
            .header(ACCEPT_ENCODING, wire::ZSTD);
        body_of(send(request).await?, wire::CBOR_SEQUENCE).await
    }

    /// Fetches documents by their ids: a sequence of [`wire::Pulled`].
    pub(super) async fn fetch(
        &self,
        token: &AccessToken,
        fetch: &Fetch,
    ) -> Result<Vec<u8>, PhoneError> {
        let request = self
            .request(Method::POST, wire::FETCH, Some(token))
            .header(ACCEPT_ENCODING, wire::ZSTD)
            .header(CONTENT_TYPE, wire::CBOR)
            .body(minicbor::to_vec(fetch).map_err(PhoneError::internal)?);
        body_of(send(request).await?, wire::CBOR_SEQUENCE).await
    }

    /// Tells what is here, and hears what differs.
    pub(super) async fn compare(
        &self,
        token: &AccessToken,
        compare: &Compare,
    ) -> Result<Compared, PhoneError> {
        let request = self
            .request(Method::POST, wire::COMPARE, Some(token))
            .header(CONTENT_TYPE, wire::CBOR)
            .body(minicbor::to_vec(compare).map_err(PhoneError::internal)?);
        let answer = body_of(send(request).await?, wire::CBOR).await?;
        minicbor::decode(&answer).map_err(|_| not_ours())
    }

    /// The pins that the server announces to anybody, as a token that its log's key signed.
    pub(super) async fn pins(&self) -> Result<String, PhoneError> {
        let answer = send(self.request(Method::GET, PINS_PATH, None)).await?;
        String::from_utf8(body_of(answer, "text/plain").await?).map_err(|_| not_ours())
    }

    /// Opens the stream that says how far the feed is.
    pub(super) async fn live(&self, token: &AccessToken) -> Result<Stream, PhoneError> {
        let answer = send(self.request(Method::GET, LIVE, Some(token))).await?;
        if header(&answer, CONTENT_TYPE.as_str()).is_none_or(|is| !is.starts_with(EVENT_STREAM)) {
            return Err(not_ours());
        }
        Ok(Stream(answer))
    }

    /// Hands in a rescue file; what became of it.
    pub(super) async fn rescue(
        &self,
        token: &AccessToken,
        file: tokio::fs::File,
    ) -> Result<Taken, PhoneError> {
        let size_bytes = file.metadata().await?.len();
        let request = self
            .request(Method::POST, RESCUE, Some(token))
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size_bytes)
            .body(Body::wrap_stream(ReaderStream::new(file)));
        let answer = send(request).await?;
        serde_json::from_slice(&body_of(answer, "application/json").await?).map_err(|_| not_ours())
    }

    /// Fetches a file whole. Whether it is the one that was asked for, its hash says.
    pub(super) async fn attachment(
        &self,
        token: &AccessToken,
        sha256: Sha256,
    ) -> Result<Vec<u8>, PhoneError> {
        let path = format!("/v1/attachments/{sha256}");
        let mut answer = send(self.request(Method::GET, &path, Some(token))).await?;
        let mut file = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| unanswered(&error))? {
            if (file.len() + chunk.len()) as u64 > SIZE_LIMIT_BYTES {
                return Err(not_ours());
            }
            file.extend_from_slice(&chunk);
        }
        Ok(file)
    }

    /// Creates an upload (tus 1.0), of a file or of the small picture of one, and returns where it is.
    pub(super) async fn create_upload(
        &self,
        token: &AccessToken,
        sha256: Sha256,
        size_bytes: u64,
        preview_of: Option<Sha256>,
    ) -> Result<String, PhoneError> {
        let mut metadata = format!("sha256 {}", STANDARD.encode(sha256.to_string()));
        if let Some(of) = preview_of {
            let of = STANDARD.encode(of.to_string());
            metadata.push_str(&format!(",preview-of {of}"));
        }
        let request = self
            .request(Method::POST, "/v1/attachments", Some(token))
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Length", size_bytes)
            .header("Upload-Metadata", metadata);
        let answer = send(request).await?;
        header(&answer, "location")
            .map(str::to_owned)
            .ok_or_else(not_ours)
    }

    /// How many bytes of an upload the server has.
    pub(super) async fn upload_offset(
        &self,
        token: &AccessToken,
        url: &str,
    ) -> Result<u64, PhoneError> {
        let request = self
            .request(Method::HEAD, url, Some(token))
            .header("Tus-Resumable", "1.0.0");
        let answer = send(request).await?;
        header(&answer, "upload-offset")
            .and_then(|offset| offset.parse().ok())
            .ok_or_else(not_ours)
    }

    /// Sends the next bytes of an upload; answers how many the server has now.
    pub(super) async fn upload(
        &self,
        token: &AccessToken,
        url: &str,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Result<u64, PhoneError> {
        let checksum = format!("sha256 {}", STANDARD.encode(Sha256::of(&bytes).as_bytes()));
        let request = self
            .request(Method::PATCH, url, Some(token))
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Offset", offset)
            .header("Upload-Checksum", checksum)
            .header(CONTENT_TYPE, "application/offset+octet-stream")
            .body(bytes);
        let answer = send(request).await?;
        header(&answer, "upload-offset")
            .and_then(|offset| offset.parse().ok())
            .ok_or_else(not_ours)
    }
}

/// Refuses a way on which anybody could listen or answer: HTTP beyond this machine, TLS without a key to hold the server to.
fn check_way(server_url: &str, pins: &[Sha256]) -> Result<(), Invalid> {
    let malformed = || Invalid::new("server_url", Rule::Malformed);
    let url = Url::parse(server_url).map_err(|_| malformed())?;
    match url.scheme() {
        "https" if pins.is_empty() => Err(Invalid::new("pin", Rule::Required)),
        "https" => Ok(()),
        "http" if url.host_str().is_some_and(is_loopback) => Ok(()),
        _ => Err(malformed()),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
}

/// What a compressed answer says, at most `limit` bytes of it: a few bytes can stand for gigabytes.
fn inflate(compressed: &[u8], limit: usize) -> Result<Vec<u8>, PhoneError> {
    let mut decoder = zstd::stream::read::Decoder::new(compressed).map_err(|_| not_ours())?;
    decoder
        .window_log_max(wire::ZSTD_WINDOW_LOG)
        .map_err(PhoneError::internal)?;
    let mut inflated = Vec::new();
    decoder
        .take(limit as u64 + 1)
        .read_to_end(&mut inflated)
        .map_err(|_| not_ours())?;
    if inflated.len() > limit {
        return Err(too_large());
    }
    Ok(inflated)
}

/// An answer that is not our server's is as good as none.
fn not_ours() -> PhoneError {
    PhoneError::offline(Unreached::NotOurs)
}

/// What it means that no answer came. Another key is no bad line: somebody else answers, and nothing was sent to them.
fn unanswered(error: &reqwest::Error) -> PhoneError {
    if pinned::is_another_key(error) {
        signed_out(pinned::ANOTHER_KEY)
    } else {
        PhoneError::offline(Unreached::NoAnswer)
    }
}

async fn send(request: RequestBuilder) -> Result<Response, PhoneError> {
    let answer = request.send().await.map_err(|error| unanswered(&error))?;
    if answer.status().is_success() {
        Ok(answer)
    } else {
        Err(refused(answer).await.into())
    }
}

/// What the server said that is no success.
async fn refused(answer: Response) -> Refusal {
    let retry_after_s =
        header(&answer, RETRY_AFTER.as_str()).and_then(|seconds| seconds.parse().ok());
    let status = answer.status().as_u16();
    let is_ours =
        answer.headers().get(CONTENT_TYPE) == Some(&HeaderValue::from_static(PROBLEM_JSON));
    let problem = match answer.bytes().await {
        Ok(body) if is_ours => serde_json::from_slice(&body).ok(),
        _ => None,
    };
    Refusal {
        status,
        is_ours,
        problem,
        retry_after_s,
    }
}

/// The body, if it is what was asked for.
async fn body_of(mut answer: Response, media_type: &str) -> Result<Vec<u8>, PhoneError> {
    if header(&answer, CONTENT_TYPE.as_str()).is_none_or(|is| !is.starts_with(media_type)) {
        return Err(not_ours());
    }
    let compressed = match header(&answer, CONTENT_ENCODING.as_str()) {
        None => false,
        Some(wire::ZSTD) => true,
        Some(_) => return Err(not_ours()),
    };
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unanswered(&error))? {
        if body.len() + chunk.len() > wire::ANSWER_LIMIT_BYTES {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    if compressed {
        inflate(&body, wire::ANSWER_LIMIT_BYTES)
    } else {
        Ok(body)
    }
}

fn too_large() -> PhoneError {
    PhoneError::internal("the server's answer is too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_inflates_beyond_the_limit_is_refused_before_it_is_held() {
        let limit = 1 << 20;
        let zeros = |bytes: usize| zstd::bulk::compress(&vec![0; bytes], 1).expect("compresses");
        assert_eq!(inflate(&zeros(limit), limit).expect("fits").len(), limit);
        let bomb = zeros(256 << 20);
        assert!(bomb.len() < 64 << 10, "{} bytes", bomb.len());
        assert!(matches!(
            inflate(&bomb, limit),
            Err(PhoneError::Internal { .. })
        ));
        // The twin: without the limit it is all there.
        assert_eq!(
            inflate(&bomb, usize::MAX - 1).expect("inflates").len(),
            256 << 20
        );
        assert!(inflate(&zeros(limit)[..20], limit).is_err(), "cut");
        assert!(inflate(b"no frame", limit).is_err());
    }

    #[test]
    fn a_way_that_could_be_listened_to_is_refused() {
        let pin = [Sha256::of(b"a key")];
        for url in [
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://localhost:8080",
        ] {
            assert_eq!(check_way(url, &[]), Ok(()), "{url}");
        }
        for url in [
            "http://10.0.0.5:8080",
            "http://kieumau.example",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "ftp://127.0.0.1",
            "",
        ] {
            let malformed = Invalid::new("server_url", Rule::Malformed);
            assert_eq!(check_way(url, &pin), Err(malformed), "{url}");
        }
        let beyond = "https://10.0.0.5:8443";
        assert_eq!(check_way(beyond, &pin), Ok(()));
        let unpinned = Err(Invalid::new("pin", Rule::Required));
        assert_eq!(check_way(beyond, &[]), unpinned);
    }
}
