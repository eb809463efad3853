//! A sync: `exchange` says what is next, this does it. One at a time, cancellable, goes on at any byte after any end.

mod compare;
mod fetch;
mod files;
mod pace;
mod pull;
mod push;

use super::{
    Phone, arrivals,
    client::Client,
    error::{PhoneError, Unreached},
    queue::InTheWay,
    sign_in::SignedIn,
    store::Store,
};
use crate::{
    exchange::{self, Answer, Exchange, Failure, Feed, Situation, Step},
    hash::Sha256,
    id::DocumentId,
    outbox::Asked,
    token::AccessToken,
};
use ed25519_dalek::SigningKey;
use pace::Pace;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Mutex, Notify, RwLock, futures::Notified, watch};

/// How a sync is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncOptions {
    /// Give up after so many failures in a row.
    pub tries: u32,
    /// Send files too, not only text.
    pub attachments: bool,
    /// Files wait for a line that is not metered: the officer's choice, for photos cost data.
    pub wifi_only: bool,
    /// The line is metered now: the platform says so.
    pub metered: bool,
}

impl SyncOptions {
    /// Files wait although they are to be sent: for another line.
    const fn files_wait_for_wifi(self) -> bool {
        self.attachments && self.wifi_only && self.metered
    }
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self {
            tries: 5,
            attachments: true,
            wifi_only: false,
            metered: false,
        }
    }
}

/// What a sync did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Changes the server took or had.
    pub sent_changes: u32,
    /// Changes the server refused, by the refusal's word. Kept on the phone.
    pub refused_changes: Vec<String>,
    /// Files the server has whole now.
    pub sent_files: u32,
    /// Files that could not be read or were refused. Kept on the phone, and tried again at the next sync.
    pub failed_files: u32,
    /// Changes that came.
    pub received_changes: u32,
    /// Documents whose receipt came.
    pub receipts: u32,
    /// It was ended by [`Phone::cancel`]: what stands above was done, the rest waits.
    pub cancelled: bool,
}

/// What an app hears while things happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A document changed: read it anew.
    Changed {
        /// Which.
        document: DocumentId,
    },
    /// Bytes of a file arrived at the server.
    Progress {
        /// Which file.
        sha256: Sha256,
        /// Bytes there.
        sent_bytes: u64,
        /// Bytes in all.
        size_bytes: u64,
    },
    /// The states of items may have changed.
    State,
}

/// Hears events. The other side is the app.
pub trait Listener: Send + Sync {
    /// Something happened.
    fn on_event(&self, event: Event);
}

/// What one sync leaves to the next: a token, what the line bears, and a client whose connections may still be open.
#[derive(Default)]
struct Kept {
    token: Option<SignedIn>,
    pace: Pace,
    client: Option<Client>,
    asked: Asked,
}

/// What lives between syncs.
#[derive(Default)]
pub(super) struct Syncing {
    one: Mutex<Kept>,
    sending: AtomicBool,
    /// The server's clock minus this phone's, once the server told it.
    skew_ms: watch::Sender<Option<i64>>,
    cancel: Notify,
    unfollow: Notify,
    /// What the sync that runs, or ran last, found in its way.
    way: RwLock<InTheWay>,
    listener: RwLock<Option<Arc<dyn Listener>>>,
}

impl Syncing {
    pub(super) fn sending(&self) -> bool {
        self.sending.load(Ordering::Relaxed)
    }

    pub(super) fn skew_ms(&self) -> Option<i64> {
        *self.skew_ms.borrow()
    }

    pub(super) fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.send_replace(Some(skew_ms));
    }

    /// The next sync begins with a connection of its own.
    pub(super) async fn forget_client(&self) {
        let mut kept = self.one.lock().await;
        kept.client = None;
        kept.token = None;
    }

    pub(super) fn unfollow(&self) {
        self.unfollow.notify_waiters();
    }

    /// Ready when following is to end; hears what is said from now on, also before it is first waited for.
    pub(super) fn unfollowed(&self) -> Notified<'_> {
        self.unfollow.notified()
    }

    pub(super) async fn in_the_way(&self) -> InTheWay {
        InTheWay {
            sending: self.sending(),
            ..self.way.read().await.clone()
        }
    }

    async fn tell(&self, event: Event) {
        if let Some(listener) = self.listener.read().await.as_ref() {
            listener.on_event(event);
        }
    }
}

/// Marks the phone as sending until it is dropped, however the sync ends.
struct Sending<'a>(&'a AtomicBool);

impl<'a> Sending<'a> {
    fn new(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::Relaxed);
        Self(flag)
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// One sync under way.
struct Session<'a> {
    phone: &'a Phone,
    client: Client,
    /// The client that the next sync goes on with.
    kept: &'a mut Option<Client>,
    key: SigningKey,
    token: &'a mut Option<SignedIn>,
    pace: &'a mut Pace,
    asked: &'a mut Asked,
    options: SyncOptions,
    report: &'a mut SyncReport,
    last_error: Option<PhoneError>,
    /// Files that failed in this sync: the others are sent all the same.
    failed_files: BTreeSet<Sha256>,
    /// The page after this cursor, which travelled while the one before was written.
    ahead: Option<(String, Vec<u8>)>,
}

impl Phone {
    /// Hears events from now on, instead of who heard them before.
    pub async fn listen(&self, listener: Arc<dyn Listener>) {
        *self.syncing.listener.write().await = Some(listener);
    }

    /// Ends a sync that is under way; it answers with what it did, and what arrived so far stays.
    pub fn cancel(&self) {
        self.syncing.cancel.notify_waiters();
    }

    /// Sends what is unsent, fetches what is new, gets receipts. A second call waits for the first and goes after it.
    ///
    /// # Errors
    /// `Offline` when the server cannot be reached (all is safe, try later); `SignedOut` when it does not let the phone in.
    pub async fn sync(&self, options: SyncOptions) -> Result<SyncReport, PhoneError> {
        let mut kept = self.syncing.one.lock().await;
        let cancelled = self.syncing.cancel.notified();
        let sending = Sending::new(&self.syncing.sending);
        *self.syncing.way.write().await = InTheWay {
            metered: options.files_wait_for_wifi(),
            ..InTheWay::default()
        };
        let mut report = SyncReport::default();
        let outcome = tokio::select! {
            outcome = self.sync_now(&mut kept, options, &mut report) => outcome.map(|()| false),
            () = cancelled => Ok(true),
        };
        let outcome = outcome.map(|cancelled| SyncReport {
            cancelled,
            ..report
        });
        drop(sending);
        if matches!(outcome, Err(PhoneError::StorageFull)) {
            self.syncing.way.write().await.no_space = true;
        }
        self.syncing.tell(Event::State).await;
        outcome
    }

    async fn sync_now(
        &self,
        kept: &mut Kept,
        options: SyncOptions,
        report: &mut SyncReport,
    ) -> Result<(), PhoneError> {
        self.fold_all().await?;
        let (client, key) = {
            let mut store = self.store().await;
            let profile = store.profile()?;
            if profile.revoked {
                return Err(PhoneError::SignedOut {
                    word: "phone-revoked".to_owned(),
                });
            }
            let client = match kept.client.take() {
                Some(client) => client,
                None => Client::new(&profile.server_url, &profile.pins)?,
            };
            sqlx::query(
                "update sync set tried_through = (select coalesce(max(position), 0) from change)",
            )
            .execute(&mut store.connection)
            .await?;
            store.send_again().await?;
            store.reissue(self.now_ms()).await?;
            (client, store.signing_key.clone())
        };
        self.syncing.tell(Event::State).await;
        kept.client = Some(client.clone());
        let session = Session {
            phone: self,
            client,
            kept: &mut kept.client,
            key,
            token: &mut kept.token,
            pace: &mut kept.pace,
            asked: &mut kept.asked,
            options,
            report,
            last_error: None,
            failed_files: BTreeSet::new(),
            ahead: None,
        };
        session.run().await
    }
}

impl Session<'_> {
    async fn run(mut self) -> Result<(), PhoneError> {
        let mut exchange = Exchange::new(self.options.tries);
        loop {
            let situation = self.situation().await?;
            let went = match exchange.step(situation) {
                Step::SignIn => self.sign_in().await.map(|()| (false, Feed::Unread)),
                Step::Push => self.push().await,
                Step::Upload => self.upload().await.map(|(news, _)| (news, Feed::Unread)),
                Step::Pull => self.pull().await.map(|(news, more)| (news, feed(more))),
                Step::Compare => self.compare().await.map(|(news, _)| (news, Feed::Unread)),
                Step::Fetch => self.fetch().await.map(|(news, _)| (news, Feed::Unread)),
                Step::Rest(rest) => {
                    tokio::time::sleep(rest).await;
                    continue;
                }
                Step::Finished => return Ok(()),
                Step::GiveUp(_) => {
                    let unreached = PhoneError::offline(Unreached::NoAnswer);
                    return Err(self.last_error.unwrap_or(unreached));
                }
            };
            let answer = match went {
                Ok((news, feed)) => Answer::Went { news, feed },
                Err(error) => Answer::Failed(self.failed(error).await?),
            };
            exchange.answered(answer, rand::random());
        }
    }

    async fn situation(&self) -> Result<Situation, PhoneError> {
        let mut store = self.phone.store().await;
        let (unsent_changes, wanted, unsent_files): (bool, bool, i64) = sqlx::query_as(
            "select exists (select 1 from change where server is null), exists (select 1 from wanted), \
             (select count(*) from attachment where received_at_ms is null and let_go_at_ms is null)",
        )
        .fetch_one(&mut store.connection)
        .await?;
        let lacking = push::unconfirmed(&mut store.connection).await?;
        let unsent_files = unsent_files > self.failed_files.len() as i64
            && self.options.attachments
            && !self.options.files_wait_for_wifi();
        let now = Instant::now();
        let place = arrivals::place(&mut store.connection).await?;
        Ok(Situation {
            signed_in: self.token.as_ref().is_some_and(|token| token.is_good(now)),
            unsent_changes,
            anew: place.is_anew(),
            compare_due: exchange::compare_due(place.compared_at_ms, self.phone.now_ms()),
            wanted,
            unsent_files,
            unconfirmed: self.asked.is_due(&lacking, self.phone.now_ms()),
        })
    }

    /// What a failure means to the exchange. A revoked phone remembers it; nothing of it is deleted.
    async fn failed(&mut self, error: PhoneError) -> Result<Failure, PhoneError> {
        let failure = match &error {
            PhoneError::Offline {
                retry_after_s: None,
                ..
            } => {
                self.pace.broke();
                Failure::Unreachable
            }
            PhoneError::Offline {
                retry_after_s: Some(seconds),
                ..
            } => Failure::Busy {
                retry_after: Some(Duration::from_secs(u64::from(*seconds))),
            },
            PhoneError::SignedOut { word }
                if matches!(word.as_str(), "token-expired" | "token-refused") =>
            {
                *self.token = None;
                Failure::TokenExpired
            }
            PhoneError::SignedOut { word } if word == "phone-revoked" => {
                let now_ms = self.phone.now_ms();
                let mut store = self.phone.store().await;
                sqlx::query("update profile set revoked_at_ms = $1")
                    .bind(now_ms)
                    .execute(&mut store.connection)
                    .await?;
                if let Some(profile) = &mut store.profile {
                    profile.revoked = true;
                }
                Failure::Final
            }
            _ => Failure::Final,
        };
        self.last_error = Some(error);
        Ok(failure)
    }

    async fn sign_in(&mut self) -> Result<(), PhoneError> {
        let phone = self.phone.store().await.profile()?.phone;
        let signed_in = self.phone.sign_in(&self.client, phone, &self.key).await?;
        if let Some(announced) = &signed_in.token.pins {
            self.trust(announced).await?;
        }
        *self.token = Some(signed_in);
        Ok(())
    }

    /// Holds the server to the keys it announced, with a client that has no connection under the old ones.
    async fn trust(&mut self, announced: &str) -> Result<(), PhoneError> {
        let mut store = self.phone.store().await;
        let Store {
            connection,
            profile: Some(profile),
            ..
        } = &mut *store
        else {
            return Ok(());
        };
        if profile.trust(connection, announced).await? {
            self.client = Client::new(&profile.server_url, &profile.pins)?;
            *self.kept = Some(self.client.clone());
        }
        Ok(())
    }

    fn token(&self) -> Result<&AccessToken, PhoneError> {
        self.token
            .as_ref()
            .map(|signed_in| &signed_in.token)
            .ok_or_else(|| PhoneError::internal("a request before signing in"))
    }
}

/// What a page showed of the feed.
const fn feed(more: bool) -> Feed {
    if more { Feed::More } else { Feed::Read }
}
