//! One listener's stream: the newest number at once, then each newer one. It ends with the right to listen, with the server, after
//! [`LASTS`], and when its listener has more streams than it may: then the oldest goes, which is the one whose line broke.

use super::{Live, held};
use crate::{
    app::App,
    gate,
    problem::{Answer, Problem},
    session,
    token::{self, EnrolledPhone},
};
use axum::{
    http::{HeaderMap, header},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use kieumau_core::{
    id::{PersonId, PhoneId, UnitId},
    live::{FEED, FeedAt, HEARTBEAT_S},
};
use sqlx::Row as _;
use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, Interval, MissedTickBehavior},
};

/// How long a stream lasts: as long as an access token. Who listens on comes again with a fresh one.
const LASTS: Duration = Duration::from_secs(token::LASTS_S as u64);
/// How often the right to listen is looked at, besides before each event.
const RIGHT: Duration = Duration::from_secs(HEARTBEAT_S);
/// Streams of one phone or of one person, at most.
const EACH: usize = 4;
/// Streams of this process, at most: each is an open connection, and a quarter of those is left to who asks and goes.
const ALL: usize = gate::OPEN / 4 * 3;

/// Who listens.
#[derive(Clone)]
pub enum Listener {
    /// A phone, by its access token.
    Phone(PhoneId),
    /// A person at a page, by the cookie among these headers.
    Person(PersonId, HeaderMap),
}

/// A cookie is a key: it stands in no log.
impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phone(phone) => f.debug_tuple("Phone").field(phone).finish(),
            Self::Person(person, _) => f
                .debug_tuple("Person")
                .field(person)
                .finish_non_exhaustive(),
        }
    }
}

impl Listener {
    /// The unit whose feed they may hear of now.
    async fn unit(&self, app: &App) -> Answer<UnitId> {
        match self {
            Self::Phone(phone) => Ok(token::standing(app, *phone).await?.speaks.unit),
            Self::Person(_, headers) => Ok(session::signed_in(app, headers).await?.unit),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Phone(phone) => format!("phone {phone}"),
            Self::Person(person, _) => format!("person {person}"),
        }
    }
}

impl From<&EnrolledPhone> for Listener {
    fn from(phone: &EnrolledPhone) -> Self {
        Self::Phone(phone.phone)
    }
}

/// One listener's streams, the oldest first, and how each hears that its place is gone.
type Places = VecDeque<(u64, Arc<Notify>)>;

/// Who has how many streams.
#[derive(Debug, Default)]
pub(super) struct Seats {
    taken: Mutex<BTreeMap<String, Places>>,
    next: AtomicU64,
}

/// One stream's place; free again when dropped.
struct Seat {
    live: Live,
    name: String,
    number: u64,
    /// A newer stream of the same listener took it.
    lost: Arc<Notify>,
}

impl Seat {
    /// A place for one more stream of `name`; the oldest of too many loses its own.
    fn take(live: &Live, name: String) -> Answer<Self> {
        let seats = &live.0.seats;
        let mut taken = held(&seats.taken);
        let all: usize = taken.values().map(VecDeque::len).sum();
        if all >= ALL {
            return Err(Problem::busy(30));
        }
        let number = seats.next.fetch_add(1, Ordering::Relaxed);
        let lost = Arc::<Notify>::default();
        let own = taken.entry(name.clone()).or_default();
        if own.len() >= EACH
            && let Some((_, oldest)) = own.pop_front()
        {
            oldest.notify_one();
        }
        own.push_back((number, Arc::clone(&lost)));
        drop(taken);
        Ok(Self {
            live: live.clone(),
            name,
            number,
            lost,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = held(&self.live.0.seats.taken);
        if let Some(own) = taken.get_mut(&self.name) {
            own.retain(|(number, _)| *number != self.number);
            if own.is_empty() {
                taken.remove(&self.name);
            }
        }
    }
}

/// A stream that goes on.
struct Stream {
    app: App,
    listener: Listener,
    unit: UnitId,
    seat: Seat,
    feed: watch::Receiver<i64>,
    ended: watch::Receiver<bool>,
    until: Instant,
    right: Interval,
    said: Option<i64>,
}

impl Stream {
    /// The next event; none when the stream is over.
    async fn next(&mut self) -> Option<FeedAt> {
        loop {
            let number = match self.said {
                // The first comes from the row: what is in memory may not have been looked at yet.
                None => Some(through(&self.app, self.unit).await.ok()?),
                Some(_) => self.newer().await?,
            };
            self.may_listen().await.then_some(())?;
            if let Some(number) = number
                && self.said != Some(number)
            {
                self.said = Some(number);
                let unit = self.unit;
                return Some(FeedAt { unit, number });
            }
        }
    }

    /// Waits for a number, or until the right to listen has to be looked at again; nothing when the stream is over.
    async fn newer(&mut self) -> Option<Option<i64>> {
        tokio::select! {
            changed = self.feed.changed() => {
                changed.ok()?;
                Some(Some(*self.feed.borrow_and_update()))
            }
            _ = self.right.tick() => Some(None),
            () = self.seat.lost.notified() => None,
            () = tokio::time::sleep_until(self.until) => None,
            // An error says that nobody is left to end it.
            _ = self.ended.wait_for(|ended| *ended) => None,
        }
    }

    /// Whether the listener may still hear of this unit.
    async fn may_listen(&self) -> bool {
        let unit = self.listener.unit(&self.app).await;
        unit.is_ok_and(|unit| unit == self.unit)
    }
}

/// Up to where a unit's feed may be served.
///
/// # Errors
/// What the database says.
pub async fn through(app: &App, unit: UnitId) -> Result<i64, sqlx::Error> {
    let row = sqlx::query("select checked_through from feed where unit_id = $1")
        .bind(unit.to_string())
        .fetch_optional(&app.database.read)
        .await?;
    Ok(row.map_or(0, |row| row.get(0)))
}

/// The stream of what `listener` may hear of.
///
/// # Errors
/// Who may not listen; 503 when too many do.
pub async fn listen(app: App, listener: Listener) -> Answer<Response> {
    let unit = listener.unit(&app).await?;
    let seat = Seat::take(&app.live, listener.name())?;
    let mut right = tokio::time::interval_at(Instant::now() + RIGHT, RIGHT);
    right.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = Stream {
        feed: app.live.feed(unit),
        ended: app.live.0.ended.subscribe(),
        until: Instant::now() + LASTS,
        said: None,
        app,
        listener,
        unit,
        seat,
        right,
    };
    let events = futures_util::stream::unfold(stream, async |mut stream| {
        let at = stream.next().await?;
        let json = serde_json::to_string(&at).ok()?;
        // Browsers come back so long after the end: not all at once.
        let again = Duration::from_millis(rand::random_range(1_000..3_000));
        let event = Event::default().event(FEED).data(json).retry(again);
        Some((Ok::<_, Infallible>(event), stream))
    });
    let alive = KeepAlive::new().interval(Duration::from_secs(HEARTBEAT_S));
    let headers = [
        (header::CACHE_CONTROL.as_str(), "no-store"),
        // A proxy that gathers answers would hold events back.
        ("x-accel-buffering", "no"),
    ];
    Ok((headers, Sse::new(events).keep_alive(alive)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_leave_connections_to_who_asks_and_goes() {
        const { assert!(ALL < gate::OPEN) };
        let live = Live::default();
        let take = |number: usize| Seat::take(&live, format!("phone {number}"));
        let mut seats: Vec<Seat> = (0..ALL).map(|number| take(number).expect("room")).collect();
        let busy = take(ALL).err().expect("no room");
        assert_eq!((busy.word(), busy.retry_after_s()), ("busy", Some(30)));
        // The twin: one who went made room.
        seats.pop();
        assert!(take(ALL).is_ok());
    }

    #[test]
    fn a_listener_in_a_log_names_nobodys_cookie() {
        let mut headers = HeaderMap::new();
        let cookie = "__Host-session=secret".parse().expect("a header");
        headers.insert(header::COOKIE, cookie);
        // The twin: what it holds would say it.
        assert!(format!("{headers:?}").contains("secret"));
        let person = PersonId::from_bytes([7; 16]);
        let told = format!("{:?}", Listener::Person(person, headers));
        assert!(!told.contains("secret"), "{told}");
        assert!(told.contains(&format!("{person:?}")), "{told}");
    }
}
