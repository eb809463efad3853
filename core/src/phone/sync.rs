//! A sync: `exchange` says what is next, this does it. One at a time, cancellable, goes on at any byte after any end.

use super::{
    Phone,
    attachments::Unsent,
    client::{Client, UPLOAD_CHUNK},
    error::PhoneError,
    store::{parse_hashes, put_seal},
};
use crate::{
    document::{Change, Key},
    exchange::{Answer, Exchange, Failure, Situation, Step},
    hash::Sha256,
    header,
    id::DocumentId,
    receipt::Receipt,
    review::heads_text,
    seal::{Seal, Signer},
    token::AccessToken,
    wire::{Pulled, Push, Pushed, PushedDocument, ReceiptRequest, WireKey},
};
use ed25519_dalek::{SigningKey, VerifyingKey};
use sqlx::{Connection as _, Row as _};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Mutex, Notify, RwLock};

/// Changes in one push: with their seals well below the server's limits.
const PUSH_CHANGES: i64 = 2_000;
/// Bytes of changes in one push.
const PUSH_BYTES: usize = 4 << 20;
/// Documents asked about in one push.
const PUSH_RECEIPTS: usize = 2_000;

/// How a sync is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncOptions {
    /// Give up after so many failures in a row.
    pub tries: u32,
    /// Send files too, not only text.
    pub attachments: bool,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self {
            tries: 5,
            attachments: true,
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

/// What one sync leaves to the next: a token, and a client whose connections may still be open.
#[derive(Default)]
struct Kept {
    token: Option<AccessToken>,
    client: Option<Client>,
}

/// What lives between syncs.
#[derive(Default)]
pub(super) struct Syncing {
    one: Mutex<Kept>,
    sending: AtomicBool,
    /// The server's clock minus this phone's, once a refusal told it.
    skew_ms: AtomicI64,
    cancel: Notify,
    listener: RwLock<Option<Arc<dyn Listener>>>,
}

impl Syncing {
    pub(super) fn sending(&self) -> bool {
        self.sending.load(Ordering::Relaxed)
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
    key: SigningKey,
    token: &'a mut Option<AccessToken>,
    options: SyncOptions,
    report: SyncReport,
    last_error: Option<PhoneError>,
    /// Files that failed in this sync: the others are sent all the same.
    failed_files: BTreeSet<Sha256>,
    /// Something came without what it depends on: the feed is read from its beginning, once.
    lacking: bool,
    /// That was done.
    read_anew: bool,
}

impl Phone {
    /// Hears events from now on, instead of who heard them before.
    pub async fn listen(&self, listener: Arc<dyn Listener>) {
        *self.syncing.listener.write().await = Some(listener);
    }

    /// Ends a sync that is under way; what arrived so far stays.
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
        let outcome = tokio::select! {
            outcome = self.sync_now(&mut kept, options) => outcome,
            () = cancelled => Ok(SyncReport::default()),
        };
        drop(sending);
        self.syncing.tell(Event::State).await;
        outcome
    }

    async fn sync_now(
        &self,
        kept: &mut Kept,
        options: SyncOptions,
    ) -> Result<SyncReport, PhoneError> {
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
                None => Client::new(&profile.server_url)?,
            };
            sqlx::query(
                "update sync set tried_through = (select coalesce(max(position), 0) from change)",
            )
            .execute(&mut store.connection)
            .await?;
            (client, store.signing_key.clone())
        };
        self.syncing.tell(Event::State).await;
        kept.client = Some(client.clone());
        let session = Session {
            phone: self,
            client,
            key,
            token: &mut kept.token,
            options,
            report: SyncReport::default(),
            last_error: None,
            failed_files: BTreeSet::new(),
            lacking: false,
            read_anew: false,
        };
        session.run().await
    }
}

impl Session<'_> {
    async fn run(mut self) -> Result<SyncReport, PhoneError> {
        let mut exchange = Exchange::new(self.options.tries);
        loop {
            let situation = self.situation().await?;
            let went = match exchange.step(situation) {
                Step::SignIn => self.sign_in().await,
                Step::Push => self.push().await,
                Step::Upload => self.upload().await,
                Step::Pull => self.pull().await,
                Step::Rest(rest) => {
                    tokio::time::sleep(rest).await;
                    continue;
                }
                Step::Finished => return Ok(self.report),
                Step::GiveUp(_) => {
                    return Err(self.last_error.unwrap_or(PhoneError::Offline {
                        retry_after_s: None,
                    }));
                }
            };
            let answer = match went {
                Ok((news, more)) => Answer::Went { news, more },
                Err(error) => Answer::Failed(self.failed(error).await?),
            };
            exchange.answered(answer, rand::random());
        }
    }

    async fn situation(&self) -> Result<Situation, PhoneError> {
        let mut store = self.phone.store().await;
        let (unsent_changes, unsent_files): (bool, i64) = sqlx::query_as(
            "select exists (select 1 from change where server is null), \
             (select count(*) from attachment where received_at_ms is null)",
        )
        .fetch_one(&mut store.connection)
        .await?;
        let unconfirmed = !unconfirmed(&mut store.connection).await?.is_empty();
        let unsent_files =
            unsent_files > self.failed_files.len() as i64 && self.options.attachments;
        Ok(Situation {
            signed_in: self.token.is_some(),
            unsent_changes,
            unsent_files,
            unconfirmed,
        })
    }

    /// What a failure means to the exchange. A revoked phone remembers it; nothing of it is deleted.
    async fn failed(&mut self, error: PhoneError) -> Result<Failure, PhoneError> {
        let failure = match &error {
            PhoneError::Offline {
                retry_after_s: None,
            } => Failure::Unreachable,
            PhoneError::Offline {
                retry_after_s: Some(seconds),
            } => Failure::Busy {
                retry_after: Some(Duration::from_secs(u64::from(*seconds))),
            },
            PhoneError::SignedOut { word }
                if matches!(word.as_str(), "token-expired" | "token-refused") =>
            {
                *self.token = None;
                Failure::TokenExpired
            }
            PhoneError::SignedOut { word } if word.starts_with("clock-skew") => {
                let server_ms: i64 = word
                    .trim_start_matches("clock-skew ")
                    .parse()
                    .unwrap_or_default();
                self.phone
                    .syncing
                    .skew_ms
                    .store(server_ms - self.phone.now_ms(), Ordering::Relaxed);
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

    async fn sign_in(&mut self) -> Result<(bool, bool), PhoneError> {
        let phone = self.phone.store().await.profile()?.phone;
        let server_ms = self.phone.now_ms() + self.phone.syncing.skew_ms.load(Ordering::Relaxed);
        *self.token = Some(
            self.client
                .token(phone, &self.key, server_ms, rand::random())
                .await?,
        );
        Ok((false, false))
    }

    fn token(&self) -> Result<&AccessToken, PhoneError> {
        self.token
            .as_ref()
            .ok_or_else(|| PhoneError::internal("a request before signing in"))
    }

    async fn push(&mut self) -> Result<(bool, bool), PhoneError> {
        let (push, sent) = self.next_push().await?;
        let pushed = self.client.push(self.token()?, &push).await?;
        self.hear(&sent, &pushed).await?;
        Ok((true, false))
    }

    /// The oldest unsent changes with fresh seals, and a question about every document that lacks its receipt.
    async fn next_push(&mut self) -> Result<(Push, Vec<Sha256>), PhoneError> {
        let mut store = self.phone.store().await;
        let rows = sqlx::query(
            "select document_id, hash, bytes from change where server is null order by position limit $1",
        )
        .bind(PUSH_CHANGES)
        .fetch_all(&mut store.connection)
        .await?;
        let mut sent = Vec::new();
        let mut bytes = 0;
        let mut documents: BTreeMap<DocumentId, Vec<Change>> = BTreeMap::new();
        for row in &rows {
            let change = Change {
                hash: row
                    .get::<&str, _>(1)
                    .parse()
                    .map_err(PhoneError::internal)?,
                bytes: row.get(2),
            };
            bytes += change.bytes.len();
            if bytes > PUSH_BYTES && !sent.is_empty() {
                break;
            }
            sent.push(change.hash);
            documents
                .entry(
                    row.get::<&str, _>(0)
                        .parse()
                        .map_err(PhoneError::internal)?,
                )
                .or_default()
                .push(change);
        }
        let phone = store.profile()?.phone;
        let mut push = Push::default();
        for (document, changes) in documents {
            let key = store.key(document).await?;
            let seals = seals(&self.key, Signer::Phone(phone), &key, &changes)?;
            let mut tx = store.connection.begin().await?;
            for seal in &seals {
                put_seal(&mut tx, document, seal).await?;
            }
            tx.commit().await?;
            let changes = changes.into_iter().map(|change| change.bytes).collect();
            push.documents.push(PushedDocument {
                key: WireKey::from(&key),
                changes,
                seals,
            });
        }
        push.receipts = unconfirmed(&mut store.connection).await?;
        push.receipts.truncate(PUSH_RECEIPTS);
        Ok((push, sent))
    }

    /// Writes down what the server said. A receipt counts only if its signature holds.
    async fn hear(&mut self, sent: &[Sha256], pushed: &Pushed) -> Result<(), PhoneError> {
        let outcomes: BTreeMap<Sha256, &str> = pushed
            .changes
            .iter()
            .map(|c| (c.hash, c.word.as_str()))
            .collect();
        let mut store = self.phone.store().await;
        let receipt_key = VerifyingKey::from_bytes(&store.profile()?.receipt_key)
            .map_err(PhoneError::internal)?;
        let mut tx = store.connection.begin().await?;
        for hash in sent {
            let word = outcomes.get(hash).copied().unwrap_or("held");
            if matches!(word, "held" | "waiting") {
                self.report.sent_changes += 1;
            } else {
                self.report.refused_changes.push(word.to_owned());
            }
            sqlx::query("update change set server = $1 where hash = $2")
                .bind(word)
                .bind(hash.to_string())
                .execute(&mut *tx)
                .await?;
        }
        // The server says it has not what this phone thought it had sent: it is sent again.
        for sha256 in &pushed.missing_attachments {
            sqlx::query(
                "update attachment set received_at_ms = null, upload_url = null where sha256 = $1",
            )
            .bind(sha256.to_string())
            .execute(&mut *tx)
            .await?;
        }
        for jws in &pushed.receipts {
            let Ok(receipt) = Receipt::verify(jws, |_| Some(receipt_key)) else {
                continue;
            };
            self.report.receipts += 1;
            sqlx::query(
                "insert into receipt (document_id, heads, attachments, jws) values ($1, $2, $3, $4) \
                 on conflict (document_id) do update set heads = excluded.heads, \
                 attachments = excluded.attachments, jws = excluded.jws",
            )
            .bind(receipt.document.to_string())
            .bind(heads_text(&receipt.heads))
            .bind(heads_text(&receipt.attachments))
            .bind(jws)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        drop(store);
        self.phone.syncing.tell(Event::State).await;
        Ok(())
    }

    /// Sends one file whole. One that fails by itself (unreadable here, refused there) stays behind and holds up nothing.
    async fn upload(&mut self) -> Result<(bool, bool), PhoneError> {
        let files = self.phone.unsent_files().await?;
        let Some(file) = files
            .into_iter()
            .find(|file| !self.failed_files.contains(&file.sha256))
        else {
            return Ok((false, false));
        };
        match self.send_file(&file).await {
            Ok(()) => Ok((true, false)),
            Err(error @ PhoneError::Offline { .. }) => Err(error),
            Err(PhoneError::SignedOut { word })
                if word.starts_with("token-") || word.starts_with("phone-") =>
            {
                Err(PhoneError::SignedOut { word })
            }
            Err(_) => {
                self.failed_files.insert(file.sha256);
                self.report.failed_files += 1;
                Ok((false, false))
            }
        }
    }

    async fn send_file(&mut self, file: &Unsent) -> Result<(), PhoneError> {
        let (url, mut offset) = self.resume(file).await?;
        while offset < file.size_bytes {
            let bytes = file.read(offset, UPLOAD_CHUNK).await?;
            offset = self
                .client
                .upload(self.token()?, &url, offset, bytes)
                .await?;
            let progress = Event::Progress {
                sha256: file.sha256,
                sent_bytes: offset,
                size_bytes: file.size_bytes,
            };
            self.phone.syncing.tell(progress).await;
        }
        let mut store = self.phone.store().await;
        sqlx::query(
            "update attachment set received_at_ms = $1, upload_url = null where sha256 = $2",
        )
        .bind(self.phone.now_ms())
        .bind(file.sha256.to_string())
        .execute(&mut store.connection)
        .await?;
        self.report.sent_files += 1;
        Ok(())
    }

    /// Where the upload is, and how far. One that the server no longer knows begins anew.
    async fn resume(&self, file: &Unsent) -> Result<(String, u64), PhoneError> {
        if let Some(url) = &file.upload_url {
            match self.client.upload_offset(self.token()?, url).await {
                Ok(offset) => return Ok((url.clone(), offset)),
                Err(PhoneError::SignedOut { word })
                    if word == "not-found" || word == "upload-expired" => {}
                // A HEAD has no body, so a refusal has no word: begin anew, which asks the server what is wrong.
                Err(PhoneError::Offline { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let url = self
            .client
            .create_upload(self.token()?, file.sha256, file.size_bytes)
            .await?;
        let mut store = self.phone.store().await;
        sqlx::query("update attachment set upload_url = $1 where sha256 = $2")
            .bind(&url)
            .bind(file.sha256.to_string())
            .execute(&mut store.connection)
            .await?;
        drop(store);
        // The server may have the file already, from a colleague's phone.
        let offset = self.client.upload_offset(self.token()?, &url).await?;
        Ok((url, offset))
    }

    async fn pull(&mut self) -> Result<(bool, bool), PhoneError> {
        let cursor: String = {
            let mut store = self.phone.store().await;
            sqlx::query("select cursor from sync")
                .fetch_one(&mut store.connection)
                .await?
                .get(0)
        };
        let items = self.client.pull(self.token()?, &cursor).await?;
        let mut came = 0;
        let mut open: Option<Incoming> = None;
        for item in items {
            match item {
                Pulled::Document(key) => {
                    came += self.merge(open.replace(Incoming::new(key.key()?))).await?;
                }
                Pulled::Change(bytes) => {
                    let header = header::read(&bytes).map_err(|_| PhoneError::Offline {
                        retry_after_s: None,
                    })?;
                    let change = Change {
                        hash: header.hash,
                        bytes,
                    };
                    open.as_mut().ok_or_else(no_document)?.changes.push(change);
                }
                Pulled::Seal(seal) => open.as_mut().ok_or_else(no_document)?.seals.push(seal),
                Pulled::Ungrant(document, _) => self.ungrant(document).await?,
                Pulled::Cursor(cursor, more) => {
                    came += self.merge(open.take()).await?;
                    // Once in a sync: a second time would find the same and never end.
                    let again = std::mem::take(&mut self.lacking) && !self.read_anew;
                    self.read_anew |= again;
                    let (cursor, more) = if again {
                        (String::new(), true)
                    } else {
                        (cursor, more)
                    };
                    let mut store = self.phone.store().await;
                    sqlx::query("update sync set cursor = $1")
                        .bind(cursor)
                        .execute(&mut store.connection)
                        .await?;
                    self.report.received_changes += came;
                    return Ok((came > 0, more));
                }
            }
        }
        // Cut before its cursor: what came whole stays, and the same place is asked for again.
        Err(PhoneError::Offline {
            retry_after_s: None,
        })
    }

    async fn merge(&mut self, incoming: Option<Incoming>) -> Result<u32, PhoneError> {
        let Some(incoming) = incoming else {
            return Ok(0);
        };
        let merged = self
            .phone
            .store()
            .await
            .merge(&incoming.key, &incoming.changes, &incoming.seals)
            .await?;
        self.lacking |= merged.lacking > 0;
        if merged.new > 0 {
            let document = incoming.key.document();
            self.phone.syncing.tell(Event::Changed { document }).await;
        }
        u32::try_from(merged.new).map_err(PhoneError::internal)
    }

    async fn ungrant(&self, document: DocumentId) -> Result<(), PhoneError> {
        let mut store = self.phone.store().await;
        sqlx::query("update document set ungranted_at_ms = $1 where document_id = $2")
            .bind(self.phone.now_ms())
            .bind(document.to_string())
            .execute(&mut store.connection)
            .await?;
        Ok(())
    }
}

/// A document's part of a pull.
struct Incoming {
    key: Key,
    changes: Vec<Change>,
    seals: Vec<Seal>,
}

impl Incoming {
    const fn new(key: Key) -> Self {
        Self {
            key,
            changes: Vec::new(),
            seals: Vec::new(),
        }
    }
}

fn no_document() -> PhoneError {
    PhoneError::internal("a change came before its document was named")
}

/// One seal per actor: of its newest change here, which covers the older ones through its own dependencies.
fn seals(
    key: &SigningKey,
    signer: Signer,
    of: &Key,
    changes: &[Change],
) -> Result<Vec<Seal>, PhoneError> {
    let mut newest: BTreeMap<Vec<u8>, (u64, Sha256)> = BTreeMap::new();
    for change in changes {
        let header = header::read(&change.bytes).map_err(PhoneError::internal)?;
        let entry = newest
            .entry(header.actor.to_vec())
            .or_insert((header.seq, header.hash));
        *entry = (*entry).max((header.seq, header.hash));
    }
    Ok(newest
        .into_values()
        .map(|(_, hash)| of.seal(key, signer, hash))
        .collect())
}

/// What to ask receipts for: every document with something of one's own whose present state no receipt covers.
async fn unconfirmed(
    connection: &mut sqlx::SqliteConnection,
) -> Result<Vec<ReceiptRequest>, PhoneError> {
    let rows = sqlx::query(
        "select d.document_id, d.heads, r.heads, coalesce(r.attachments, ''), \
         coalesce((select group_concat(u.sha256, ' ') from attachment_use u where u.document_id = d.document_id), '') \
         from document d left join receipt r on r.document_id = d.document_id \
         where exists (select 1 from change c where c.document_id = d.document_id and c.own = 1)",
    )
    .fetch_all(connection)
    .await?;
    let mut requests = Vec::new();
    for row in rows {
        let covered = parse_hashes(row.get(3));
        let mut attachments = parse_hashes(row.get(4));
        attachments.sort_unstable();
        let whole = row.get::<Option<&str>, _>(2) == Some(row.get(1))
            && attachments.iter().all(|a| covered.contains(a));
        if !whole {
            let document = row
                .get::<&str, _>(0)
                .parse()
                .map_err(PhoneError::internal)?;
            requests.push(ReceiptRequest {
                document,
                heads: parse_hashes(row.get(1)),
                attachments,
            });
        }
    }
    Ok(requests)
}
