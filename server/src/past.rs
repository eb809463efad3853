//! A document as it was and as it is, for whoever decided about what is no longer so. A worker looks; here is the IO around it.

use crate::{
    app::App,
    own,
    problem::{Answer, Problem},
    projection::Rows,
    stored::StoredDocument,
    worker::{self, Job, PastJob},
};
use kieumau_core::{hash::Sha256, id::DocumentId};

/// The rows of `document` at each of these heads. None if a worker cannot tell: heads that it never had, or a machine too busy.
///
/// # Errors
/// `not-found`; `internal` when the database fails.
pub async fn rows(
    app: &App,
    document: DocumentId,
    heads: [Vec<Sha256>; 2],
) -> Answer<Option<[Rows; 2]>> {
    let mut tx = app.database.read.begin().await?;
    let stored = StoredDocument::read(&mut tx, &app.vault, document).await?;
    tx.rollback().await?;
    let key = stored.ok_or_else(Problem::not_found)?.key;
    let (_, held) = own::held(app, &key).await?;
    let job = PastJob {
        key: serde_json::to_string(&key).map_err(Problem::internal)?,
        held,
        heads: heads.into(),
    };
    let Ok(worker::Answer::Past(found)) = app.workers.run(&Job::Past(job)).await else {
        return Ok(None);
    };
    let [then, now] = found.as_slice() else {
        return Ok(None);
    };
    let read = |json: &str| serde_json::from_str(json).map_err(Problem::internal);
    Ok(Some([read(then)?, read(now)?]))
}
