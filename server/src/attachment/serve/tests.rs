//! Who may read what, and what a browser is told about it.

use super::*;
use crate::{
    attachment::{
        setting::{Setting, header, photo, settings},
        thumbnail::store_thumbnail,
    },
    fixture::{Reply, audited},
};
use axum::http::Method;

/// Hangs `sha256` on a patrol of Trường Vinh on which only An was.
async fn hang_on_the_patrol_of_an(setting: &Setting, sha256: Sha256) {
    setting
        .hang("patrol-1", setting.people.truong_vinh, sha256)
        .await;
    setting
        .run(
            "insert into patrol_member (document_id, person_id, since_ms) values ('patrol-1', $1, 0)",
            &[&setting.people.an.person.to_string()],
            None,
        )
        .await;
}

async fn hang_on_evidence(setting: &Setting, sha256: Sha256) {
    setting
        .hang("evidence-1", setting.people.truong_vinh, sha256)
        .await;
    setting
        .run(
            "insert into evidence (document_id, evidence_id, unit_id, criterion, period, evidence_kind, summary, recorded_at_ms, recorded_by) \
             values ('evidence-1', 'e', $1, 5, '2026', 'photo', 's', 0, 'x')",
            &[&setting.people.truong_vinh.to_string()],
            None,
        )
        .await;
}

fn place(setting: &Setting, sha256: Sha256) -> String {
    format!("/attachments/{}/{sha256}", setting.people.truong_vinh)
}

#[tokio::test]
async fn a_photo_of_a_patrol_is_for_its_team_and_the_chief_and_is_not_there_for_anybody_else() {
    for setting in settings().await {
        let file = photo(100_000, 1);
        let sha256 = setting.bring(&setting.an, &file).await;
        let people = &setting.people;
        let place = place(&setting, sha256);
        // Before the record that it hangs on is understood, it is the chief's alone.
        assert_eq!(
            setting.fetch(&setting.an, sha256).await.status,
            StatusCode::NOT_FOUND
        );
        assert_eq!(setting.fetch(&setting.chi, sha256).await.body, file);
        hang_on_the_patrol_of_an(&setting, sha256).await;

        for reader in [&people.an, &people.chi] {
            let read = setting.open(reader, &place, &[]).await;
            assert_eq!((read.status, read.body), (StatusCode::OK, file.clone()));
        }
        assert_eq!(setting.fetch(&setting.an, sha256).await.body, file);
        for stranger in [
            &people.ha,
            &people.binh,
            &people.giang,
            &people.dung,
            &people.khoa,
        ] {
            let refused = setting.open(stranger, &place, &[]).await;
            assert_eq!(refused.status, StatusCode::NOT_FOUND);
        }
        for stranger in [&setting.ha, &setting.binh] {
            let refused = setting.fetch(stranger, sha256).await;
            assert_eq!(refused.status, StatusCode::NOT_FOUND);
        }
        let anonymous = axum::http::Request::builder().uri(&place);
        let refused = setting
            .send(anonymous.body(Body::empty()).expect("a request"))
            .await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn evidence_is_for_the_whole_unit_and_another_units_copy_is_another_file() {
    for setting in settings().await {
        let file = photo(1_000, 1);
        let sha256 = setting.bring(&setting.an, &file).await;
        hang_on_evidence(&setting, sha256).await;
        let place = place(&setting, sha256);
        let people = &setting.people;
        let read = setting.open(&people.ha, &place, &[]).await;
        assert_eq!(read.status, StatusCode::OK);
        assert_eq!(setting.fetch(&setting.ha, sha256).await.body, file);
        let refused = setting.open(&people.binh, &place, &[]).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND);
        // A hash that Bình's unit holds nothing of, though the server does.
        let refused = setting.fetch(&setting.binh, sha256).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_successors_chief_opens_what_its_predecessor_brought() {
    for setting in settings().await {
        let file = photo(1_000, 1);
        let sha256 = setting.bring(&setting.an, &file).await;
        hang_on_the_patrol_of_an(&setting, sha256).await;
        let place = place(&setting, sha256);
        let people = &setting.people;
        let phuc = people.merge(&setting.app).await;
        let read = setting.open(&phuc, &place, &[]).await;
        assert_eq!((read.status, read.body), (StatusCode::OK, file));
        // An officer there was not on that patrol, and a predecessor's chief does not follow the successor.
        let refused = setting.open(&people.binh, &place, &[]).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND);
        let theirs = setting.bring(&setting.binh, &photo(1_000, 2)).await;
        let place = format!("/attachments/{}/{theirs}", people.vinh_phu);
        let refused = setting.open(&people.chi, &place, &[]).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND);
        // What hangs on the predecessor's evidence is the whole successor's to read.
        hang_on_evidence(&setting, sha256).await;
        let place = self::place(&setting, sha256);
        let read = setting.open(&people.binh, &place, &[]).await;
        assert_eq!(read.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn what_was_withdrawn_as_a_slip_is_for_the_chief_alone() {
    for setting in settings().await {
        let sha256 = setting.bring(&setting.an, &photo(1_000, 1)).await;
        hang_on_the_patrol_of_an(&setting, sha256).await;
        let place = place(&setting, sha256);
        let people = &setting.people;
        let read = setting.open(&people.an, &place, &[]).await;
        assert_eq!(read.status, StatusCode::OK);
        setting
            .run("update attachment_use set withdrawn_at_ms = 1", &[], None)
            .await;
        let refused = setting.open(&people.an, &place, &[]).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND);
        let read = setting.open(&people.chi, &place, &[]).await;
        assert_eq!(read.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_reading_on_a_page_leaves_a_row_and_a_refused_one_does_not() {
    for setting in settings().await {
        let sha256 = setting.bring(&setting.an, &photo(1_000, 1)).await;
        let place = place(&setting, sha256);
        setting.open(&setting.people.binh, &place, &[]).await;
        assert_eq!(audited(&setting.app, "attachment-read").await, []);
        setting.open(&setting.people.chi, &place, &[]).await;
        let [read] = audited(&setting.app, "attachment-read")
            .await
            .try_into()
            .expect("one row");
        assert_eq!(read.person, Some(setting.people.chi.person.to_string()));
        assert_eq!(read.unit, Some(setting.people.truong_vinh.to_string()));
        assert_eq!(read.subject, Some(sha256.to_string()));
    }
}

#[tokio::test]
async fn a_range_is_exactly_those_bytes() {
    for setting in settings().await {
        let file = photo(600_000, 1);
        let sha256 = setting.bring(&setting.an, &file).await;
        let place = place(&setting, sha256);
        let ask = async |range: &str| -> Reply {
            let asked = [("range", range)];
            setting.open(&setting.people.chi, &place, &asked).await
        };
        for (range, expected, said) in [
            ("bytes=0-0", 0..1, "bytes 0-0/600000"),
            (
                "bytes=65535-65536",
                65_535..65_537,
                "bytes 65535-65536/600000",
            ),
            (
                "bytes=100000-",
                100_000..600_000,
                "bytes 100000-599999/600000",
            ),
            ("bytes=-7", 599_993..600_000, "bytes 599993-599999/600000"),
            (
                "bytes=599999-999999",
                599_999..600_000,
                "bytes 599999-599999/600000",
            ),
        ] {
            let part = ask(range).await;
            assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
            assert_eq!(header(&part, "content-range"), said);
            assert_eq!(header(&part, "content-length"), expected.len().to_string());
            assert_eq!(part.body, file[expected]);
        }
        for range in ["bytes=600000-", "bytes=-0", "bytes=18446744073709551615-"] {
            let outside = ask(range).await;
            assert_eq!(outside.status, StatusCode::RANGE_NOT_SATISFIABLE);
            assert_eq!(header(&outside, "content-range"), "bytes */600000");
        }
        let tag = format!("\"{sha256}\"");
        let same = [("range", "bytes=0-0"), ("if-range", tag.as_str())];
        let reply = setting.open(&setting.people.chi, &place, &same).await;
        assert_eq!(reply.status, StatusCode::PARTIAL_CONTENT);
        for whole in ["bytes=0-1,5-6", "lines=1-2", "bytes=9-1"] {
            let reply = ask(whole).await;
            assert_eq!((reply.status, reply.body.len()), (StatusCode::OK, 600_000));
        }
        let other = [("range", "bytes=0-0"), ("if-range", "\"other\"")];
        let reply = setting.open(&setting.people.chi, &place, &other).await;
        assert_eq!(reply.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn what_the_browser_has_is_not_sent_again_but_is_a_reading() {
    for setting in settings().await {
        let sha256 = setting.bring(&setting.an, &photo(1_000, 1)).await;
        let place = place(&setting, sha256);
        let first = setting.open(&setting.people.chi, &place, &[]).await;
        let etag = header(&first, "etag").to_owned();
        assert_eq!(etag, format!("\"{sha256}\""));
        let held = [("if-none-match", etag.as_str())];
        let again = setting.open(&setting.people.chi, &place, &held).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
        assert!(again.body.is_empty());
        assert_eq!(audited(&setting.app, "attachment-read").await.len(), 2);
        let other = [("if-none-match", "\"other\"")];
        let sent = setting.open(&setting.people.chi, &place, &other).await;
        assert_eq!(sent.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_photo_is_shown_a_document_is_saved_and_neither_can_run() {
    for setting in settings().await {
        let file = |head: &[u8]| {
            let mut file = head.to_vec();
            file.resize(1_000, b' ');
            file
        };
        let (film, sound) = (b"\0\0\0\x18ftypisom", b"\0\0\0\x18ftypM4A ");
        for (file, media_type, place_word) in [
            (photo(1_000, 1), "image/jpeg", "inline"),
            (file(b"%PDF-1.7\n<script>"), "application/pdf", "attachment"),
            (file(film), "video/mp4", "attachment"),
            (file(sound), "audio/mp4", "attachment"),
        ] {
            let sha256 = setting.bring(&setting.an, &file).await;
            let reply = setting
                .open(&setting.people.chi, &place(&setting, sha256), &[])
                .await;
            assert_eq!(header(&reply, "content-type"), media_type);
            assert!(header(&reply, "content-disposition").starts_with(place_word));
            assert_eq!(header(&reply, "x-content-type-options"), "nosniff");
            assert_eq!(
                header(&reply, "content-security-policy"),
                "sandbox; default-src 'none'"
            );
            assert_eq!(header(&reply, "cache-control"), "private, no-cache");
        }
    }
}

#[tokio::test]
async fn a_damaged_file_is_an_error_and_never_half_a_photo() {
    for setting in settings().await {
        let sha256 = setting.bring(&setting.an, &photo(100_000, 1)).await;
        let objects = &setting.app.objects;
        let [object] = objects.names().await.try_into().expect("one object");
        let mut sealed = objects.read(&object).await;
        sealed.truncate(70_000);
        objects.replace(&object, sealed).await;
        let place = place(&setting, sha256);
        let reply = setting.open(&setting.people.chi, &place, &[]).await;
        assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
}

#[tokio::test]
async fn a_file_that_vanished_from_the_store_is_an_error_and_not_a_file_that_never_was() {
    for setting in settings().await {
        let sha256 = setting.bring(&setting.an, &photo(1_000, 1)).await;
        let objects = &setting.app.objects;
        let [object] = objects.names().await.try_into().expect("one object");
        objects.remove(&object).await.expect("removed");
        let place = place(&setting, sha256);
        let reply = setting.open(&setting.people.chi, &place, &[]).await;
        assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(reply.word(), "internal");
    }
}

#[tokio::test]
async fn a_thumbnail_is_there_once_it_is_made() {
    for setting in settings().await {
        let sha256 = setting.bring(&setting.an, &photo(1_000, 1)).await;
        let place = format!("{}/thumbnail", place(&setting, sha256));
        let chi = &setting.people.chi;
        let early = setting.open(chi, &place, &[]).await;
        assert_eq!(early.status, StatusCode::NOT_FOUND);
        let unit = setting.people.truong_vinh;
        store_thumbnail(&setting.app, unit, sha256, Some(b"small"))
            .await
            .expect("kept");
        let made = setting.open(chi, &place, &[]).await;
        assert_eq!(made.status, StatusCode::OK);
        assert_eq!(made.body, b"small");
        let refused = setting.open(&setting.people.ha, &place, &[]).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND);
        let rows = audited(&setting.app, "attachment-read").await;
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].detail.as_deref(), Some("thumbnail"));
    }
}

#[tokio::test]
async fn asking_for_the_head_of_a_hash_is_asking_for_an_upload() {
    for setting in settings().await {
        let sha256 = setting.bring(&setting.an, &photo(1_000, 1)).await;
        let path = format!("/v1/attachments/{sha256}");
        let request = setting.request(&setting.chi, Method::HEAD, &path);
        let reply = setting
            .send(request.body(Body::empty()).expect("a request"))
            .await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
    }
}
