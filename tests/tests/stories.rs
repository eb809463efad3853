//! Stories as sentences: what officers and chiefs live through, over real processes and sockets.

use kieumau_core::{
    criterion::CriterionNumber,
    evidence::NewEvidence,
    invalid::{Invalid, Rule},
    phone::{ItemState, Part, PhoneError, SyncOptions, Unreached, Why},
};
use kieumau_tests::world::{World, eventually};
use reqwest::StatusCode;

/// A small JPEG of our own.
const PICTURE: &[u8] = include_bytes!("picture.jpg");

fn note(text: &str) -> NewEvidence {
    NewEvidence {
        evidence_kind: "photo".into(),
        summary: text.into(),
        ..NewEvidence::default()
    }
}

#[tokio::test]
async fn a_night_patrol_without_signal_is_sent_in_the_morning() {
    let world = World::new().await;
    let an = world.phone("an").await;
    an.signal.set(false);
    let patrol = an.patrol_called("Ca đêm, tổ An").await;
    an.walk(patrol, 70).await;
    let observation = an.observe(patrol, "Lấn chiếm vỉa hè").await;
    let picture = world.file("anh.jpg", PICTURE);
    an.photograph(patrol, &observation.to_string(), &picture)
        .await;
    an.end(patrol).await.expect("ends");
    assert_eq!(an.state(patrol).await, ItemState::Saved);

    assert!(matches!(
        an.try_sync().await,
        Err(PhoneError::Offline { .. })
    ));
    assert_eq!(an.state(patrol).await, ItemState::Waiting);

    an.signal.set(true);
    let report = an.sync_well().await;
    assert_eq!(report.sent_files, 1);
    assert_eq!(an.state(patrol).await, ItemState::Received);

    let chi = world.desk("chi").await;
    eventually("the patrol is on Chi's page", async || {
        chi.read("/patrols").await.1.contains("Ca đêm, tổ An")
    })
    .await;
    let (status, page) = chi.read(&format!("/patrols/{patrol}")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("Lấn chiếm vỉa hè"));
}

#[tokio::test]
async fn nothing_is_called_sent_before_text_and_photo_are_both_there() {
    let world = World::new().await;
    let an = world.phone("an").await;
    let patrol = an.patrol_called("Ca có ảnh").await;
    let observation = an.observe(patrol, "Có ảnh").await;
    an.photograph(
        patrol,
        &observation.to_string(),
        &world.file("anh.jpg", PICTURE),
    )
    .await;
    let text_only = SyncOptions {
        tries: 1,
        attachments: false,
        ..SyncOptions::default()
    };
    an.sync(text_only).await.expect("the text goes");
    assert_eq!(an.state(patrol).await, ItemState::Waiting);
    an.sync_well().await;
    assert_eq!(an.state(patrol).await, ItemState::Received);
}

#[tokio::test]
async fn on_a_metered_line_text_goes_and_photos_wait_for_wifi_and_say_so() {
    let world = World::new().await;
    let an = world.phone("an").await;
    let patrol = an.patrol_called("Ca trên mạng di động").await;
    let observation = an.observe(patrol, "Có ảnh").await;
    an.photograph(
        patrol,
        &observation.to_string(),
        &world.file("anh.jpg", PICTURE),
    )
    .await;
    let metered = SyncOptions {
        wifi_only: true,
        metered: true,
        ..SyncOptions::default()
    };
    let report = an.sync(metered).await.expect("the text goes");
    assert_eq!(report.sent_files, 0);
    let [item] = &an.items(None).await.expect("reads")[..] else {
        panic!("one patrol");
    };
    let [waiting] = &item.waiting[..] else {
        panic!("only the photo waits: {:?}", item.waiting);
    };
    assert_eq!(
        (waiting.part, &waiting.why, waiting.size_bytes),
        (Part::File, &Why::NoWifi, PICTURE.len() as u64)
    );
    let wifi = SyncOptions {
        metered: false,
        ..metered
    };
    an.sync(wifi).await.expect("the photo goes");
    assert_eq!(an.state(patrol).await, ItemState::Received);
    assert!(an.items(None).await.expect("reads")[0].waiting.is_empty());
}

#[tokio::test]
async fn a_colleagues_photo_that_is_still_on_her_phone_keeps_the_patrol_unsent() {
    let world = World::new().await;
    let (an, ha) = (world.phone("an").await, world.phone("ha").await);
    let patrol = an.patrol_called("Ca có ảnh của Hà").await;
    let qr = an.patrol(patrol).await.expect("reads").join_qr;
    ha.join_patrol(&qr).await.expect("joins");
    let observation = ha.observe(patrol, "Có ảnh").await;
    ha.photograph(
        patrol,
        &observation.to_string(),
        &world.file("anh.jpg", PICTURE),
    )
    .await;
    let text_only = SyncOptions {
        tries: 1,
        attachments: false,
        ..SyncOptions::default()
    };
    ha.sync(text_only).await.expect("the text goes");
    eventually("An's phone has Hà's observation", async || {
        an.sync_well().await;
        an.observations(patrol).await.expect("reads").len() == 1
    })
    .await;
    assert_eq!(an.state(patrol).await, ItemState::Waiting);
    ha.sync_well().await;
    an.sync_well().await;
    assert_eq!(an.state(patrol).await, ItemState::Received);
}

#[tokio::test]
async fn an_and_ha_write_one_patrol_offline_and_both_are_kept() {
    let world = World::new().await;
    let (an, ha) = (world.phone("an").await, world.phone("ha").await);
    an.signal.set(false);
    ha.signal.set(false);
    let patrol = an.patrol_called("Ca hai người").await;
    let qr = an.patrol(patrol).await.expect("reads").join_qr;
    assert_eq!(ha.join_patrol(&qr).await.expect("joins by the QR"), patrol);
    an.observe(patrol, "An thấy").await;
    ha.observe(patrol, "Hà thấy").await;
    an.signal.set(true);
    ha.signal.set(true);
    eventually("both phones show both", async || {
        an.sync_well().await;
        ha.sync_well().await;
        let of_an = an.observations(patrol).await.expect("reads");
        let of_ha = ha.observations(patrol).await.expect("reads");
        of_an.len() == 2 && of_an == of_ha
    })
    .await;
    let chi = world.desk("chi").await;
    eventually("the page shows both", async || {
        let (_, page) = chi.read(&format!("/patrols/{patrol}")).await;
        page.contains("An thấy") && page.contains("Hà thấy")
    })
    .await;
}

#[tokio::test]
async fn a_shift_is_handed_over_and_confirmed_by_who_takes_it() {
    let world = World::new().await;
    let (an, ha) = (world.phone("an").await, world.phone("ha").await);
    let patrol = an.patrol_called("Ca giao lúc 23 giờ").await;
    let taker = ha.profile().await.expect("enrolled").person;
    let handover = an
        .hand_over(patrol, taker, "Còn một xe tạm giữ ở trụ sở")
        .await
        .expect("hands over");
    an.sync_well().await;
    // Hà was not on the team: being handed the shift lets her read it.
    eventually("the patrol is on Hà's phone", async || {
        ha.sync_well().await;
        ha.patrol(patrol).await.is_ok()
    })
    .await;
    ha.confirm_handover(patrol, handover)
        .await
        .expect("confirms");
    ha.sync_well().await;
    let chi = world.desk("chi").await;
    eventually("Chi reads that it was confirmed", async || {
        let (_, page) = chi.read(&format!("/patrols/{patrol}")).await;
        page.contains("Còn một xe tạm giữ ở trụ sở") && !page.contains("Chưa xác nhận")
    })
    .await;
}

#[tokio::test]
async fn evidence_born_twice_is_one_file() {
    let world = World::new().await;
    let (an, ha) = (world.phone("an").await, world.phone("ha").await);
    let criterion = CriterionNumber::new(20).expect("a number");
    let period = "2025-11-16..2026-11-15".parse().expect("a period");
    let (document, _) = an
        .file_evidence(criterion, &period, note("Vỉa hè Lê Lợi"))
        .await
        .expect("files");
    let (same, _) = ha
        .file_evidence(criterion, &period, note("Vỉa hè Quang Trung"))
        .await
        .expect("files");
    assert_eq!(document, same);
    eventually("both phones show both pieces", async || {
        an.sync_well().await;
        ha.sync_well().await;
        let (of_an, of_ha) = (
            an.evidence().await.expect("reads"),
            ha.evidence().await.expect("reads"),
        );
        of_an[0].items.len() == 2 && of_an[0].items == of_ha[0].items
    })
    .await;
}

#[tokio::test]
async fn a_decision_comes_back_and_the_mended_patrol_is_approved() {
    let world = World::new().await;
    let (an, chi) = (world.phone("an").await, world.desk("chi").await);
    let patrol = an.patrol_called("Ca bị trả lại").await;
    an.observe(patrol, "Thiếu ảnh").await;
    an.sync_well().await;
    let page = format!("/patrols/{patrol}");
    eventually("the patrol can be read", async || {
        chi.read(&page).await.0 == StatusCode::OK
    })
    .await;
    let id = patrol.to_string();
    let (_, seen) = chi.read(&page).await;
    let seen = kieumau_tests::desk::seen_heads(&seen);
    let answer = chi
        .decide_about(&seen, &id, "returned", "Bổ sung ảnh hiện trường")
        .await;
    assert!(answer.status().is_redirection(), "{}", answer.status());
    an.sync_until(patrol, ItemState::Returned).await;
    let decided = an
        .reviews()
        .await
        .expect("reads")
        .pop()
        .expect("a decision")
        .1;
    assert_eq!(decided.remark.as_deref(), Some("Bổ sung ảnh hiện trường"));

    an.observe(patrol, "Đã bổ sung").await;
    an.sync_well().await;
    assert_eq!(an.state(patrol).await, ItemState::Received);
    // What Chi saw is no longer what stands: her second thought about it is refused, and nothing is written.
    eventually("Chi could read what came since", async || {
        chi.read(&page).await.1.contains("Đã bổ sung")
    })
    .await;
    let answer = chi.decide_about(&seen, &id, "approved", "").await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    let answer = chi.decide(&page, &id, "approved", "").await;
    assert!(answer.status().is_redirection(), "{}", answer.status());
    an.sync_until(patrol, ItemState::Approved).await;
}

#[tokio::test]
async fn a_revoked_phone_is_refused_and_what_it_sent_stays() {
    let world = World::new().await;
    let an = world.phone("an").await;
    let patrol = an.patrol_called("Ca trước khi thu hồi").await;
    an.sync_well().await;
    let phone = an.profile().await.expect("enrolled").phone.to_string();
    world
        .server
        .command(&["phone", "revoke", "--phone", &phone])
        .await;
    an.observe(patrol, "Ghi sau khi bị thu hồi").await;
    let refused = an.try_sync().await;
    assert!(
        matches!(&refused, Err(PhoneError::SignedOut { word }) if word == "phone-revoked"),
        "{refused:?}"
    );
    assert_eq!(
        an.observations(patrol).await.expect("reads").len(),
        1,
        "what was recorded stays on the phone"
    );
    let chi = world.desk("chi").await;
    eventually("the patrol it sent before is still read", async || {
        chi.read(&format!("/patrols/{patrol}")).await.0 == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn binh_of_another_unit_reads_nothing_of_ans_patrol() {
    let world = World::new().await;
    let (an, ha, binh) = (
        world.phone("an").await,
        world.phone("ha").await,
        world.phone("binh").await,
    );
    let patrol = an.patrol_called("Ca của Trường Vinh").await;
    an.observe(patrol, "Chỉ Trường Vinh đọc").await;
    let qr = an.patrol(patrol).await.expect("reads").join_qr;
    an.sync_well().await;
    let chi = world.desk("chi").await;
    eventually("it is there", async || {
        chi.read(&format!("/patrols/{patrol}")).await.0 == StatusCode::OK
    })
    .await;
    binh.sync_well().await;
    assert!(matches!(
        binh.patrol(patrol).await,
        Err(PhoneError::NotFound)
    ));
    let refused = binh.join_patrol(&qr).await;
    assert!(matches!(
        refused,
        Err(PhoneError::Invalid(Invalid {
            rule: Rule::NotOnTheTeam,
            ..
        }))
    ));
    let desk = world.desk("binh").await;
    assert_eq!(
        desk.read(&format!("/patrols/{patrol}")).await.0,
        StatusCode::NOT_FOUND
    );
    // Hà is of the unit but not on the team: membership governs reading.
    ha.sync_well().await;
    assert!(matches!(ha.patrol(patrol).await, Err(PhoneError::NotFound)));
    assert_eq!(
        world
            .desk("ha")
            .await
            .read(&format!("/patrols/{patrol}"))
            .await
            .0,
        StatusCode::NOT_FOUND
    );
    // The twin: once she joins, it is delivered whole.
    ha.join_patrol(&qr).await.expect("joins");
    eventually("Hà's phone has An's observation", async || {
        ha.sync_well().await;
        ha.observations(patrol).await.expect("reads").len() == 1
    })
    .await;
}

#[tokio::test]
async fn a_phone_with_its_clock_in_1970_loses_nothing() {
    let world = World::new().await;
    let an = world.phone("an").await;
    for skew in [-56 * 365 * 86_400_000_i64, 74 * 365 * 86_400_000] {
        an.skew_ms.store(skew, std::sync::atomic::Ordering::Relaxed);
        let patrol = an.patrol_called("Ca sai giờ").await;
        an.observe(patrol, "Giờ máy sai").await;
        an.sync_well().await;
        assert_eq!(
            an.state(patrol).await,
            ItemState::Received,
            "clock off by {skew} ms"
        );
    }
}

#[tokio::test]
async fn a_code_is_used_once_and_a_wrong_one_says_so() {
    let world = World::new().await;
    let code = world.server.code("an").await;
    let first = world.new_phone("first").await;
    first.enrol_by_qr(&code.qr).await.expect("enrols");
    let second = world.new_phone("second").await;
    let used = second.enrol(&second.signal.url(), &code.code).await;
    assert!(
        matches!(&used, Err(PhoneError::SignedOut { word }) if word == "code-used"),
        "{used:?}"
    );
    let unknown = second.enrol(&second.signal.url(), "00000-00000").await;
    assert!(
        matches!(&unknown, Err(PhoneError::SignedOut { word }) if word == "code-unknown"),
        "{unknown:?}"
    );
    let qr = second.enrol_by_qr("https://example.com").await;
    assert!(matches!(qr, Err(PhoneError::Invalid(_))));
    let not_yet = second
        .start_patrol(kieumau_core::patrol::NewPatrol::default())
        .await;
    assert!(
        matches!(&not_yet, Err(PhoneError::SignedOut { word }) if word == "not-enrolled"),
        "{not_yet:?}"
    );
}

#[tokio::test]
async fn bad_files_are_refused_by_name_and_a_vanished_original_is_no_loss() {
    let world = World::new().await;
    let an = world.phone("an").await;
    let patrol = an.patrol_called("Ca nhiều tệp").await;
    for (name, bytes, rule) in [
        ("trong.jpg", &b""[..], Rule::Empty),
        ("khong-phai-anh.jpg", b"khong phai anh", Rule::WrongKind),
        (
            "trang.svg",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            Rule::WrongKind,
        ),
    ] {
        let refused = an.attach(patrol, None, &world.file(name, bytes)).await;
        let expected = Invalid::new("attachment", rule);
        assert!(
            matches!(&refused, Err(PhoneError::Invalid(invalid)) if *invalid == expected),
            "{name}: {refused:?}"
        );
    }
    let huge = world.file("to.jpg", PICTURE);
    let file = std::fs::File::options()
        .write(true)
        .open(&huge)
        .expect("opens");
    file.set_len(200 << 20).expect("200 MB");
    let refused = an.attach(patrol, None, &huge).await;
    assert!(matches!(
        refused,
        Err(PhoneError::Invalid(Invalid {
            rule: Rule::TooLarge,
            ..
        }))
    ));
    let original = world.file("anh.jpg", PICTURE);
    an.attach(patrol, None, &original).await.expect("attached");
    std::fs::remove_file(&original).expect("the original vanishes");
    an.sync_well().await;
    assert_eq!(an.state(patrol).await, ItemState::Received);
}

#[tokio::test]
async fn a_server_that_answers_with_html_is_no_server() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let world = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            // The request is of no interest; a hotel's page is the answer to all.
            let _ = socket.read(&mut [0; 4096]).await;
            let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>";
            let _ = socket.write_all(page.as_bytes()).await;
        }
    });
    let phone = world.new_phone("hotel").await;
    let answer = phone.enrol(&url, "00000-00000").await;
    assert!(
        matches!(
            answer,
            Err(PhoneError::Offline {
                why: Unreached::NotOurs,
                ..
            })
        ),
        "{answer:?}"
    );
}

#[tokio::test]
async fn the_servers_sqlite_is_not_the_phones() {
    let world = World::new().await;
    let doctor = world.server.command(&["doctor"]).await;
    assert!(!doctor.contains("SQLCipher"), "{doctor}");
}

#[tokio::test]
async fn what_a_joiner_recorded_is_seen_before_the_starters_phone_has_synced() {
    let world = World::new().await;
    let (an, ha) = (world.phone("an").await, world.phone("ha").await);
    let patrol = an.patrol_called("Ca đêm của tổ An").await;
    let qr = an.patrol(patrol).await.expect("is here").join_qr;
    ha.join_patrol(&qr).await.expect("joins by the QR");
    let listed = &ha.patrols().await.expect("lists")[0];
    assert!(!listed.start_received && listed.started_at_ms > 0);
    ha.observe(patrol, "Hà thấy trước").await;
    ha.pause(patrol).await.expect("rests");
    ha.resume(patrol).await.expect("goes on");
    ha.sync_well().await;
    assert_eq!(ha.state(patrol).await, ItemState::Received);

    let chi = world.desk("chi").await;
    let missing = "Chưa nhận được phần bắt đầu ca";
    eventually("the patrol is on Chi's list", async || {
        chi.read("/patrols").await.1.contains(missing)
    })
    .await;
    let (status, page) = chi.read(&format!("/patrols/{patrol}")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains(missing) && page.contains("Hà thấy trước"));

    // The twin: with the start the same page says what people call it.
    an.sync_well().await;
    eventually("the start is on Chi's page", async || {
        let (_, page) = chi.read(&format!("/patrols/{patrol}")).await;
        page.contains("Ca đêm của tổ An")
            && page.contains("Hà thấy trước")
            && !page.contains(missing)
    })
    .await;
    ha.sync_well().await;
    let listed = &ha.patrols().await.expect("lists")[0];
    assert!(listed.start_received && listed.title == "Ca đêm của tổ An");
}

#[tokio::test]
async fn a_colleagues_photo_is_named_by_the_patrol_and_fetched_when_it_is_asked_for() {
    let world = World::new().await;
    let (an, ha) = (world.phone("an").await, world.phone("ha").await);
    let binh = world.phone("binh").await;
    let patrol = an.patrol_called("Ca có ảnh của tổ").await;
    let qr = an.patrol(patrol).await.expect("is here").join_qr;
    ha.join_patrol(&qr).await.expect("joins by the QR");
    ha.sync_well().await;
    let picture = world.file("anh.jpg", PICTURE);
    let sha256 = an.attach(patrol, None, &picture).await.expect("attached");
    an.sync_well().await;
    eventually("the photo's record is on Hà's phone", async || {
        ha.sync_well().await;
        let view = ha.patrol(patrol).await.expect("is here");
        view.attachments.iter().any(|one| one.sha256 == sha256)
    })
    .await;

    assert!(matches!(
        ha.viewable(sha256).await,
        Err(PhoneError::NotFound)
    ));
    // The server's worker may still be reading who is on the team.
    eventually("Hà may fetch it", async || {
        ha.download(sha256).await.is_ok()
    })
    .await;
    let shown = ha.viewable(sha256).await.expect("is here now");
    assert_eq!(std::fs::read(shown).expect("reads"), PICTURE);
    assert_eq!(ha.sync_well().await.sent_files, 0, "it is not Hà's to send");
    // The twin: who may not read the patrol gets no file of it.
    let refused = binh.download(sha256).await;
    assert!(matches!(refused, Err(PhoneError::NotFound)), "{refused:?}");

    let attached = &an.patrol(patrol).await.expect("is here").attachments[0];
    an.withdraw_attachment(patrol, attached.attachment)
        .await
        .expect("takes it back");
    an.sync_well().await;
    let chi = world.desk("chi").await;
    eventually(
        "Hà's phone and the page say that it was a slip",
        async || {
            ha.sync_well().await;
            let view = ha.patrol(patrol).await.expect("is here");
            let (_, page) = chi.read(&format!("/patrols/{patrol}")).await;
            view.attachments[0].withdrawn_at_ms.is_some() && !page.contains(&sha256.to_string())
        },
    )
    .await;
    assert_eq!(an.state(patrol).await, ItemState::Received);
}
