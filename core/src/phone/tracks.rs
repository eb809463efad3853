//! The track: each fix is a durable row first; rows are folded into a chunk of the document at 60, at a pause, at the end and
//! before a sync, in one transaction. A fix as a change of its own would cost 200 bytes; in a chunk it costs a few.

use super::{Phone, error::PhoneError, store::Also};
use crate::{
    hash::Sha256,
    id::{DocumentId, PersonId},
    invalid::{Invalid, Rule},
    patrol::{PatrolLog, TrackChunk},
    position::{Fix, Position},
    track::{self, Dropped, FIXES_PER_CHUNK, Filter, Source},
    track_file,
};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use std::{collections::BTreeMap, path::Path};

/// The largest track file taken, bytes.
const TRACK_FILE_LIMIT_BYTES: u64 = 32 << 20;

/// What a live fix has to know of its patrol's document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    on_the_team: bool,
    ended: bool,
    /// See [`PatrolLog::lets_go`].
    lets_go: Option<Dropped>,
    /// The newest of this person's live fixes that the document holds.
    last_folded: Option<Fix>,
}

impl Walk {
    pub(super) fn of(log: &PatrolLog, person: PersonId) -> Self {
        let live = |chunk: &&TrackChunk| chunk.by == person && chunk.file.is_none();
        let own = log.track.values().rev().find(live);
        Self {
            on_the_team: log.has(person),
            ended: log.ended_at_ms.is_some(),
            lets_go: log.lets_go(),
            last_folded: own.and_then(|chunk| track::unpack(&chunk.fixes).ok()?.pop()),
        }
    }
}

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
    pub async fn add_fix(
        &self,
        patrol: DocumentId,
        fix: Fix,
    ) -> Result<Option<Dropped>, PhoneError> {
        let folded = {
            let mut store = self.store().await;
            let walk = store.walk(patrol).await?;
            if !walk.on_the_team {
                return Err(Invalid::new("team", Rule::NotOnTheTeam).into());
            }
            if walk.ended {
                return Err(Invalid::new("patrol", Rule::Ended).into());
            }
            if walk.lets_go.is_some() {
                return Ok(walk.lets_go);
            }
            let (loose, newest) = newest(&mut store.connection, patrol).await?;
            let last = newest.or(walk.last_folded);
            let rival = store.rival.filter(|(walked, _)| *walked == patrol);
            let mut filter = Filter::going_on(last, rival.map(|(_, rival)| rival));
            let verdict = filter.admit(fix, Source::Live);
            store.rival = filter.rival().map(|rival| (patrol, rival));
            if let Err(reason) = verdict {
                return Ok(Some(reason));
            }
            put(&mut store.connection, patrol, fix).await?;
            store.recorded().await;
            loose + 1 >= FIXES_PER_CHUNK
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
    pub async fn import_track(
        &self,
        patrol: DocumentId,
        path: &Path,
    ) -> Result<TrackImport, PhoneError> {
        if tokio::fs::metadata(path).await?.len() > TRACK_FILE_LIMIT_BYTES {
            return Err(Invalid::new("track", Rule::TooLarge).into());
        }
        let bytes = tokio::fs::read(path).await?;
        let (fixes, report) = track_file::import(&bytes)?;
        let file = Sha256::of(&bytes);
        let mut store = self.store().await;
        let key = store.key(patrol).await?;
        let person = store.profile()?.person;
        let at_ms = self.now_ms();
        let stamps: Vec<_> = fixes
            .chunks(FIXES_PER_CHUNK)
            .map(|_| self.stamp(person))
            .collect();
        let import = |log: &mut PatrolLog| {
            for (fixes, stamp) in fixes.chunks(FIXES_PER_CHUNK).zip(stamps) {
                log.add_track(stamp, Some(file), fixes)?;
            }
            log.imported_at_ms = Some(at_ms);
            Ok(())
        };
        store.edit(&key, at_ms, Also::Nothing, import).await?;
        let span_ms = fixes
            .first()
            .zip(fixes.last())
            .map(|(first, last)| (first.at_ms, last.at_ms));
        Ok(TrackImport {
            kept: report.kept,
            dropped: report.dropped,
            span_ms,
        })
    }

    /// Folds the loose fixes of a patrol into its document.
    pub(super) async fn fold(&self, patrol: DocumentId) -> Result<(), PhoneError> {
        let mut store = self.store().await;
        let loose = loose(&mut store.connection, patrol).await?;
        let person = store.profile()?.person;
        for rows in loose.chunks(FIXES_PER_CHUNK) {
            let Some((through, _)) = rows.last() else {
                continue;
            };
            let fixes: Vec<Fix> = rows.iter().map(|(_, fix)| *fix).collect();
            let stamp = self.stamp(person);
            let key = store.key(patrol).await?;
            store.fold(&key, stamp, &fixes, *through).await?;
        }
        Ok(())
    }

    /// Folds the loose fixes of every patrol. One that does not fold (after a salvage its team may be lost) keeps its rows, waits
    /// for what will heal it, and holds up no other.
    ///
    /// # Errors
    /// What holds up every patrol: `StorageFull`, and `Invalid` at `database`.
    pub(super) async fn fold_all(&self) -> Result<(), PhoneError> {
        let rows = {
            let mut store = self.store().await;
            sqlx::query("select distinct document_id from fix")
                .fetch_all(&mut store.connection)
                .await?
        };
        for row in rows {
            let patrol = row
                .get::<&str, _>(0)
                .parse()
                .map_err(PhoneError::internal)?;
            match self.fold(patrol).await {
                Err(error) if is_everybodys(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether what kept one patrol from folding will keep every other from it.
fn is_everybodys(error: &PhoneError) -> bool {
    match error {
        PhoneError::StorageFull => true,
        PhoneError::Invalid(invalid) => invalid.field == "database",
        _ => false,
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
    Ok(rows.iter().map(|row| (row.get(0), fix_of(row))).collect())
}

/// How many fixes of a patrol are not folded yet, and the newest of them.
async fn newest(
    connection: &mut SqliteConnection,
    patrol: DocumentId,
) -> Result<(usize, Option<Fix>), PhoneError> {
    let row = sqlx::query(
        "select count(*) over (), at_ms, lat_e7, lon_e7, accuracy_dm from fix where document_id = $1 \
         order by fix_id desc limit 1",
    )
    .bind(patrol.to_string())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else {
        return Ok((0, None));
    };
    let count = usize::try_from(row.get::<i64, _>(0)).map_err(PhoneError::internal)?;
    Ok((count, Some(fix_of(&row))))
}

/// The fix in a row whose second to fifth columns are its.
fn fix_of(row: &SqliteRow) -> Fix {
    Fix {
        at_ms: row.get(1),
        position: Position {
            lat_e7: row.get(2),
            lon_e7: row.get(3),
        },
        accuracy_dm: row.get(4),
    }
}

async fn put(
    connection: &mut SqliteConnection,
    patrol: DocumentId,
    fix: Fix,
) -> Result<(), PhoneError> {
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        document::Key,
        id::PhoneId,
        observation::NewObservation,
        patrol::NewPatrol,
        phone::{ItemState, PhoneError, SyncOptions, tests::phone},
        track::tests::fix,
    };

    async fn walking(phone: &Phone, fixes: i64) -> DocumentId {
        let new = NewPatrol {
            title: "Ca đêm".to_owned(),
            ..NewPatrol::default()
        };
        let patrol = phone.start_patrol(new).await.expect("starts");
        for step in 0..fixes {
            let dropped = phone.add_fix(patrol, fix(step * 10, step as f64 * 10.0));
            assert_eq!(dropped.await.expect("recorded"), None);
        }
        patrol
    }

    /// What becomes of fixes ten seconds apart, fifteen metres each, from the corner in Vinh at noon on, with an observation between them.
    async fn walk_on(phone: &Phone, patrol: DocumentId, forgets: bool) -> Vec<Option<Dropped>> {
        let mut seen = Vec::new();
        for step in 0..4 {
            let fix = fix(step * 10, step as f64 * 15.0);
            seen.push(phone.add_fix(patrol, fix).await.expect("looked at"));
            let new = NewObservation::of("urban-order", 1, "case");
            phone.add_observation(patrol, new).await.expect("recorded");
            if forgets {
                phone.store().await.rival = None;
            }
        }
        seen
    }

    /// Each with its twin: a phone that forgets what stood against the wild fix drops every true one after it.
    #[tokio::test]
    async fn a_wild_first_fix_silences_the_track_for_two_fixes_and_no_longer() {
        let far = fix(-10, 290_000.0);
        let rolled_over = fix(40_000, 0.0);
        for (wild, reason) in [
            (far, Dropped::ImpossibleSpeed),
            (rolled_over, Dropped::OutOfOrder),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let phone = phone(folder.path()).await;
            for forgets in [false, true] {
                let patrol = walking(&phone, 0).await;
                let first = phone.add_fix(patrol, wild).await;
                assert_eq!(first.expect("recorded"), None);
                let seen = walk_on(&phone, patrol, forgets).await;
                let dropped = Some(reason);
                if forgets {
                    assert_eq!(seen, [dropped; 4]);
                } else {
                    assert_eq!(seen, [dropped, dropped, None, None]);
                }
            }
        }
    }

    /// A patrol with loose fixes whose changes are lost, as a salvage may leave it: nobody is on its team.
    pub(in crate::phone) async fn torn(phone: &Phone, fixes: i64) -> DocumentId {
        let patrol = walking(phone, fixes).await;
        let mut store = phone.store().await;
        for lost in [
            "delete from change where document_id = $1",
            "delete from record where document_id = $1",
        ] {
            sqlx::query(lost)
                .bind(patrol.to_string())
                .execute(&mut store.connection)
                .await
                .expect("written");
        }
        store.opened = Default::default();
        store.walk = None;
        drop(store);
        patrol
    }

    async fn loose_fixes(phone: &Phone, patrol: DocumentId) -> usize {
        let mut store = phone.store().await;
        let loose = loose(&mut store.connection, patrol).await;
        loose.expect("reads").len()
    }

    #[tokio::test]
    async fn a_patrol_that_does_not_fold_keeps_its_fixes_and_holds_up_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let phone = phone(folder.path()).await;
        let torn = torn(&phone, 3).await;
        let whole = walking(&phone, 4).await;
        // The twin: by itself it does not fold, and that was the end of every sync.
        let by_itself = phone.fold(torn).await;
        let Err(PhoneError::Invalid(invalid)) = by_itself else {
            panic!("{by_itself:?}");
        };
        assert_eq!(invalid, Invalid::new("team", Rule::NotOnTheTeam));
        phone.fold_all().await.expect("the others fold");
        assert_eq!(loose_fixes(&phone, torn).await, 3);
        assert_eq!(loose_fixes(&phone, whole).await, 0);
        let items = phone.items(None).await.expect("reads");
        let item = items.iter().find(|item| item.document == torn);
        assert_eq!(item.expect("is listed").state, ItemState::Waiting);
        let profile = phone.store().await.profile.as_mut().map(|profile| {
            profile.server_url = "http://127.0.0.1:1".to_owned();
        });
        assert_eq!(profile, Some(()));
        let once = SyncOptions {
            tries: 1,
            ..SyncOptions::default()
        };
        let synced = phone.sync(once).await;
        let offline = matches!(synced, Err(PhoneError::Offline { .. }));
        assert!(offline, "it went as far as the server: {synced:?}");
    }

    fn assert_ended(answer: Result<Option<Dropped>, PhoneError>) {
        let Err(PhoneError::Invalid(invalid)) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(invalid, Invalid::new("patrol", Rule::Ended));
    }

    #[tokio::test]
    async fn the_filter_goes_on_after_the_last_fix_loose_or_folded() {
        let folder = tempfile::tempdir().expect("a folder");
        let phone = phone(folder.path()).await;
        for fixes in [59, 60, 61] {
            let patrol = walking(&phone, fixes).await;
            let again = fix((fixes - 1) * 10, (fixes - 1) as f64 * 10.0);
            let dropped = phone.add_fix(patrol, again).await.expect("looked at");
            assert_eq!(dropped, Some(Dropped::OutOfOrder), "after {fixes}");
            let seen = phone
                .patrol(patrol)
                .await
                .expect("is here")
                .tracks
                .iter()
                .flat_map(|track| &track.fixes)
                .count();
            assert_eq!(seen as i64, fixes);
        }
    }

    #[tokio::test]
    async fn a_fix_while_paused_is_let_go_and_the_track_goes_on_after_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let phone = phone(folder.path()).await;
        let patrol = walking(&phone, 3).await;
        phone.pause(patrol).await.expect("pauses");
        let resting = phone.add_fix(patrol, fix(100, 100.0)).await;
        assert_eq!(resting.expect("looked at"), Some(Dropped::Paused));
        phone.resume(patrol).await.expect("goes on");
        // The twin: the same fix is kept as soon as the pause is over, so it was the pause that kept it out.
        let walking = phone.add_fix(patrol, fix(100, 100.0)).await;
        assert_eq!(walking.expect("recorded"), None);
        let seen = phone.patrol(patrol).await.expect("is here").tracks;
        assert_eq!(seen[0].fixes.len(), 4);
    }

    #[tokio::test]
    async fn a_fix_after_the_end_is_refused_although_the_walk_was_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let phone = phone(folder.path()).await;
        let patrol = walking(&phone, 3).await;
        phone.end(patrol).await.expect("ends");
        let refused = phone.add_fix(patrol, fix(100, 100.0)).await;
        assert_ended(refused);
    }

    #[tokio::test]
    async fn a_fix_after_an_end_that_came_from_a_colleague_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let phone = phone(folder.path()).await;
        let patrol = walking(&phone, 3).await;
        let mut store = phone.store().await;
        let key = store.key(patrol).await.expect("is here");
        let ended = ended_elsewhere(&mut store, &key).await;
        store.merge(&key, &[ended], &[]).await.expect("merges");
        drop(store);
        let refused = phone.add_fix(patrol, fix(100, 100.0)).await;
        assert_ended(refused);
    }

    /// The change by which another phone of the team ends the patrol.
    async fn ended_elsewhere(
        store: &mut crate::phone::store::Store,
        key: &Key,
    ) -> crate::document::Change {
        let (_, mut copy) = store
            .inspect(key.document(), |document| Ok(document.clone()))
            .await
            .expect("is here");
        let actor = crate::document::Actor {
            phone: PhoneId::from_bytes([9; 16]),
            opening: [9; 8],
        };
        let end = |log: &mut PatrolLog| {
            log.ended_at_ms = Some(track::tests::NOON_MS);
            Ok(())
        };
        let (_, change) = crate::document::edit(&mut copy, actor, 0, end).expect("edits");
        change.expect("something differs")
    }
}
