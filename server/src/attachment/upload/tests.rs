//! What a phone may rely on when the line is bad, and what a stranger cannot do.

use super::*;
use crate::{
<<<<<<< HEAD
    attachment::{
        finish::Swept,
        setting::{Setting, announcement, header, photo, settings},
        staging::LIFE_MS,
    },
=======
    attachment::setting::{announcement, header, photo, settings},
>>>>>>> 8592b35b806a1cd463f3c9297d5c1f5badb454da
    fixture::rows,
};
use axum::{body::Bytes, http::request::Builder};
use futures_util::stream;
<<<<<<< HEAD
=======
use sha2::Digest as _;
>>>>>>> 8592b35b806a1cd463f3c9297d5c1f5badb454da
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

fn body(request: Builder, bytes: &[u8]) -> Request {
    request.body(bytes.to_vec().into()).expect("a request")
}

/// A body of which these bytes arrive before the line breaks.
fn cut(bytes: &[u8]) -> Body {
    let bytes = Bytes::copy_from_slice(bytes);
    Body::from_stream(stream::iter([
        Ok(bytes),
        Err(std::io::Error::other("the line broke")),
    ]))
}

<<<<<<< HEAD
async fn row(setting: &Setting, path: &str) -> Upload {
    let (_, id) = path.rsplit_once('/').expect("a path");
    Upload::find(&setting.app, id.parse().expect("an id"), 0)
        .await
        .expect("the database answers")
        .expect("the upload is there")
}

=======
>>>>>>> 8592b35b806a1cd463f3c9297d5c1f5badb454da
#[tokio::test]
async fn a_file_sent_in_pieces_is_held_and_reads_back() {
    for setting in settings().await {
        let file = photo(700_001, 1);
        let path = setting.created(&setting.chi, &file).await;
        assert_eq!(setting.offset(&setting.chi, &path).await, Ok(0));
        for (from, until) in [(0, 1), (1, 300_000), (300_000, 700_001)] {
            let reply = setting
                .patch(&setting.chi, &path, from, &file[from..until])
                .await;
            assert_eq!(reply.status, StatusCode::NO_CONTENT);
            assert_eq!(header(&reply, "upload-offset"), until.to_string());
            assert_eq!(header(&reply, "tus-resumable"), "1.0.0");
        }
        // The last answer may be lost: asking again says that all is here.
        assert_eq!(setting.offset(&setting.chi, &path).await, Ok(file.len()));
        let again = setting.patch(&setting.chi, &path, file.len(), b"").await;
        assert_eq!(again.status, StatusCode::NO_CONTENT);
        assert!(!setting.staged_file(&path).exists());
        let fetched = setting.fetch(&setting.chi, Sha256::of(&file)).await;
        assert_eq!(fetched.status, StatusCode::OK);
        assert_eq!(fetched.body, file);
    }
}

#[tokio::test]
async fn what_is_spoken_is_said_and_another_version_is_refused() {
    for setting in settings().await {
        let asked = Request::builder()
            .method(Method::OPTIONS)
            .uri("/v1/attachments");
        let said = setting.send(body(asked, b"")).await;
        assert_eq!(said.status, StatusCode::NO_CONTENT);
        assert_eq!(header(&said, "tus-version"), "1.0.0");
        assert_eq!(header(&said, "tus-resumable"), "1.0.0");
        assert_eq!(
            header(&said, "tus-extension"),
            "creation,checksum,termination,expiration"
        );
        assert_eq!(header(&said, "tus-max-size"), "67108864");
        assert_eq!(header(&said, "tus-checksum-algorithm"), "sha1,sha256");

        let path = setting.created(&setting.an, &photo(10, 1)).await;
        let request = Request::builder()
            .method(Method::HEAD)
            .uri(path)
            .header("tus-resumable", "0.2.2")
<<<<<<< HEAD
            .extension(setting.an.clone());
=======
            .header("authorization", &setting.an.authorization);
>>>>>>> 8592b35b806a1cd463f3c9297d5c1f5badb454da
        let refused = setting.send(body(request, b"")).await;
        assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED);
        assert_eq!(header(&refused, "tus-version"), "1.0.0");
    }
}

#[tokio::test]
async fn a_creation_without_length_or_hash_or_above_the_limit_is_refused() {
    for setting in settings().await {
        let good = announcement(Sha256::of(b"x"));
        let upper = BASE64_STANDARD.encode(Sha256::of(b"x").to_string().to_uppercase());
        let upper = format!("sha256 {upper}");
        for (length, metadata, status, word) in [
            (None, Some(&good), 400, "malformed"),
            (Some("-1"), Some(&good), 400, "malformed"),
            (Some("0"), Some(&good), 422, "invalid"),
            (Some("67108865"), Some(&good), 413, "too-large"),
            (Some("5"), None, 400, "malformed"),
            (
                Some("5"),
                Some(&"filename eA==".to_owned()),
                400,
                "malformed",
            ),
            (Some("5"), Some(&"sha256 AAAA".to_owned()), 400, "malformed"),
            (Some("5"), Some(&upper), 400, "malformed"),
        ] {
            let mut request = setting.request(&setting.an, Method::POST, "/v1/attachments");
            if let Some(length) = length {
                request = request.header("upload-length", length);
            }
            if let Some(metadata) = metadata {
                request = request.header("upload-metadata", metadata);
            }
            let refused = setting.send(body(request, b"")).await;
            assert_eq!(
                (refused.status.as_u16(), refused.word().as_str()),
                (status, word)
            );
        }
        assert_eq!(rows(&setting.app, "upload").await, 0);
    }
}

#[tokio::test]
async fn a_piece_at_the_wrong_place_of_the_wrong_type_or_too_long_changes_nothing() {
    for setting in settings().await {
        let file = photo(1_000, 1);
        let path = setting.created(&setting.an, &file).await;
        setting.patch(&setting.an, &path, 0, &file[..400]).await;
        for offset in [0, 399, 401, 1_000] {
            let refused = setting
                .patch(&setting.an, &path, offset, &file[400..])
                .await;
            assert_eq!(refused.status, StatusCode::CONFLICT);
        }
        let plain = setting
            .request(&setting.an, Method::PATCH, &path)
            .header("upload-offset", 400)
            .header("content-type", "text/plain");
        let refused = setting.send(body(plain, &file[400..])).await;
        assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);

        let announced = setting
            .patching(&setting.an, &path, 400)
            .header("content-length", 601);
        let refused = setting.send(body(announced, &file[..601])).await;
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
        // A body that does not say how long it is, and is too long.
        let refused = setting.patch(&setting.an, &path, 400, &file[..601]).await;
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);

        assert_eq!(setting.offset(&setting.an, &path).await, Ok(400));
        let done = setting.patch(&setting.an, &path, 400, &file[400..]).await;
        assert_eq!(done.status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn a_body_without_its_checksum_is_refused_and_the_right_one_is_taken_in_its_place() {
    for setting in settings().await {
        let file = photo(600_000, 1);
        let mut bent = file.clone();
        bent[300_000] ^= 1;
        let sha1 = BASE64_STANDARD.encode(sha1::Sha1::digest(&file[..500_000]));
        let sha256 = BASE64_STANDARD.encode(sha2::Sha256::digest(&file[500_000..]));
        let path = setting.created(&setting.chi, &file).await;
        let send = |offset, checksum: String, bytes: &[u8]| {
            let request = setting
                .patching(&setting.chi, &path, offset)
                .header("upload-checksum", checksum);
            setting.send(body(request, bytes))
        };
        let refused = send(0, format!("sha1 {sha1}"), &bent[..500_000]).await;
        assert_eq!(refused.status.as_u16(), 460);
        assert_eq!(refused.word(), "checksum-mismatch");
        assert_eq!(setting.offset(&setting.chi, &path).await, Ok(0));
        let unknown = send(0, format!("md5 {sha1}"), &file[..500_000]).await;
        assert_eq!(unknown.status, StatusCode::BAD_REQUEST);

        let taken = send(0, format!("sha1 {sha1}"), &file[..500_000]).await;
        assert_eq!(taken.status, StatusCode::NO_CONTENT);
        let taken = send(500_000, format!("sha256 {sha256}"), &file[500_000..]).await;
        assert_eq!(taken.status, StatusCode::NO_CONTENT);
        let fetched = setting.fetch(&setting.chi, Sha256::of(&file)).await;
        assert_eq!(fetched.body, file);
    }
}

#[tokio::test]
async fn what_arrived_before_the_line_broke_counts_unless_a_checksum_was_to_vouch_for_it() {
    for setting in settings().await {
        let file = photo(5 << 20, 1);
        let path = setting.created(&setting.chi, &file).await;
        let request = setting.patching(&setting.chi, &path, 0);
        let broken = request.body(cut(&file[..300_001])).expect("a request");
        setting.send(broken).await;
        assert_eq!(setting.offset(&setting.chi, &path).await, Ok(300_001));

        let sum = BASE64_STANDARD.encode(sha2::Sha256::digest(&file[300_001..]));
        let request = setting
            .patching(&setting.chi, &path, 300_001)
            .header("upload-checksum", format!("sha256 {sum}"));
        let broken = request.body(cut(&file[300_001..400_000]));
        setting.send(broken.expect("a request")).await;
        assert_eq!(setting.offset(&setting.chi, &path).await, Ok(300_001));

        let done = setting
            .patch(&setting.chi, &path, 300_001, &file[300_001..])
            .await;
        assert_eq!(done.status, StatusCode::NO_CONTENT);
        let fetched = setting.fetch(&setting.chi, Sha256::of(&file)).await;
        assert_eq!(fetched.body, file);
    }
}

#[tokio::test]
async fn what_arrived_counts_though_the_handler_is_dropped_with_its_connection() {
    for setting in settings().await {
        let file = photo(1_000, 1);
        let path = setting.created(&setting.an, &file).await;
        let (sender, receiver) = tokio::sync::oneshot::channel::<std::io::Error>();
        let first = stream::iter([Ok(Bytes::copy_from_slice(&file[..500]))]);
        let then = stream::once(async { Err(receiver.await.expect("the line breaks")) });
        let request = setting.patching(&setting.an, &path, 0);
        let request = request.body(Body::from_stream(first.chain(then)));
        let handling = setting.send(request.expect("a request"));
        // Dropped while it waits for more.
        assert!(
            tokio::time::timeout(Duration::from_millis(200), handling)
                .await
                .is_err()
        );
        sender
            .send(std::io::Error::other("the line broke"))
            .expect("somebody still reads");
        while setting.offset(&setting.an, &path).await == Ok(0) {
            tokio::task::yield_now().await;
        }
        assert_eq!(setting.offset(&setting.an, &path).await, Ok(500));
    }
}

#[tokio::test]
async fn a_socket_that_closes_in_the_middle_of_a_body_loses_nothing_that_arrived() {
    for setting in settings().await {
        let file = photo(1_000, 1);
        let path = setting.created(&setting.an, &file).await;
<<<<<<< HEAD
        let address = setting.listen(&setting.an).await;
        let mut socket = TcpStream::connect(address).await.expect("a line");
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nhost: phone\r\ntus-resumable: 1.0.0\r\nupload-offset: 0\r\n\
             content-type: application/offset+octet-stream\r\ncontent-length: 1000\r\n\r\n"
=======
        let address = setting.listen().await;
        let mut socket = TcpStream::connect(address).await.expect("a line");
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nhost: phone\r\ntus-resumable: 1.0.0\r\nupload-offset: 0\r\n\
             content-type: application/offset+octet-stream\r\ncontent-length: 1000\r\nauthorization: {}\r\n\r\n",
            setting.an.authorization
>>>>>>> 8592b35b806a1cd463f3c9297d5c1f5badb454da
        );
        socket.write_all(head.as_bytes()).await.expect("sent");
        socket.write_all(&file[..400]).await.expect("sent");
        drop(socket);
        let counted = async {
            while setting.offset(&setting.an, &path).await != Ok(400) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), counted)
            .await
            .expect("the 400 bytes count");
    }
}

#[tokio::test]
async fn one_request_at_a_time_writes_an_upload() {
    for setting in settings().await {
        let file = photo(1_000, 1);
        let path = setting.created(&setting.an, &file).await;
<<<<<<< HEAD
        let held = Staged::hold(&setting.app, &row(&setting, &path).await)
=======
        let held = Staged::hold(&setting.app, &setting.row(&path).await)
>>>>>>> 8592b35b806a1cd463f3c9297d5c1f5badb454da
            .await
            .ok();
        assert!(held.is_some());
        let busy = setting.patch(&setting.an, &path, 0, &file).await;
        assert_eq!(busy.status, StatusCode::LOCKED);
        drop(held);
        let done = setting.patch(&setting.an, &path, 0, &file).await;
        assert_eq!(done.status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn an_upload_is_known_to_its_phone_alone() {
    for setting in settings().await {
        let file = photo(1_000, 1);
        let path = setting.created(&setting.an, &file).await;
        for stranger in [&setting.ha, &setting.chi, &setting.binh] {
            for method in [Method::HEAD, Method::DELETE] {
                let request = setting.request(stranger, method, &path);
                let refused = setting.send(body(request, b"")).await;
                assert_eq!(refused.status, StatusCode::NOT_FOUND);
            }
            let refused = setting.patch(stranger, &path, 0, &file).await;
            assert_eq!(refused.status, StatusCode::NOT_FOUND);
        }
        let anonymous = Request::builder()
            .method(Method::HEAD)
            .uri(&path)
            .header("tus-resumable", "1.0.0");
        let refused = setting.send(body(anonymous, b"")).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert_eq!(header(&refused, "tus-resumable"), "1.0.0");
        assert_eq!(setting.offset(&setting.an, &path).await, Ok(0));
    }
}

#[tokio::test]
async fn an_upload_given_up_is_gone_from_the_disk_too() {
    for setting in settings().await {
        let path = setting.created(&setting.an, &photo(1_000, 1)).await;
        assert!(setting.staged_file(&path).exists());
        let request = setting.request(&setting.an, Method::DELETE, &path);
        let gone = setting.send(body(request, b"")).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
        assert!(!setting.staged_file(&path).exists());
        assert_eq!(
            setting.offset(&setting.an, &path).await,
            Err(StatusCode::NOT_FOUND)
        );
    }
}

#[tokio::test]
async fn what_the_unit_holds_is_not_sent_again_and_another_unit_learns_nothing() {
    for setting in settings().await {
        let file = photo(1_000, 1);
        setting.bring(&setting.an, &file).await;

        let own = setting.create(&setting.ha, &file).await;
        assert_eq!(own.status, StatusCode::CREATED);
        assert_eq!(header(&own, "upload-offset"), "1000");
        let path = header(&own, "location").to_owned();
        assert_eq!(setting.offset(&setting.ha, &path).await, Ok(1_000));

        let foreign = setting.create(&setting.binh, &file).await;
        assert_eq!(foreign.status, StatusCode::CREATED);
        assert_eq!(header(&foreign, "upload-offset"), "0");
        let path = header(&foreign, "location").to_owned();
        assert_eq!(setting.offset(&setting.binh, &path).await, Ok(0));
        setting.bring(&setting.binh, &file).await;
        assert_eq!(rows(&setting.app, "attachment").await, 2);
    }
}

#[tokio::test]
<<<<<<< HEAD
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
        assert_eq!(files(&setting, "attachments/finishing"), 0);
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
        assert_eq!(files(&setting, ""), files(&setting, "kieumau.db") + 1);
        // The one that was announced is taken.
        setting.bring(&setting.an, &file).await;
    }
}

/// How many files lie under this path of the data folder: the master key is one, the database some more.
fn files(setting: &Setting, path: &str) -> usize {
    fn count(path: std::path::PathBuf) -> usize {
        std::fs::read_dir(path).map_or(0, |entries| {
            entries
                .map(|entry| entry.expect("an entry").path())
                .map(|path| if path.is_dir() { count(path) } else { 1 })
                .sum()
        })
    }
    let data = &setting.app.config.data;
    if path == "kieumau.db" {
        let entries = std::fs::read_dir(data).expect("the data folder");
        return entries
            .filter(|entry| {
                let name = entry.as_ref().expect("an entry").file_name();
                name.to_string_lossy().starts_with(path)
            })
            .count();
    }
    count(data.join(path))
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
        // How far it got before it died: sealed; moved to its place, not committed; committed, not cleaned up.
        for (seed, died_after) in [(1, "seal"), (2, "move"), (3, "commit")] {
            let file = photo(200_000, seed);
            let sha256 = Sha256::of(&file);
            let path = setting.created(&setting.chi, &file).await;
            setting
                .patch(&setting.chi, &path, 0, &file[..150_000])
                .await;
            let mut upload = row(&setting, &path).await;
            let Ok(mut staged) = Staged::hold(app, &upload).await else {
                panic!("nobody else holds it");
            };
            let mut rest = file[150_000..].to_vec();
            staged.write(150_000, &mut rest).await.expect("written");
            let sealed = finish::seal(app, &upload, &mut staged)
                .await
                .expect("sealed");
            match died_after {
                "move" => {
                    let folder = app.config.data.join("attachments");
                    let name = sha256.to_string();
                    let place = folder.join(format!("{}/{}", upload.unit, &name[..2]));
                    std::fs::create_dir_all(&place).expect("a folder");
                    let waiting = folder.join(format!("finishing/{}", upload.id));
                    std::fs::rename(waiting, place.join(name)).expect("moved");
                }
                "commit" => finish::commit(app, &mut upload, &sealed, 0)
                    .await
                    .expect("committed"),
                _ => {}
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
        // The third left its staged file. It is young, then it is old.
        let now_ms = clock::now_ms();
        let swept = finish::sweep(app, now_ms).await.expect("swept");
        assert_eq!(swept, Swept::default());
        let later = now_ms + LIFE_MS / 2;
        let swept = finish::sweep(app, later).await.expect("swept");
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
        let held = Staged::hold(app, &row(&setting, &written).await).await.ok();
        let week = clock::now_ms() + LIFE_MS;

        let swept = finish::sweep(app, week - 60_000).await.expect("swept");
        assert_eq!(swept.expired, 0);
        let swept = finish::sweep(app, week + 60_000).await.expect("swept");
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

#[tokio::test]
=======
>>>>>>> 8592b35b806a1cd463f3c9297d5c1f5badb454da
async fn an_upload_whose_bytes_are_lost_begins_anew() {
    for setting in settings().await {
        let file = photo(1_000, 1);
        let path = setting.created(&setting.an, &file).await;
        setting.patch(&setting.an, &path, 0, &file[..500]).await;
        std::fs::write(setting.staged_file(&path), b"short").expect("cut");
        let lost = setting.patch(&setting.an, &path, 500, &file[500..]).await;
        assert_eq!(lost.status, StatusCode::NOT_FOUND);
        setting.bring(&setting.an, &file).await;
    }
}

#[tokio::test]
async fn a_phone_with_too_many_uploads_loses_the_oldest_and_keeps_the_newest() {
    for setting in settings().await {
        let oldest = setting.created(&setting.an, &photo(10, 1)).await;
        setting
            .run(
                "update upload set expires_at_ms = expires_at_ms - 1000",
                &[],
                None,
            )
            .await;
        for seed in 2..65 {
            setting.created(&setting.an, &photo(10, seed)).await;
        }
        assert_eq!(setting.offset(&setting.an, &oldest).await, Ok(0));
        let newest = setting.created(&setting.an, &photo(10, 65)).await;
        assert_eq!(
            setting.offset(&setting.an, &oldest).await,
            Err(StatusCode::NOT_FOUND)
        );
        assert_eq!(setting.offset(&setting.an, &newest).await, Ok(0));
        assert_eq!(rows(&setting.app, "upload").await, 64);
    }
}
