//! What counts of a body that is not what it should be, and the twin of each guard.

use super::*;
use crate::{
    attachment::setting::{Phone, Setting, announcement, header, photo, settings},
    fixture::{Reply, rows},
};
use axum::{body::Bytes, http::Method};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::stream;
use kieumau_core::hash::Sha256;
use sha2::Digest as _;

/// Creates an upload for `file` and sends these bytes with it.
async fn create_with(setting: &Setting, phone: &Phone, file: &[u8], bytes: &[u8]) -> Reply {
    let request = setting
        .request(phone, Method::POST, "/v1/attachments")
        .header("upload-length", file.len())
        .header("upload-metadata", announcement(Sha256::of(file)))
        .header("content-type", "application/offset+octet-stream");
    let request = request.body(bytes.to_vec().into());
    setting.send(request.expect("a request")).await
}

#[tokio::test]
async fn a_creation_takes_the_first_bytes_or_all_of_them() {
    for setting in settings().await {
        let file = photo(300_000, 1);
        let begun = create_with(&setting, &setting.chi, &file, &file[..100_000]).await;
        assert_eq!(begun.status, StatusCode::CREATED);
        assert_eq!(header(&begun, "upload-offset"), "100000");
        let path = header(&begun, "location").to_owned();
        let done = setting
            .patch(&setting.chi, &path, 100_000, &file[100_000..])
            .await;
        assert_eq!(done.status, StatusCode::NO_CONTENT);
        assert_eq!(
            setting.fetch(&setting.chi, Sha256::of(&file)).await.body,
            file
        );

        let small = photo(1_000, 2);
        let whole = create_with(&setting, &setting.chi, &small, &small).await;
        assert_eq!(header(&whole, "upload-offset"), "1000");
        assert_eq!(
            setting.fetch(&setting.chi, Sha256::of(&small)).await.body,
            small
        );
        // What the unit holds is complete at once, whatever comes with it.
        let again = create_with(&setting, &setting.chi, &small, &small).await;
        assert_eq!(again.status, StatusCode::CREATED);
        assert_eq!(header(&again, "upload-offset"), "1000");
    }
}

#[tokio::test]
async fn a_creation_whose_body_is_refused_leaves_no_upload() {
    for setting in settings().await {
        let file = photo(1_000, 1);
        let other = photo(1_000, 2);
        for (bytes, status) in [
            (&other[..], 460),
            (&[0; 1_001][..], 413),
            (&[b'<'; 500], 415),
        ] {
            let refused = create_with(&setting, &setting.chi, &file, bytes).await;
            assert_eq!(refused.status.as_u16(), status);
        }
        assert_eq!(rows(&setting.app, "upload").await, 0);
        assert_eq!(rows(&setting.app, "attachment").await, 0);
        assert_eq!(setting.app.objects.names().await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_file_that_could_run_is_refused_by_its_first_bytes_while_the_rest_is_on_its_way() {
    for setting in settings().await {
        for head in [
            &b"<svg xmlns='http://www.w3.org/2000/svg'>"[..],
            b"<!DOCTYPE html><script>",
            b"GIF89a\xff\xff\xff\xff\x80\0\0",
        ] {
            let mut file = head.to_vec();
            file.resize(8 << 20, b' ');
            let path = setting.created(&setting.chi, &file).await;
            // The rest never comes: the answer must not wait for it.
            let first = stream::iter([Ok::<_, std::io::Error>(Bytes::copy_from_slice(head))]);
            let body = Body::from_stream(first.chain(stream::pending()));
            let request = setting.patching(&setting.chi, &path, 0).body(body);
            let refused = setting.send(request.expect("a request")).await;
            assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
            assert_eq!(refused.word(), "wrong-kind");
        }
        assert_eq!(rows(&setting.app, "upload").await, 0);
    }
}

#[tokio::test]
async fn it_is_the_checksum_that_keeps_bent_bytes_from_counting() {
    for setting in settings().await {
        let file = photo(600_000, 1);
        let mut bent = file.clone();
        bent[300_000] ^= 1;
        let sum = BASE64_STANDARD.encode(sha2::Sha256::digest(&file[..500_000]));
        let path = setting.created(&setting.chi, &file).await;
        let send = |checksum: Option<&str>| {
            let mut request = setting.patching(&setting.chi, &path, 0);
            if let Some(checksum) = checksum {
                request = request.header("upload-checksum", checksum);
            }
            let request = request.body(Body::from(bent[..500_000].to_vec()));
            setting.send(request.expect("a request"))
        };
        assert_eq!(
            send(Some(&format!("sha256 {sum}"))).await.status.as_u16(),
            460
        );
        assert_eq!(setting.offset(&setting.chi, &path).await, Ok(0));
        // The twin: without it they count, and only the file's own hash refuses them, when all is sent.
        assert_eq!(send(None).await.status, StatusCode::NO_CONTENT);
        assert_eq!(setting.offset(&setting.chi, &path).await, Ok(500_000));
        let end = setting
            .patch(&setting.chi, &path, 500_000, &file[500_000..])
            .await;
        assert_eq!(end.word(), "hash-mismatch");
    }
}
