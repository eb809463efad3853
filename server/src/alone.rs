//! One server at a time on a data folder with SQLite: who serves it holds a lock on a file in it.
//!
//! SQLite would let two write in turns, but each keeps in memory what the other writes: a feed heard at one is not heard at the
//! other. The system holds the lock for the process, so it is gone with it however it ended; the file stays and means nothing.
//! Commands beside a server take no lock, and several servers on one PostgreSQL none either.

use crate::{
    app::{OpenError, make_folder},
    command::failure::Failure,
};
use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

/// The file's name in the data folder.
const FILE: &str = "serving.lock";
/// How often it is tried, and how long is waited between: a server that was just told to end may take a moment.
const TRIES: u32 = 6;
const BETWEEN: Duration = Duration::from_millis(200);

/// Held for as long as a server serves the folder.
#[derive(Debug)]
pub struct Alone {
    // Unlocked when it is closed. Workers do not get it: it is closed on exec.
    _file: File,
}

impl Alone {
    /// Takes the folder, and makes it if it is not there.
    ///
    /// # Errors
    /// A sentence when another process serves it; what the disk says.
    pub async fn take(data: &Path) -> Result<Self, OpenError> {
        make_folder(data).map_err(Failure::from)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(data.join(FILE))
            .map_err(Failure::from)?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(BETWEEN).await,
                Err(TryLockError::Error(error)) => return Err(Failure::from(error).into()),
            }
        }
        Err(served(data).into())
    }
}

fn served(data: &Path) -> Failure {
    let data = data.display();
    Failure::new(
        (
            format!("Đã có một máy chủ khác đang phục vụ dữ liệu ở {data}."),
            format!("Another server is serving the data in {data} already."),
        ),
        (
            "Dùng máy chủ đang chạy đó, hoặc dừng nó trước (Ctrl-C). Máy chủ khác thì cần thư mục khác: --data. Các lệnh quản trị chạy được cùng lúc.",
            "Use the one that runs, or end it first (Ctrl-C). Another server needs another folder: --data. Commands of administration work beside it.",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_served_by_one_and_free_when_that_one_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let first = Alone::take(&data).await.expect("nobody serves it");
        let second = Alone::take(&data).await.expect_err("it is served");
        let told = second.downcast_ref::<Failure>().expect("a sentence");
        assert!(told.to_string().contains("Another server is serving"));
        let elsewhere = folder.path().join("elsewhere");
        Alone::take(&elsewhere).await.expect("another folder");
        drop(first);
        // The twin: it was the first that kept the second away, not the file.
        assert!(data.join(FILE).exists());
        Alone::take(&data).await.expect("free again");
    }
}
