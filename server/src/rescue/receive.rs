//! A rescue file on its way in: written to the disk as it came, readable by nobody who finds it there.
//!
//! The file has no name from its first byte on, so that whatever ends this process leaves nothing behind. How many are
//! received and taken at once is bounded, because each may fill two gibibytes of the disk.

use super::{Carrier, take};
use crate::{
    app::App,
    problem::{Answer, Problem},
};
use axum::{body::Bytes, http::StatusCode};
use futures_util::{Stream, StreamExt as _};
use kieumau_core::rescue::{RESCUE_LIMIT_BYTES, Taken};
use std::{io, os::unix::fs::OpenOptionsExt as _, path::Path, time::Duration};
use tokio::{
    fs::File,
    io::AsyncWriteExt as _,
    sync::{Semaphore, SemaphorePermit},
};

/// Files that this process receives and takes at once; who comes then is told to come back.
static PLACES: Semaphore = Semaphore::const_new(4);
/// A line on which nothing arrives for this long is broken.
const SILENCE: Duration = Duration::from_secs(30);
/// When to come back if all places are taken.
const RETRY_AFTER_S: u32 = 30;

/// A file that is here whole, and its place among those that are taken at once.
pub struct Received {
    file: std::fs::File,
    // Given back when the file is taken.
    _place: SemaphorePermit<'static>,
}

impl Received {
    /// Takes what the file holds.
    ///
    /// # Errors
    /// As [`take`].
    pub async fn take(self, app: &App, carrier: Carrier) -> Answer<Taken> {
        take(app, carrier, self.file).await
    }
}

/// Receives a file of `length` bytes, if that was said.
///
/// # Errors
/// 413 `too-large`; 400 `malformed` when the line breaks; 503 `busy`; 507 `storage-full`.
pub async fn receive<E>(
    app: &App,
    length: Option<u64>,
    mut pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Answer<Received> {
    if length.is_some_and(|length| length > RESCUE_LIMIT_BYTES) {
        return Err(too_large());
    }
    let place = PLACES
        .try_acquire()
        .map_err(|_| Problem::busy(RETRY_AFTER_S))?;
    let mut file = nameless(&app.config.data.join("rescue")).map_err(stored)?;
    let mut size_bytes = 0;
    loop {
        let bytes = match tokio::time::timeout(SILENCE, pieces.next()).await {
            Ok(Some(Ok(bytes))) => bytes,
            Ok(None) => break,
            Ok(Some(Err(_))) | Err(_) => return Err(broken_off()),
        };
        size_bytes += bytes.len() as u64;
        if size_bytes > RESCUE_LIMIT_BYTES {
            return Err(too_large());
        }
        file.write_all(&bytes).await.map_err(stored)?;
    }
    file.flush().await.map_err(stored)?;
    let mut file = file.into_std().await;
    io::Seek::rewind(&mut file).map_err(stored)?;
    Ok(Received {
        file,
        _place: place,
    })
}

/// A file in `folder` that has lost its name.
fn nameless(folder: &Path) -> io::Result<File> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(uuid::Uuid::now_v7().to_string());
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    std::fs::remove_file(path)?;
    Ok(File::from_std(file))
}

/// 413: beyond the limit, which the phone keeps by itself.
pub fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        "A rescue file has at most 2 GiB and 200,000 items.",
    )
}

fn broken_off() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "malformed",
        "The file broke off on the way. Send it again.",
    )
}

fn stored(error: io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Problem::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "storage-full",
            "The server's disk is full. Keep the file and tell the administrator.",
        ),
        _ => Problem::internal(error),
    }
}
