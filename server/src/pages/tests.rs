//! Who gets which page, on each database: own unit, other unit, another role, nobody; and what reading leaves in the audit.

use crate::{
    fixture::{People, TestApp, apps, audited, cookie, enrolled, send},
    session::SignedIn,
};
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use kieumau_core::id::UnitId;

const PATROL: &str = "0a000000-0000-7000-8000-000000000001";
const EVIDENCE: &str = "0a000000-0000-7000-8000-000000000002";
const HEADS: &str = "1111111111111111111111111111111111111111111111111111111111111111";

async fn put(app: &TestApp, sql: &'static str, values: &[&str]) {
    let mut tx = app.database.begin().await.expect("a transaction");
    let mut query = sqlx::query(sql);
    for value in values {
        query = query.bind((*value).to_owned());
    }
    query.execute(&mut *tx).await.expect("a row");
    tx.commit().await.expect("committed");
}

async fn document(app: &TestApp, id: &str, kind: &str, unit: UnitId) {
    put(
        app,
        "insert into document (document_id, kind, unit_id, name, wrapped_key, first_received_at_ms, size_bytes, heads, \
                               checked_heads, projected_heads) \
         values ($1, $2, $3, $1, '', 1, 1, $4, $4, $4)",
        &[id, kind, &unit.to_string(), HEADS],
    )
    .await;
}

/// A patrol of An alone and an evidence file, both in Trường Vinh.
async fn records(app: &TestApp, people: &People) {
    let (unit, an) = (people.truong_vinh.to_string(), people.an.person.to_string());
    document(app, PATROL, "patrol-log", people.truong_vinh).await;
    put(
        app,
        "insert into patrol (document_id, unit_id, title, started_at_ms, started_by, leader, ended_at_ms, length_m, \
                             fix_count, accuracy_unknown, observation_count, attachment_count, visit_count) \
         values ($1, $2, $3, 1000, $4, $4, 2000, 10, 0, 0, 0, 0, 0)",
        &[PATROL, &unit, "<script>alert(1)</script>", &an],
    )
    .await;
    put(
        app,
        "insert into patrol_member (document_id, person_id, since_ms) values ($1, $2, 1000)",
        &[PATROL, &an],
    )
    .await;
    document(app, EVIDENCE, "evidence-file", people.truong_vinh).await;
    put(
        app,
        "insert into evidence (document_id, evidence_id, unit_id, criterion, period, evidence_kind, summary, recorded_at_ms, \
                               recorded_by) \
         values ($1, $1, $2, 1, '2025-11-16..2026-11-15', 'plan', $3, 1000, $4)",
        &[EVIDENCE, &unit, "Kế hoạch năm", &an],
    )
    .await;
}

async fn asked(app: &TestApp, who: Option<&SignedIn>, path: &str) -> (StatusCode, String) {
    let mut request = Request::get(path).header(header::HOST, "127.0.0.1");
    if let Some(who) = who {
        request = request.header(header::COOKIE, cookie(app, who).await);
    }
    let reply = send(
        app,
        super::router(),
        request.body(Body::empty()).expect("a request"),
    )
    .await;
    (
        reply.status,
        String::from_utf8_lossy(&reply.body).into_owned(),
    )
}

#[tokio::test]
async fn each_page_is_there_for_those_who_have_it_and_for_nobody_else() {
    for app in apps().await {
        let people = People::new(&app).await;
        records(&app, &people).await;
        let (patrol, evidence) = (
            format!("/patrols/{PATROL}"),
            format!("/evidence/{EVIDENCE}"),
        );
        let (an, ha, binh, chi) = (&people.an, &people.ha, &people.binh, &people.chi);
        let (giang, dung, khoa) = (&people.giang, &people.dung, &people.khoa);
        for (path, open, closed) in [
            (
                patrol.as_str(),
                vec![an, chi],
                vec![ha, binh, giang, dung, khoa],
            ),
            (
                evidence.as_str(),
                vec![an, ha, chi],
                vec![binh, giang, dung, khoa],
            ),
            ("/patrols", vec![an, ha, binh, chi], vec![giang, dung, khoa]),
            (
                "/evidence",
                vec![an, ha, binh, chi],
                vec![giang, dung, khoa],
            ),
            ("/phones", vec![chi, dung], vec![an, ha, binh, giang, khoa]),
            ("/audit", vec![chi, khoa], vec![an, ha, binh, giang, dung]),
        ] {
            for who in open {
                assert_eq!(
                    asked(&app, Some(who), path).await.0,
                    StatusCode::OK,
                    "{path} {}",
                    who.name
                );
            }
            for who in closed {
                assert_eq!(
                    asked(&app, Some(who), path).await.0,
                    StatusCode::NOT_FOUND,
                    "{path} {}",
                    who.name
                );
            }
            assert_eq!(
                asked(&app, None, path).await.0,
                StatusCode::UNAUTHORIZED,
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn reading_one_thing_leaves_a_row_and_a_refused_reading_leaves_none() {
    for app in apps().await {
        let people = People::new(&app).await;
        records(&app, &people).await;
        asked(&app, Some(&people.chi), &format!("/patrols/{PATROL}")).await;
        asked(&app, Some(&people.binh), &format!("/patrols/{PATROL}")).await;
        asked(&app, Some(&people.chi), "/patrols").await;
        let rows = audited(&app, "patrol-read").await;
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].person, Some(people.chi.person.to_string()));
        assert_eq!(rows[0].subject.as_deref(), Some(PATROL));
    }
}

async fn serve_as(app: &TestApp, who: &SignedIn, role: &str) {
    put(
        app,
        "update person set role = $1 where person_id = $2",
        &[role, &who.person.to_string()],
    )
    .await;
}

#[tokio::test]
async fn the_audit_says_names_to_all_its_readers_and_titles_to_whom_they_are() {
    for app in apps().await {
        let people = People::new(&app).await;
        records(&app, &people).await;
        let (phone, _) = enrolled(&app, &people.an).await;
        let (chi, khoa, binh) = (&people.chi, &people.khoa, &people.binh);
        let checkpoint = "0a000000-0000-7000-8000-0000000000c1";
        put(
            &app,
            "insert into checkpoint (document_id, checkpoint_id, unit_id, name, lat_e7, lon_e7) values ($1, $1, $2, $3, 0, 0)",
            &[checkpoint, &people.truong_vinh.to_string(), "Cầu Kênh Bắc"],
        )
        .await;
        let phone = phone.to_string();
        let hash = HEADS.to_owned();
        for (number, unit) in [people.truong_vinh, people.vinh_phu]
            .into_iter()
            .enumerate()
        {
            let unit = unit.to_string();
            for (at, subject) in [PATROL, EVIDENCE, checkpoint, &phone, &unit, &hash]
                .iter()
                .enumerate()
            {
                put(
                    &app,
                    "insert into audit (audit_id, at_ms, unit_id, action, subject) values ($1, 5000, $2, 'exported', $3)",
                    &[&format!("{number}{at}"), &unit, subject],
                )
                .await;
            }
        }
        // Another unit's chief, whose own log names what is not theirs; and an auditor who serves in the unit itself.
        serve_as(&app, &people.binh, "chief").await;
        serve_as(&app, &people.ha, "auditor").await;
        for (who, reads) in [
            (chi, true),
            (khoa, false),
            (binh, false),
            (&people.ha, false),
        ] {
            let (status, page) = asked(&app, Some(who), "/audit").await;
            assert_eq!(status, StatusCode::OK);
            for content in [
                "alert(1)",
                "Cầu Kênh Bắc",
                "16/11/2025 – 15/11/2026",
                &format!("href=\"/patrols/{PATROL}\""),
                &format!("href=\"/evidence/{EVIDENCE}\""),
            ] {
                assert_eq!(page.contains(content), reads, "{} {content}", who.name);
            }
            assert!(!page.contains("<script>alert"));
            let known = if who.name == "Chi" {
                "Phường Trường Vinh"
            } else {
                "Phường Vinh Phú"
            };
            // A document is at least of its kind, and every id is there whole.
            for there in [
                known, ">An<br>", PATROL, EVIDENCE, checkpoint, &phone, &hash,
            ] {
                assert!(page.contains(there), "{} {there}", who.name);
            }
            assert!(reads || page.contains("Ca tuần tra<br>"));
            assert!(page.contains(&format!("title=\"{PATROL}\">…000000000001<")));
        }
    }
}

#[tokio::test]
async fn a_list_has_only_what_its_reader_may_open_and_titles_are_text() {
    for app in apps().await {
        let people = People::new(&app).await;
        records(&app, &people).await;
        for (who, rows) in [
            (&people.chi, 1),
            (&people.an, 1),
            (&people.ha, 0),
            (&people.binh, 0),
        ] {
            let (_, page) = asked(&app, Some(who), "/patrols").await;
            assert_eq!(page.matches("data-open").count(), rows, "{}", who.name);
            assert!(!page.contains("<script>alert"));
        }
        for (state, rows) in [
            ("unreviewed", 1),
            ("ended", 1),
            ("going-on", 0),
            ("approved", 0),
            ("again", 0),
        ] {
            let (_, page) =
                asked(&app, Some(&people.chi), &format!("/patrols?state={state}")).await;
            assert_eq!(page.matches("data-open").count(), rows, "{state}");
        }
    }
}

#[tokio::test]
async fn a_successor_unit_reads_what_its_predecessor_wrote() {
    for app in apps().await {
        let people = People::new(&app).await;
        records(&app, &people).await;
        let path = format!("/evidence/{EVIDENCE}");
        let (status, _) = asked(&app, Some(&people.binh), &path).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let phuc = people.merge(&app).await;
        let (status, page) = asked(&app, Some(&people.binh), &path).await;
        assert_eq!(status, StatusCode::OK);
        assert!(page.contains("Phường Trường Vinh") && !page.contains("seen_heads"));
        // Its chief decides there too.
        let (status, page) = asked(&app, Some(&phuc), &path).await;
        assert_eq!(status, StatusCode::OK);
        assert!(page.contains("seen_heads"));
    }
}

#[tokio::test]
async fn fifty_patrols_are_a_page_and_the_next_begins_after_them() {
    for app in apps().await {
        let people = People::new(&app).await;
        let (unit, an) = (people.truong_vinh.to_string(), people.an.person.to_string());
        for number in 0..53 {
            // All at the same moment: only the id tells where a page ends.
            let id = format!("0a000000-0000-7000-8000-{number:012}");
            document(&app, &id, "patrol-log", people.truong_vinh).await;
            put(
                &app,
                "insert into patrol (document_id, unit_id, title, started_at_ms, started_by, leader, length_m, fix_count, \
                                     accuracy_unknown, observation_count, attachment_count, visit_count) \
                 values ($1, $2, $1, 1000, $3, $3, 0, 0, 0, 0, 0, 0)",
                &[&id, &unit, &an],
            )
            .await;
        }
        let (_, first) = asked(&app, Some(&people.chi), "/patrols").await;
        assert_eq!(first.matches("data-open").count(), 50);
        let after = format!("/patrols?after=1000.0a000000-0000-7000-8000-{:012}", 3);
        assert!(first.contains("after=1000.0a000000-0000-7000-8000-000000000003"));
        let (_, second) = asked(&app, Some(&people.chi), &after).await;
        assert_eq!(second.matches("data-open").count(), 3);
    }
}

#[tokio::test]
async fn only_a_chief_decides_and_a_form_from_elsewhere_does_nothing() {
    for app in apps().await {
        let people = People::new(&app).await;
        records(&app, &people).await;
        for (who, site, status) in [
            (&people.an, "same-origin", StatusCode::FORBIDDEN),
            (&people.ha, "same-origin", StatusCode::NOT_FOUND),
            (&people.binh, "same-origin", StatusCode::NOT_FOUND),
            (&people.dung, "same-origin", StatusCode::NOT_FOUND),
            (&people.chi, "cross-site", StatusCode::FORBIDDEN),
        ] {
            let request = Request::post(format!("/decisions/{PATROL}"))
                .header(header::COOKIE, cookie(&app, who).await)
                .header(header::HOST, "127.0.0.1")
                .header("sec-fetch-site", site)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Body::from(format!("decision=approved&seen_heads={HEADS}")))
                .expect("a request");
            assert_eq!(
                send(&app, super::router(), request).await.status,
                status,
                "{} {site}",
                who.name
            );
        }
        assert_eq!(crate::fixture::rows(&app, "decision").await, 0);
    }
}

/// What a page shows of the patrol and what its form vouches for: the number of the version in each.
fn versions(page: &str) -> (u64, u64) {
    let number = |before: &str| -> u64 {
        let (_, after) = page.split_once(before).expect("is on the page");
        let digits: String = after.chars().take_while(char::is_ascii_hexdigit).collect();
        digits.parse().expect("a number")
    };
    (
        number("<h1>version "),
        number("name=\"seen_heads\" value=\""),
    )
}

/// Writes version after version of the patrol, each its title and its heads in one transaction, until it is stopped.
async fn rewrite(app: &TestApp, stopped: &std::sync::atomic::AtomicBool) {
    for version in 1_u64.. {
        if stopped.load(std::sync::atomic::Ordering::Relaxed) {
            return;
        }
        let mut tx = app.database.begin().await.expect("a transaction");
        for (sql, value) in [
            (
                "update patrol set title = $1 where document_id = $2",
                format!("version {version}."),
            ),
            (
                "update document set checked_heads = $1 where document_id = $2",
                format!("{version:064}"),
            ),
        ] {
            let query = sqlx::query(sql).bind(value).bind(PATROL);
            query.execute(&mut *tx).await.expect("written");
        }
        tx.commit().await.expect("committed");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_never_vouches_for_more_than_its_page_shows() {
    for app in apps().await {
        let people = People::new(&app).await;
        records(&app, &people).await;
        let stopped = std::sync::atomic::AtomicBool::new(false);
        let read = async {
            while !sqlx::query_scalar::<_, String>("select title from patrol")
                .fetch_one(&app.database.read)
                .await
                .expect("a row")
                .starts_with("version")
            {
                tokio::task::yield_now().await;
            }
            for _ in 0..40 {
                let page = asked(&app, Some(&people.chi), &format!("/patrols/{PATROL}")).await;
                let (shown, vouched) = versions(&page.1);
                assert!(vouched <= shown, "{vouched} over {shown}");
            }
            // The twin: read last, the heads are soon of something that the page did not show.
            let mut tries = 0;
            loop {
                let title: String = sqlx::query_scalar("select title from patrol")
                    .fetch_one(&app.database.read)
                    .await
                    .expect("a row");
                let id = PATROL.parse().expect("an id");
                let heads = super::decision::heads_now(&app, id).await.expect("heads");
                let heads: u64 = heads.parse().expect("a number");
                if title != format!("version {heads}.") {
                    break;
                }
                tries += 1;
                assert!(
                    tries < 100_000,
                    "nothing was ever written between two reads"
                );
            }
            stopped.store(true, std::sync::atomic::Ordering::Relaxed);
        };
        tokio::join!(read, rewrite(&app, &stopped));
    }
}

#[tokio::test]
async fn times_from_the_ends_of_the_world_are_no_reason_to_show_nothing() {
    for app in apps().await {
        let people = People::new(&app).await;
        records(&app, &people).await;
        put(
            &app,
            "update patrol set started_at_ms = -9223372036854775808, ended_at_ms = 9223372036854775807 where document_id = $1",
            &[PATROL],
        )
        .await;
        put(
            &app,
            "insert into pause (document_id, pause_id, person_id, from_ms, until_ms) \
             values ($1, $1, $2, -9223372036854775808, 9223372036854775807)",
            &[PATROL, &people.an.person.to_string()],
        )
        .await;
        for path in ["/patrols".to_owned(), format!("/patrols/{PATROL}")] {
            let (status, page) = asked(&app, Some(&people.chi), &path).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert!(page.contains("106.751.991.167 ngày"), "{path}");
        }
    }
}

#[tokio::test]
async fn what_no_text_may_hold_is_refused_before_any_database_sees_it() {
    for app in apps().await {
        let people = People::new(&app).await;
        records(&app, &people).await;
        let (unprocessable, nowhere) = (StatusCode::UNPROCESSABLE_ENTITY, StatusCode::NOT_FOUND);
        for (who, path, status) in [
            (&people.chi, "/patrols?unit=%00", unprocessable),
            (&people.chi, "/patrols?after=5.%00", unprocessable),
            (&people.chi, "/patrols?state=%00", StatusCode::OK),
            (&people.chi, "/patrols?from=%00", unprocessable),
            (&people.chi, "/evidence?period=%00", unprocessable),
            (&people.chi, "/evidence?criterion=%00", StatusCode::OK),
            (&people.khoa, "/audit?person=%00", unprocessable),
            (&people.khoa, "/audit?after=5.%00", unprocessable),
            (&people.chi, "/quarantine/%00", nowhere),
            (&people.chi, "/patrols/%00", nowhere),
            // What is merely unknown finds nothing.
            (&people.chi, "/patrols?unit=elsewhere", StatusCode::OK),
        ] {
            let answer = asked(&app, Some(who), path).await;
            assert_eq!(answer.0, status, "{path}: {}", answer.1);
        }
        let typed = crate::session::sign_in(&app, "chi\0", "a\0password").await;
        let word = typed.err().map(|problem| problem.word());
        assert_eq!(word, Some("sign-in-refused"));
    }
}
