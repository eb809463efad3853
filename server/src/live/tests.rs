//! What listeners are promised: the newest number of their own feed, at once and for as long as they may hear it.

use super::{
    stream::{Listener, listen},
    *,
};
use crate::{
    fixture::{People, TestApp, apps, cookie, enrolled},
    phone,
};
use axum::{
    body::BodyDataStream,
    http::{HeaderMap, StatusCode, header},
};
use futures_util::StreamExt as _;
use kieumau_core::{
    id::PhoneId,
    live::{FeedAt, Hearing},
};

/// Long enough for any event; a test that waits for it fails.
const SOON: Duration = Duration::from_secs(20);

/// One stream as its listener reads it.
struct Heard {
    body: BodyDataStream,
    hearing: Hearing,
    heard: Vec<FeedAt>,
}

impl Heard {
    async fn open(app: &App, listener: Listener) -> Self {
        let answer = listen(app.clone(), listener).await.expect("a stream");
        assert_eq!(answer.status(), StatusCode::OK);
        Self {
            body: answer.into_body().into_data_stream(),
            hearing: Hearing::default(),
            heard: Vec::new(),
        }
    }

    /// The next event; none at the stream's end.
    async fn next(&mut self) -> Option<FeedAt> {
        while self.heard.is_empty() {
            let piece = tokio::time::timeout(SOON, self.body.next()).await;
            let piece = piece.expect("an event or the end")?.expect("no error");
            self.heard = self.hearing.hear(&piece).expect("a stream of feeds");
        }
        Some(self.heard.remove(0))
    }
}

/// Servers that keep listeners up to date, with their people and a phone of An's.
async fn servers() -> Vec<(TestApp, People, PhoneId)> {
    let mut servers = Vec::new();
    for app in apps().await {
        let people = People::new(&app).await;
        let (phone, _) = enrolled(&app, &people.an).await;
        tokio::spawn(app.live.clone().run((*app).clone()));
        servers.push((app, people, phone));
    }
    servers
}

/// Lets a unit's feed be served up to `number`, as a commit does.
async fn serve(app: &App, unit: UnitId, number: i64) {
    let mut tx = app.database.begin().await.expect("a transaction");
    sqlx::query(
        "insert into feed (unit_id, last_number, checked_through) values ($1, $2, $2) \
         on conflict (unit_id) do update set last_number = $2, checked_through = $2",
    )
    .bind(unit.to_string())
    .bind(number)
    .execute(&mut *tx)
    .await
    .expect("written");
    tx.commit().await.expect("committed");
}

fn at(unit: UnitId, number: i64) -> Option<FeedAt> {
    Some(FeedAt { unit, number })
}

#[tokio::test]
async fn a_listener_hears_of_the_own_feed_and_of_no_other() {
    for (app, people, phone) in servers().await {
        serve(&app, people.truong_vinh, 5).await;
        let mut heard = Heard::open(&app, Listener::Phone(phone)).await;
        assert_eq!(heard.next().await, at(people.truong_vinh, 5));
        serve(&app, people.vinh_phu, 70).await;
        app.live.grew([people.vinh_phu]);
        serve(&app, people.truong_vinh, 6).await;
        app.live.grew([people.truong_vinh]);
        assert_eq!(heard.next().await, at(people.truong_vinh, 6));
    }
}

#[tokio::test]
async fn what_nobody_told_of_is_heard_at_the_next_look() {
    for (app, people, phone) in servers().await {
        let mut heard = Heard::open(&app, Listener::Phone(phone)).await;
        assert_eq!(heard.next().await, at(people.truong_vinh, 0));
        serve(&app, people.truong_vinh, 1).await;
        assert_eq!(heard.next().await, at(people.truong_vinh, 1));
    }
}

#[tokio::test]
async fn a_revoked_phone_and_one_who_signed_out_hear_no_more() {
    for (app, people, phone) in servers().await {
        let mut headers = HeaderMap::new();
        let pair = cookie(&app, &people.chi).await;
        headers.insert(header::COOKIE, pair.parse().expect("a header"));
        let chi = Listener::Person(people.chi.person, headers.clone());
        let mut phones = Heard::open(&app, Listener::Phone(phone)).await;
        let mut page = Heard::open(&app, chi).await;
        for heard in [&mut phones, &mut page] {
            assert_eq!(heard.next().await, at(people.truong_vinh, 0));
        }
        phone::revoke(&app, None, phone).await.expect("revoked");
        serve(&app, people.truong_vinh, 1).await;
        app.live.grew([people.truong_vinh]);
        assert_eq!(phones.next().await, None);
        // The twin: who may still listen hears it.
        assert_eq!(page.next().await, at(people.truong_vinh, 1));
        crate::session::sign_out(&app, &headers)
            .await
            .expect("signed out");
        serve(&app, people.truong_vinh, 2).await;
        app.live.grew([people.truong_vinh]);
        assert_eq!(page.next().await, None);
        let refused = listen((*app).clone(), Listener::Phone(phone)).await;
        let refused = refused.expect_err("revoked");
        assert_eq!(refused.word(), "phone-revoked");
    }
}

#[tokio::test]
async fn of_too_many_streams_the_oldest_ends() {
    for (app, people, phone) in servers().await {
        let mut streams = Vec::new();
        for _ in 0..5 {
            let mut heard = Heard::open(&app, Listener::Phone(phone)).await;
            assert_eq!(heard.next().await, at(people.truong_vinh, 0));
            streams.push(heard);
        }
        assert_eq!(streams[0].next().await, None);
        serve(&app, people.truong_vinh, 1).await;
        app.live.grew([people.truong_vinh]);
        for heard in &mut streams[1..] {
            assert_eq!(heard.next().await, at(people.truong_vinh, 1));
        }
    }
}

#[tokio::test]
async fn the_servers_end_ends_every_stream() {
    for (app, people, phone) in servers().await {
        let mut heard = Heard::open(&app, Listener::Phone(phone)).await;
        assert_eq!(heard.next().await, at(people.truong_vinh, 0));
        app.live.end();
        assert_eq!(heard.next().await, None);
    }
}

#[tokio::test]
async fn processes_on_one_postgresql_tell_each_other() {
    let Ok(url) = std::env::var("KIEUMAU_TEST_POSTGRES") else {
        eprintln!("SKIPPED: KIEUMAU_TEST_POSTGRES names no PostgreSQL");
        return;
    };
    let unit = UnitId::from_bytes([7; 16]);
    let (here, there, apart) = (Live::default(), Live::default(), Live::default());
    for live in [&here, &there] {
        tokio::spawn(live.clone().between_processes(url.clone()));
        // A process looks once when it begins to hear.
        let began = tokio::time::timeout(SOON, live.0.look.notified()).await;
        began.expect("hears");
    }
    here.grew([unit]);
    let told = tokio::time::timeout(SOON, there.0.look.notified()).await;
    told.expect("told");
    assert!(held(&here.0.grown).is_empty(), "said once");
    // The twin: one that is not connected has heard nothing by then.
    let heard = tokio::time::timeout(Duration::ZERO, apart.0.look.notified()).await;
    assert!(heard.is_err());
}
