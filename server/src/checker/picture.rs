//! Thumbnails that wait, one at a time: decoding a stranger's picture is a worker's.

use crate::{
    app::App,
    attachment::thumbnail,
    clock,
    worker::{Answer, Bytes, Job, WorkerError},
};
use kieumau_core::{hash::Sha256, id::UnitId};

/// Makes the next thumbnail that waits. 1 if there was one and it waits no more.
///
/// # Errors
/// What the database says.
pub(super) async fn next(app: &App) -> Result<usize, sqlx::Error> {
    let waiting = thumbnail::pending_thumbnails(app, clock::now_ms())
        .await?
        .into_iter()
        .next();
    Ok(match waiting {
        Some((unit, sha256)) => usize::from(picture(app, unit, sha256).await),
        None => 0,
    })
}

/// Makes one thumbnail; false if it stays waiting. One whose original cannot be read is put off: that says nothing about the
/// picture.
async fn picture(app: &App, unit: UnitId, sha256: Sha256) -> bool {
    let original = match thumbnail::original(app, unit, sha256).await {
        Ok(original) => original,
        Err(problem) => {
            problem.log();
            if let Err(error) = thumbnail::put_off(app, unit, sha256, clock::now_ms()).await {
                tracing::error!(cause = %error, "a thumbnail could not be put off; it is tried again");
            }
            return false;
        }
    };
    let made = match app.workers.run(&Job::Thumbnail(Bytes(original))).await {
        Ok(Answer::Thumbnail(picture)) => Some(picture.0),
        // No worker could be started: that says nothing about the picture.
        Err(WorkerError::NotStarted(_)) => return false,
        _ => None,
    };
    match thumbnail::store_thumbnail(app, unit, sha256, made.as_deref()).await {
        Ok(()) => true,
        Err(problem) => {
            problem.log();
            false
        }
    }
}
