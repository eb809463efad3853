//! The track: each fix is a durable row first; rows are folded into a chunk of the document at 60, at a pause, at the end and
//! before a sync, in one transaction. A fix as a change of its own would cost 200 bytes; in a chunk it costs a few.

use super::{Phone, error::PhoneError, store::Also};
use crate::{
    id::DocumentId,
    invalid::{Invalid, Rule},
    patrol::PatrolLog,
    position::{Fix, Position},
    track::{self, Dropped, FIXES_PER_CHUNK, Filter, Source},
    track_file,
};
use sqlx::{Row as _, SqliteConnection};
use std::{collections::BTreeMap, path::Path};

/// The largest track file taken, bytes.
const TRACK_FILE_LIMIT_BYTES: u64 = 32 << 20;

/// What became of a track file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackImport {
    /// Fixes that are in the patrol now.
    pub kept: u32,
    /// Fixes that are not, by reason.
    pub dropped: BTreeMap<Dropped, u32>,
    /// The time of the first and the last fix kept, Unix milliseconds.
    pub span_ms: Option<(i64, i64)>,
}

impl Phone {
    /// Records one live fix. None when it is on the disk; the reason when the filter let it go, which is no error.
    ///
    /// # Errors
    /// `NotFound` for a patrol that is not here; `Invalid` for one that is over or not of one's team; `StorageFull`.
    pub async fn add_fix(&self, patrol: DocumentId, fix: Fix) -> Result<Option<Dropped>, PhoneError> {
        let folded = {
            let mut store = self.store().await;
            let person = store.profile()?.person;
            let (_, log) = store.read::<PatrolLog>(patrol).await?;
            if !log.has(person) {
                return Err(Invalid::new("team", Rule::NotOnTheTeam).into());
            }
            if log.ended_at_ms.is_some() {
                return Err(Invalid::new("patrol", Rule::Ended).into());
            }
            let loose = loose(&mut store.connection, patrol).await?;
            let last = loose.last().map(|(_, fix)| *fix).or_else(|| {
                let own = log.track.values().rev().find(|chunk| chunk.by == person);
                own.and_then(|chunk| track::unpack(&chunk.fixes).ok()?.pop())
            });
            if let Err(reason) = Filter::new(last).admit(fix, Source::Live) {
                return Ok(Some(reason));
            }
            put(&mut store.connection, patrol, fix).await?;
            loose.len() + 1 >= FIXES_PER_CHUNK
        };
        if folded {
            self.fold(patrol).await?;
        }
        Ok(None)
    }

    /// Reads a GPX or NMEA file into the patrol, at the track's own times. The patrol is marked as imported.
    ///
    /// # Errors
    /// `Invalid` at `track` for a file that is none, has no times, or breaks another rule; `NotFound` for no file.
    pub async fn import_track(&self, patrol: DocumentId, path: &Path) -> Result<TrackImport, PhoneError> {
        if tokio::fs::metadata(path).await?.len() > TRACK_FILE_LIMIT_BYTES {
            return Err(Invalid::new("track", Rule::TooLarge).into());
        }
        let bytes = tokio::fs::read(path).await?;
        let (fixes, report) = track_file::import(&bytes)?;
        let mut store = self.store().await;
        let key = store.key(patrol).await?;
        let person = store.profile()?.person;
        let at_ms = self.now_ms();
        let stamps: Vec<_> = fixes.chunks(FIXES_PER_CHUNK).map(|_| self.stamp(person)).collect();
        let import = |log: &mut PatrolLog| {
            for (fixes, stamp) in fixes.chunks(FIXES_PER_CHUNK).zip(stamps) {
                log.add_track(stamp, fixes)?;
            }
            log.imported_at_ms = Some(at_ms);
            Ok(())
        };
        store.edit(&key, at_ms, Also::Nothing, import).await?;
        let span_ms = fixes.first().zip(fixes.last()).map(|(first, last)| (first.at_ms, last.at_ms));
        Ok(TrackImport { kept: report.kept, dropped: report.dropped, span_ms })
    }

    /// Folds the loose fixes of a patrol into its document.
    pub(super) async fn fold(&self, patrol: DocumentId) -> Result<(), PhoneError> {
        let mut store = self.store().await;
        let loose = loose(&mut store.connection, patrol).await?;
        let person = store.profile()?.person;
        for rows in loose.chunks(FIXES_PER_CHUNK) {
            let Some((through, _)) = rows.last() else { continue };
            let fixes: Vec<Fix> = rows.iter().map(|(_, fix)| *fix).collect();
            let stamp = self.stamp(person);
            let key = store.key(patrol).await?;
            let also = Also::FoldedFixes { through: *through };
            store.edit(&key, stamp.at_ms, also, |log: &mut PatrolLog| log.add_track(stamp, &fixes)).await?;
        }
        Ok(())
    }

    /// Folds the loose fixes of every patrol.
    pub(super) async fn fold_all(&self) -> Result<(), PhoneError> {
        let rows = {
            let mut store = self.store().await;
            sqlx::query("select distinct document_id from fix").fetch_all(&mut store.connection).await?
        };
        for row in rows {
            self.fold(row.get::<&str, _>(0).parse().map_err(PhoneError::internal)?).await?;
        }
        Ok(())
    }
}

/// The fixes of a patrol that are not folded yet, with their row ids, oldest first.
pub(super) async fn loose(
    connection: &mut SqliteConnection,
    patrol: DocumentId,
) -> Result<Vec<(i64, Fix)>, PhoneError> {
    let rows = sqlx::query(
        "select fix_id, at_ms, lat_e7, lon_e7, accuracy_dm from fix where document_id = $1 order by fix_id",
    )
    .bind(patrol.to_string())
    .fetch_all(connection)
    .await?;
    Ok(rows
        .iter()
        .map(|row| {
            let position = Position { lat_e7: row.get(2), lon_e7: row.get(3) };
            (row.get(0), Fix { at_ms: row.get(1), position, accuracy_dm: row.get(4) })
        })
        .collect())
}

async fn put(connection: &mut SqliteConnection, patrol: DocumentId, fix: Fix) -> Result<(), PhoneError> {
    sqlx::query("insert into fix (document_id, at_ms, lat_e7, lon_e7, accuracy_dm) values ($1, $2, $3, $4, $5)")
        .bind(patrol.to_string())
        .bind(fix.at_ms)
        .bind(fix.position.lat_e7)
        .bind(fix.position.lon_e7)
        .bind(fix.accuracy_dm)
        .execute(connection)
        .await?;
    Ok(())
}
