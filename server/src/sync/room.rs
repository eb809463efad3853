//! Room for large answers: so many are built at once, for each is some tens of mebibytes while it is gathered and opened, and on
//! SQLite each holds one of the few readers that every small question needs too.
//!
//! Who finds no room waits a little and is then told to come back, which a phone takes for a server that is away for now: nothing
//! is lost and nothing is shown. An answer that says "nothing new" needs no room.

use crate::problem::{Answer, Problem};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Large answers that are built at once: one of SQLite's four readers is left to small questions.
const AT_ONCE: usize = 3;
/// How long one waits for room: three pages on a busy machine.
const WAIT: Duration = Duration::from_secs(3);
/// When to come back, seconds.
const RETRY_AFTER_S: u32 = 5;

/// Room of this process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self::of(AT_ONCE)
    }
}

impl Room {
    /// Room for so many.
    pub fn of(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places)))
    }

    /// A place to build a large answer in; free again when dropped.
    ///
    /// # Errors
    /// `busy` when there was none for [`WAIT`].
    pub async fn enter(&self) -> Answer<OwnedSemaphorePermit> {
        let free = Arc::clone(&self.0).acquire_owned();
        match tokio::time::timeout(WAIT, free).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Problem::busy(RETRY_AFTER_S)),
        }
    }

    /// Whether one would have to wait.
    pub fn is_full(&self) -> bool {
        self.0.available_permits() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::App,
        fixture::{self, People, Reply, apps, bearer, enrolled, let_through, one_change},
        intake, sync,
    };
    use axum::{
        body::Body,
        http::{Method, Request, StatusCode, header},
    };
    use kieumau_core::{
        document::Key,
        wire::{self, Compare, Fetch, Pulled},
    };

    async fn ask(
        app: &App,
        bearer: &str,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, bearer)
            .body(body.map_or_else(Body::empty, Body::from))
            .expect("a request");
        fixture::send(app, sync::router(), request).await
    }

    #[tokio::test]
    async fn who_finds_no_room_for_a_large_answer_is_told_to_come_back_and_who_asks_for_little_is_answered()
     {
        for app in apps().await {
            let people = People::new(&app).await;
            let (phone, key) = enrolled(&app, &people.chi).await;
            let patrol = Key::patrol(people.truong_vinh, uuid::Uuid::now_v7());
            let push = one_change(phone, patrol.clone(), vec![7; 1_000]);
            intake::write(&app, &[&push]).await.expect("written");
            let_through(&app, people.truong_vinh).await;
            let bearer = bearer(&app, phone, &key).await;
            let fetch = minicbor::to_vec(Fetch {
                documents: vec![patrol.document()],
                singly: true,
            });
            let fetch = fetch.expect("encodes");
            let compare = minicbor::to_vec(Compare::default()).expect("encodes");
            let pull = &format!("{}?cursor=", wire::PULL);
            let large = [
                (Method::GET, pull.as_str(), None),
                (Method::POST, wire::FETCH, Some(fetch)),
                (Method::POST, wire::COMPARE, Some(compare)),
            ];
            let mut places = Vec::new();
            for _ in 0..AT_ONCE {
                places.push(app.room.enter().await.expect("room"));
            }
            let refused = large.clone().map(async |(method, path, body)| {
                (path, ask(&app, &bearer, method, path, body).await)
            });
            for (path, reply) in futures_util::future::join_all(refused).await {
                assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
                assert_eq!(reply.word(), "busy");
                assert_eq!(reply.headers[header::RETRY_AFTER], "5");
            }
            // The twin: with one place free again each is answered.
            places.pop();
            for (method, path, body) in large {
                let reply = ask(&app, &bearer, method, path, body).await;
                assert_eq!(reply.status, StatusCode::OK, "{path}");
            }
            // Nothing new needs no room.
            let pulled = ask(&app, &bearer, Method::GET, pull, None).await;
            let mut items = minicbor::Decoder::new(&pulled.body);
            let cursor = loop {
                if let Pulled::Cursor(cursor, _) = items.decode().expect("an item") {
                    break cursor;
                }
            };
            places.push(app.room.enter().await.expect("room"));
            assert!(app.room.is_full());
            let path = format!("{pull}{cursor}");
            let reply = ask(&app, &bearer, Method::GET, &path, None).await;
            assert_eq!(reply.status, StatusCode::OK);
        }
    }
}
