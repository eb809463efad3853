//! What is left after each death, of two who end at once, and of what is refused at the end.

use super::*;
use crate::{
    attachment::{
        setting::{Setting, photo, settings},
        staging::LIFE_MS,
    },
    clock,
    fixture::rows,
};
use axum::http::StatusCode;

#[tokio::test]
async fn two_uploads_of_one_hash_at_once_end_as_one_file() {
    for setting in settings().await {
        let file = photo(300_000, 1);
        let one = setting.created(&setting.an, &file).await;
        let two = setting.created(&setting.chi, &file).await;
        let (first, second) = tokio::join!(
            setting.patch(&setting.an, &one, 0, &file),
            setting.patch(&setting.chi, &two, 0, &file)
        );
        assert_eq!(first.status, StatusCode::NO_CONTENT);
        assert_eq!(second.status, StatusCode::NO_CONTENT);
        assert_eq!(rows(&setting.app, "attachment").await, 1);
        let fetched = setting.fetch(&setting.chi, Sha256::of(&file)).await;
        assert_eq!(fetched.body, file);
        assert_eq!(setting.app.objects.names().await.len(), 1);
    }
}

#[tokio::test]
async fn a_file_that_is_not_what_was_announced_or_that_could_run_is_refused_and_forgotten() {
    for setting in settings().await {
        let file = photo(1_000, 1);
        let path = setting.created(&setting.an, &file).await;
        let refused = setting.patch(&setting.an, &path, 0, &photo(1_000, 2)).await;
        assert_eq!(refused.status.as_u16(), 460);
        assert_eq!(refused.word(), "hash-mismatch");
        assert_eq!(
            setting.offset(&setting.an, &path).await,
            Err(StatusCode::NOT_FOUND)
        );
        for page in [
            &b"<svg xmlns='http://www.w3.org/2000/svg'>"[..],
            b"<!DOCTYPE html>",
        ] {
            let path = setting.created(&setting.an, page).await;
            let refused = setting.patch(&setting.an, &path, 0, page).await;
            assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
            assert_eq!(refused.word(), "wrong-kind");
        }
        assert_eq!(rows(&setting.app, "upload").await, 0);
        assert_eq!(rows(&setting.app, "attachment").await, 0);
        assert_eq!(setting.app.objects.names().await, Vec::<String>::new());
        assert_eq!(staged_files(&setting), 0);
        // The one that was announced is taken.
        setting.bring(&setting.an, &file).await;
    }
}

#[tokio::test]
async fn it_is_the_hash_at_the_end_that_keeps_another_file_from_the_announced_name() {
    for setting in settings().await {
        let (announced, sent) = (photo(1_000, 1), photo(1_000, 2));
        let path = setting.created(&setting.chi, &announced).await;
        let mut upload = setting.row(&path).await;
        let Ok(mut staged) = Staged::hold(&setting.app, &upload).await else {
            panic!("nobody else holds it");
        };
        staged.write(0, &mut sent.clone()).await.expect("written");
        let refused = seal(&setting.app, &upload, &mut staged).await;
        assert!(matches!(refused, Err(FinishError::HashMismatch)));
        // The twin: committed unchecked, the other file is served under the announced hash.
        let sealed = write_sealed(&setting.app, &upload, &mut staged).await;
        commit(&setting.app, &mut upload, &sealed.expect("sealed"), 0)
            .await
            .expect("committed");
        let fetched = setting.fetch(&setting.chi, Sha256::of(&announced)).await;
        assert_eq!(fetched.body, sent);
    }
}

/// How many files of uploads under way lie in the data folder.
fn staged_files(setting: &Setting) -> usize {
    let folder = staging::folder(&setting.app);
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test]
async fn nothing_lies_plain_on_the_disk_before_or_after_the_end() {
    fn holds(folder: &std::path::Path, needle: &[u8]) -> bool {
        std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .any(|path| {
                if path.is_dir() {
                    return holds(&path, needle);
                }
                let bytes = std::fs::read(path).expect("a file");
                bytes.windows(needle.len()).any(|window| window == needle)
            })
    }
    for setting in settings().await {
        let data = &setting.app.config.data;
        let file = photo(100_000, 1);
        let path = setting.created(&setting.an, &file).await;
        setting.patch(&setting.an, &path, 0, &file[..50_000]).await;
        assert!(!holds(data, &file[10_000..10_032]));
        // The search finds what does lie plain.
        std::fs::write(data.join("plain"), &file).expect("written");
        assert!(holds(data, &file[10_000..10_032]));
        std::fs::remove_file(data.join("plain")).expect("removed");
        setting
            .patch(&setting.an, &path, 50_000, &file[50_000..])
            .await;
        assert!(!holds(data, &file[10_000..10_032]));
    }
}

#[tokio::test]
async fn a_death_between_any_two_steps_leaves_an_upload_to_resume_or_a_finished_attachment() {
    for setting in settings().await {
        let app = &setting.app;
        // How far it got before it died: sealed, not committed; committed, not cleaned up.
        for (seed, died_after) in [(1, "seal"), (2, "commit")] {
            let file = photo(200_000, seed);
            let sha256 = Sha256::of(&file);
            let path = setting.created(&setting.chi, &file).await;
            setting
                .patch(&setting.chi, &path, 0, &file[..150_000])
                .await;
            let mut upload = setting.row(&path).await;
            let Ok(mut staged) = Staged::hold(app, &upload).await else {
                panic!("nobody else holds it");
            };
            let mut rest = file[150_000..].to_vec();
            staged.write(150_000, &mut rest).await.expect("written");
            let sealed = seal(app, &upload, &mut staged).await.expect("sealed");
            if died_after == "commit" {
                commit(app, &mut upload, &sealed, 0)
                    .await
                    .expect("committed");
            }
            drop(staged);

            let offset = setting.offset(&setting.chi, &path).await.expect("known");
            if died_after == "commit" {
                assert_eq!(offset, file.len());
                assert!(setting.staged_file(&path).exists());
            } else {
                assert_eq!(offset, 150_000);
                assert_eq!(
                    setting.fetch(&setting.chi, sha256).await.status,
                    StatusCode::NOT_FOUND
                );
                let done = setting
                    .patch(&setting.chi, &path, offset, &file[offset..])
                    .await;
                assert_eq!(done.status, StatusCode::NO_CONTENT);
            }
            assert_eq!(setting.fetch(&setting.chi, sha256).await.body, file);
        }
        assert_eq!(app.objects.names().await.len(), 2);
        // The second left its staged file. It is young, then it is old.
        let now_ms = clock::now_ms();
        let swept = sweep(app, now_ms).await.expect("swept");
        assert_eq!(swept, Swept::default());
        let later = now_ms + LIFE_MS / 2;
        let swept = sweep(app, later).await.expect("swept");
        assert_eq!(
            swept,
            Swept {
                expired: 0,
                strays: 1
            }
        );
    }
}

#[tokio::test]
async fn an_upload_is_forgotten_a_week_after_its_last_byte_and_the_attachment_is_not() {
    for setting in settings().await {
        let app = &setting.app;
        let file = photo(1_000, 1);
        let sha256 = setting.bring(&setting.chi, &file).await;
        let path = setting.created(&setting.an, &photo(1_000, 2)).await;
        let written = setting.created(&setting.an, &photo(1_000, 3)).await;
        let held = Staged::hold(app, &setting.row(&written).await).await.ok();
        let week = clock::now_ms() + LIFE_MS;

        let swept = sweep(app, week - 60_000).await.expect("swept");
        assert_eq!(swept.expired, 0);
        let swept = sweep(app, week + 60_000).await.expect("swept");
        // The finished one and the silent one; not the one that is being written.
        assert_eq!(swept.expired, 2);
        assert_eq!(
            setting.offset(&setting.an, &path).await,
            Err(StatusCode::NOT_FOUND)
        );
        assert!(!setting.staged_file(&path).exists());
        assert_eq!(setting.offset(&setting.an, &written).await, Ok(0));
        drop(held);
        assert_eq!(setting.fetch(&setting.chi, sha256).await.body, file);
    }
}
