//! What can go wrong on a phone, as the six things an app can act on.

use crate::{
    document::DocumentError,
    invalid::{Invalid, Rule},
};

/// An error at the phone's border. Carries facts; the app words them.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    /// A rule is broken: say which field.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is no such thing on this phone.
    #[error("not on this phone")]
    NotFound,
    /// The server cannot be reached, or says to come back; everything recorded is safe.
    #[error("the server cannot be reached: {why:?}")]
    Offline {
        /// When the server asked to be left alone for so long, seconds.
        retry_after_s: Option<u32>,
        /// What is known of why.
        why: Unreached,
    },
    /// The server does not let this phone in. `word` is the problem's stable word: `phone-revoked`, `code-expired`,
    /// `upgrade-needed`; or this phone does not believe that it is its server: `another-key`, `another-server`.
    #[error("not let in: {word}")]
    SignedOut {
        /// The problem's stable word.
        word: String,
    },
    /// The disk takes no more; what was shown as saved is safe.
    #[error("the storage is full")]
    StorageFull,
    /// Our fault.
    #[error("internal: {detail}")]
    Internal {
        /// What happened, without content.
        detail: String,
    },
}

/// Why the server is out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// No connection, or one that broke off.
    NoAnswer,
    /// Something else answered: the sign-in page of a Wi-Fi, a proxy.
    NotOurs,
    /// The server asks to come back later.
    Busy,
    /// The server's disk takes no more.
    ServerFull,
}

impl PhoneError {
    /// Out of reach, without a time to come back.
    pub const fn offline(why: Unreached) -> Self {
        Self::Offline {
            retry_after_s: None,
            why,
        }
    }

    /// Our fault, with what happened.
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        Self::Internal {
            detail: detail.to_string(),
        }
    }
}

impl From<sqlx::Error> for PhoneError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            // SQLITE_FULL, and SQLITE_IOERR_WRITE, which some file systems give instead.
            sqlx::Error::Database(database)
                if matches!(database.code().as_deref(), Some("13" | "778")) =>
            {
                Self::StorageFull
            }
            // SQLITE_CORRUPT, and SQLITE_NOTADB, which SQLCipher says of a page whose seal does not hold; of some it gives SQLITE_ERROR
            // without a word of its own, as no wrong statement does.
            sqlx::Error::Database(database)
                if matches!(database.code().as_deref(), Some("11" | "26"))
                    || database.message() == "SQL logic error" =>
            {
                Self::Invalid(Invalid::new("database", Rule::Unreadable))
            }
            sqlx::Error::RowNotFound => Self::NotFound,
            _ => Self::internal(error),
        }
    }
}

impl From<std::io::Error> for PhoneError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::StorageFull
            }
            std::io::ErrorKind::NotFound => Self::NotFound,
            _ => Self::internal(error),
        }
    }
}

impl From<DocumentError> for PhoneError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Invalid(invalid) => Self::Invalid(invalid),
            other => Self::internal(other),
        }
    }
}
