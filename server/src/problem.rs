//! What goes wrong, towards the outside: one type with stable words, as RFC 9457 for programs and as a page for browsers.
//!
//! The cause of an internal error is logged here, once, under the id that the answer carries; it never leaves the server.

use crate::clock;
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use kieumau_core::{invalid::Invalid, problem};
use std::io;

/// An answer that is not what was asked for.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    word: &'static str,
    title: &'static str,
    invalid: Option<Invalid>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    retry_after_s: Option<u32>,
    nonce: Option<String>,
}

/// What handlers return.
pub type Answer<T> = Result<T, Problem>;

impl Problem {
    /// A problem with a status, a stable word, and a sentence for who reads it in English.
    pub const fn new(status: StatusCode, word: &'static str, title: &'static str) -> Self {
        Self {
            status,
            word,
            title,
            invalid: None,
            cause: None,
            retry_after_s: None,
            nonce: None,
        }
    }

    /// 401: the phone's clock is wrong. It may sign for the server's time with this nonce.
    pub fn clock_skew(nonce: String) -> Self {
        let mut problem = Self::new(
            StatusCode::UNAUTHORIZED,
            "clock-skew",
            "The assertion is not of now. Sign for the server's time, with the nonce.",
        );
        problem.nonce = Some(nonce);
        problem
    }

    /// 401: nobody is signed in.
    pub const fn signed_out() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "signed-out", "Sign in first.")
    }

    /// 403: may know, may not do.
    pub const fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "Your role may not do this.",
        )
    }

    /// 404: is not there, or may not even be known.
    pub const fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "There is nothing here for you.",
        )
    }

    /// 409: changed since it was seen.
    pub const fn changed() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "changed-meanwhile",
            "It was changed since you opened it.",
        )
    }

    /// 422: a rule is broken.
    pub fn invalid(invalid: Invalid) -> Self {
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "A field breaks a rule.",
        );
        problem.invalid = Some(invalid);
        problem
    }

    /// 503 with `Retry-After`: try again.
    pub const fn busy(retry_after_s: u32) -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "Try again shortly.",
        );
        problem.retry_after_s = Some(retry_after_s);
        problem
    }

    /// 429 with `Retry-After`: too many tries.
    pub const fn too_many(retry_after_s: u32) -> Self {
        let mut problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-attempts",
            "Too many attempts. Wait.",
        );
        problem.retry_after_s = Some(retry_after_s);
        problem
    }

    /// 507 with `Retry-After`: the disk takes no more; what was acknowledged is safe.
    pub const fn storage_full() -> Self {
        let mut problem = Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "storage-full",
            "The server's storage is full. Try again later.",
        );
        problem.retry_after_s = Some(60);
        problem
    }

    /// 500: our fault; 507 if the cause is a full disk. `cause` is logged when the answer is made.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let cause = cause.into();
        let mut problem = if is_full(cause.as_ref()) {
            Self::storage_full()
        } else {
            Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "The server failed. Try again.",
            )
        };
        problem.cause = Some(cause);
        problem
    }

    /// 500: a handler panicked. What it said may hold anything, so only that it did is logged; where, the process has said already.
    pub fn of_panic(_: Box<dyn std::any::Any + Send>) -> Response {
        Self::internal("a handler panicked").into_response()
    }

    /// Its HTTP status.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Its stable word.
    pub const fn word(&self) -> &'static str {
        self.word
    }

    /// The rule that was broken.
    pub const fn broken(&self) -> Option<&Invalid> {
        self.invalid.as_ref()
    }

    /// Logs an internal cause once and returns the id under which it stands in the log.
    pub fn log(&self) -> String {
        let instance = uuid::Uuid::now_v7().to_string();
        if let Some(cause) = &self.cause {
            tracing::error!(problem.instance = %instance, problem.word = self.word, cause = %chain(cause.as_ref()), "request failed");
        }
        instance
    }

    /// Seconds to wait before trying again, if that helps.
    pub const fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_s
    }
}

/// Whether a disk without room is behind this error: the file system's word, SQLite's or PostgreSQL's.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let here = if let Some(error) = error.downcast_ref::<io::Error>() {
        matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    } else if let Some(sqlx::Error::Database(error)) = error.downcast_ref() {
        // SQLITE_FULL; SQLITE_IOERR_WRITE and SQLITE_IOERR_SHMSIZE, which some file systems give instead; disk_full.
        matches!(
            error.code().as_deref(),
            Some("13" | "778" | "4874" | "53100")
        )
    } else {
        false
    };
    here || error.source().is_some_and(is_full)
}

/// An error and its sources in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = problem::Problem {
            kind: problem::Problem::kind(self.word),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            invalid: self.invalid.clone(),
            instance: self.log(),
            server_time_ms: Some(clock::now_ms()),
            nonce: self.nonce.clone(),
        };
        let json = serde_json::to_vec(&body).expect("a problem is JSON");
        let mut response = (
            self.status,
            [(header::CONTENT_TYPE, problem::PROBLEM_JSON)],
            json,
        )
            .into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::internal(error)
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::invalid(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_has_a_word_of_its_own_however_deep_it_lies() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let problem = Problem::from(sqlx::Error::Io(full()));
        assert_eq!(
            (problem.status(), problem.word()),
            (StatusCode::INSUFFICIENT_STORAGE, "storage-full")
        );
        let deep = object_store::Error::Generic {
            store: "folder",
            source: Box::new(full()),
        };
        assert_eq!(Problem::internal(deep).word(), "storage-full");
        assert_eq!(
            Problem::internal(io::Error::other("else")).word(),
            "internal"
        );
    }
}
