//! The phone's side of HTTP: one request in, one typed answer out. It decides nothing; `exchange` does.
//!
//! An answer that is not our server's (a hotel's sign-in page, a proxy's error) counts as no answer.

use super::error::PhoneError;
use crate::{
    enrolment::{Enrolled, NewPhone, PHONES},
    hash::Sha256,
    id::PhoneId,
    jws,
    problem::{PROBLEM_JSON, Problem},
    rescue::{RESCUE, Taken},
    token::{ASSERTION_TYP, AccessToken, Assertion, TOKEN},
    wire::{self, After, Pulled, Push, Pushed},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::SigningKey;
use reqwest::{
    Body, Method, RequestBuilder, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use std::time::Duration;
use tokio_util::io::ReaderStream;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing may arrive in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a file in one request at most.
pub(super) const UPLOAD_CHUNK: usize = 1 << 20;
/// The largest answer that is read, bytes.
const ANSWER_LIMIT: usize = 64 << 20;

/// Talks to one server.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    server_url: String,
}

impl Client {
    /// # Errors
    /// `Invalid` is not checked here; `Internal` if no client can be built.
    pub(super) fn new(server_url: &str) -> Result<Self, PhoneError> {
        Self::that_waits(server_url, READ_TIMEOUT)
    }

    /// A client that bears so long a silence: a server that takes a large rescue file says nothing until it is done.
    pub(super) fn that_waits(server_url: &str, silence: Duration) -> Result<Self, PhoneError> {
        let http = reqwest::Client::builder()
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
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.server_url)
        };
        let request = self.http.request(method, url);
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

    /// Gets an access token (RFC 7523). `now_ms` is the server's time as far as the phone knows it.
    pub(super) async fn token(
        &self,
        phone: PhoneId,
        key: &SigningKey,
        now_ms: i64,
        nonce: [u8; 16],
    ) -> Result<AccessToken, PhoneError> {
        let assertion = Assertion::new(phone, now_ms.div_euclid(1_000), nonce);
        let jwt = jws::sign(key, ASSERTION_TYP, &phone.to_string(), &assertion);
        let form = format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={jwt}"
        );
        let request = self
            .request(Method::POST, TOKEN, None)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let answer = send(request).await?;
        serde_json::from_slice(&body_of(answer, "application/json").await?).map_err(|_| not_ours())
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

    /// Fetches what comes after a cursor.
    pub(super) async fn pull(
        &self,
        token: &AccessToken,
        after: &After,
    ) -> Result<Vec<Pulled>, PhoneError> {
        let path = format!("{}?{}", wire::PULL, after.query());
        let answer = body_of(
            send(self.request(Method::GET, &path, Some(token))).await?,
            wire::CBOR_SEQUENCE,
        )
        .await?;
        sequence(&answer)
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

    /// Creates an upload (tus 1.0) and returns where it is.
    pub(super) async fn create_upload(
        &self,
        token: &AccessToken,
        sha256: Sha256,
        size_bytes: u64,
    ) -> Result<String, PhoneError> {
        let metadata = format!("sha256 {}", STANDARD.encode(sha256.to_string()));
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

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
}

/// The items of a page; one that is cut is as good as none.
pub(super) fn sequence(page: &[u8]) -> Result<Vec<Pulled>, PhoneError> {
    wire::sequence(page).ok_or_else(not_ours)
}

/// An answer that is not our server's is as good as none.
fn not_ours() -> PhoneError {
    PhoneError::Offline {
        retry_after_s: None,
    }
}

async fn send(request: RequestBuilder) -> Result<Response, PhoneError> {
    let answer = request.send().await.map_err(|_| not_ours())?;
    if answer.status().is_success() {
        Ok(answer)
    } else {
        Err(refused(answer).await)
    }
}

/// What a refusal means to the phone.
async fn refused(answer: Response) -> PhoneError {
    let status = answer.status();
    let retry_after_s =
        header(&answer, RETRY_AFTER.as_str()).and_then(|seconds| seconds.parse().ok());
    let is_problem =
        answer.headers().get(CONTENT_TYPE) == Some(&HeaderValue::from_static(PROBLEM_JSON));
    let problem: Option<Problem> = match answer.bytes().await {
        Ok(body) if is_problem => serde_json::from_slice(&body).ok(),
        _ => None,
    };
    match problem {
        // Locked: an earlier request of this phone, broken off here, is still being read there.
        _ if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::LOCKED
        ) =>
        {
            PhoneError::Offline { retry_after_s }
        }
        Some(problem) if problem.word() == "clock-skew" => PhoneError::SignedOut {
            word: format!("clock-skew {}", problem.server_time_ms.unwrap_or_default()),
        },
        Some(Problem {
            invalid: Some(invalid),
            ..
        }) => PhoneError::Invalid(invalid),
        Some(problem) if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN => {
            PhoneError::SignedOut {
                word: problem.word().to_owned(),
            }
        }
        Some(problem) if !problem.word().is_empty() && status.is_client_error() => {
            PhoneError::SignedOut {
                word: problem.word().to_owned(),
            }
        }
        // The answer to a HEAD has no body and so no word; its status is one of ours all the same.
        None if is_problem => match status {
            StatusCode::UNAUTHORIZED => signed_out("token-refused"),
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => signed_out("not-found"),
            _ => PhoneError::Offline { retry_after_s },
        },
        _ => PhoneError::Offline { retry_after_s },
    }
}

fn signed_out(word: &str) -> PhoneError {
    PhoneError::SignedOut {
        word: word.to_owned(),
    }
}

/// The body, if it is what was asked for.
async fn body_of(mut answer: Response, media_type: &str) -> Result<Vec<u8>, PhoneError> {
    if header(&answer, CONTENT_TYPE.as_str()).is_none_or(|is| !is.starts_with(media_type)) {
        return Err(not_ours());
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| not_ours())? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err(PhoneError::internal("the server's answer is too large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
