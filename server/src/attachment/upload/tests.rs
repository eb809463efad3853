//! What a phone may rely on when the line is bad, and what a stranger cannot do.

use super::*;
use crate::{
    attachment::setting::{announcement, header, photo, settings},
    fixture::{self, rows},
};
use axum::{body::Bytes, http::request::Builder};
use futures_util::{StreamExt as _, stream};
use sha2::Digest as _;
use std::time::Duration;
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
            "creation,creation-with-upload,checksum,termination,expiration"
        );
        assert_eq!(header(&said, "tus-max-size"), "67108864");
        assert_eq!(header(&said, "tus-checksum-algorithm"), "sha1,sha256");

        let path = setting.created(&setting.an, &photo(10, 1)).await;
        let request = Request::builder()
            .method(Method::HEAD)
            .uri(path)
            .header("tus-resumable", "0.2.2")
            .header("authorization", &setting.an.authorization);
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
        let svg = BASE64_STANDARD.encode("image/svg+xml");
        let page = format!("{good},filetype {svg}");
        for (length, metadata, status, word) in [
            (None, Some(&good), 400, "malformed"),
            (Some("-1"), Some(&good), 400, "malformed"),
            (Some("0"), Some(&good), 422, "invalid"),
            (Some("67108865"), Some(&good), 413, "too-large"),
            (Some("9223372036854775808"), Some(&good), 413, "too-large"),
            (Some("18446744073709551616"), Some(&good), 400, "malformed"),
            (Some("5"), Some(&page), 415, "wrong-kind"),
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
        for (offset, status, word) in [
            ("", 400, "malformed"),
            ("-1", 400, "malformed"),
            ("+400", 400, "malformed"),
            ("4e2", 400, "malformed"),
            ("9223372036854775808", 409, "wrong-offset"),
            ("18446744073709551615", 409, "wrong-offset"),
            ("18446744073709551616", 400, "malformed"),
        ] {
            let request = setting
                .request(&setting.an, Method::PATCH, &path)
                .header("content-type", "application/offset+octet-stream")
                .header("upload-offset", offset);
            let refused = setting.send(body(request, &file[400..])).await;
            let said = (refused.status.as_u16(), refused.word());
            assert_eq!(said, (status, word.to_owned()));
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
        let address = setting.listen().await;
        let mut socket = TcpStream::connect(address).await.expect("a line");
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nhost: phone\r\ntus-resumable: 1.0.0\r\nupload-offset: 0\r\n\
             content-type: application/offset+octet-stream\r\ncontent-length: 1000\r\nauthorization: {}\r\n\r\n",
            setting.an.authorization
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
        let held = Staged::hold(&setting.app, &setting.row(&path).await)
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
async fn a_creation_says_the_same_whether_another_unit_holds_the_file_or_nobody() {
    for setting in settings().await {
        let held = photo(1_000, 1);
        setting.bring(&setting.an, &held).await;
        let nobodys = photo(1_000, 2);
        let said = async |file: &[u8]| {
            let reply = setting.create(&setting.binh, file).await;
            let mut headers = reply.headers.clone();
            // Its own random name, and the second at which it was made.
            headers.remove("location");
            headers.remove("upload-expires");
            (reply.status, headers, reply.body)
        };
        assert_eq!(said(&held).await, said(&nobodys).await);

        // The twin: asked about the other unit, the answer would tell.
        let person = &setting.people.binh;
        let (phone, _) = fixture::enrolled(&setting.app, person).await;
        let binh = EnrolledPhone {
            phone,
            person: person.person,
            unit: person.unit,
            role: person.role,
        };
        let new = |file: &[u8]| NewUpload {
            sha256: Sha256::of(file),
            size_bytes: 1_000,
            preview_of: None,
        };
        for (asked, told) in [
            (setting.people.vinh_phu, false),
            (setting.people.truong_vinh, true),
        ] {
            let upload = begin(&setting.app, &binh, asked, new(&held)).await;
            assert_eq!(upload.expect("begun").finished(), told);
        }
    }
}

#[tokio::test]
async fn an_upload_whose_time_is_over_is_gone_and_says_so_to_its_phone_alone() {
    for setting in settings().await {
        let file = photo(1_000, 1);
        let path = setting.created(&setting.an, &file).await;
        setting
            .run("update upload set expires_at_ms = 1", &[], None)
            .await;
        let late = setting.patch(&setting.an, &path, 0, &file).await;
        assert_eq!(late.status, StatusCode::GONE);
        assert_eq!(late.word(), "upload-expired");
        let stranger = setting.patch(&setting.ha, &path, 0, &file).await;
        assert_eq!(stranger.status, StatusCode::NOT_FOUND);
        setting.bring(&setting.an, &file).await;
    }
}

#[tokio::test]
async fn a_line_that_lets_only_posts_through_uploads_and_gives_up_all_the_same() {
    for setting in settings().await {
        let file = photo(1_000, 1);
        let path = setting.created(&setting.an, &file).await;
        let post = |method: &'static str, bytes: &[u8]| {
            let request = setting
                .request(&setting.an, Method::POST, &path)
                .header("x-http-method-override", method)
                .header("upload-offset", 0)
                .header("content-type", "application/offset+octet-stream");
            setting.send(body(request, bytes))
        };
        let taken = post("PATCH", &file[..500]).await;
        assert_eq!(taken.status, StatusCode::NO_CONTENT);
        let asked = post("HEAD", b"").await;
        assert_eq!(header(&asked, "upload-offset"), "500");
        let sha256 = BASE64_STANDARD.encode(Sha256::of(&file).to_string());
        assert_eq!(
            header(&asked, "upload-metadata"),
            format!("sha256 {sha256}")
        );
        assert_eq!(post("GET", b"").await.status, StatusCode::BAD_REQUEST);
        let given_up = post("DELETE", b"").await;
        assert_eq!(given_up.status, StatusCode::NO_CONTENT);
        assert_eq!(rows(&setting.app, "upload").await, 0);
    }
}

#[tokio::test]
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
