//! A samod server: websocket in front, SQLite behind, `synchronous=FULL`.
//!
//! Puts that wait together go into one transaction, so that the peer is not made slower than its storage has to be. samod answers
//! a sync message from memory and does not wait for a put: what it has answered may not be on the disk yet.

use axum::{Router, extract::ws::WebSocketUpgrade, routing::get};
use rusqlite::{Connection, OptionalExtension as _, params};
use samod::{
    Repo, ShareConfig,
    storage::{Storage, StorageKey},
};
use std::{
    collections::HashMap,
    future::Future,
    path::{Path, PathBuf},
    sync::mpsc,
};
use tokio::sync::oneshot;

/// Asks that share a transaction.
const GROUP: usize = 256;

enum Ask {
    Load(StorageKey, oneshot::Sender<Option<Vec<u8>>>),
    Range(StorageKey, oneshot::Sender<HashMap<StorageKey, Vec<u8>>>),
    Put(StorageKey, Vec<u8>, oneshot::Sender<()>),
    Delete(StorageKey, oneshot::Sender<()>),
}

/// The way to the thread that owns the database.
#[derive(Clone)]
struct Chunks(mpsc::Sender<Ask>);

impl Chunks {
    fn open(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let database = Connection::open(folder.join("samod.db")).expect("opens");
        database
            .execute_batch(
                "pragma journal_mode = wal; pragma synchronous = full; \
                 create table if not exists chunk (key text primary key, value blob not null) without rowid;",
            )
            .expect("a table");
        let (asks, asked) = mpsc::channel();
        std::thread::spawn(move || serve(&database, &asked));
        Self(asks)
    }

    fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> impl Future<Output = T> + Send
    where
        T: Send,
    {
        let (answer, answered) = oneshot::channel();
        self.0
            .send(ask(answer))
            .expect("the database's thread lives");
        async move { answered.await.expect("the database's thread answers") }
    }
}

impl Storage for Chunks {
    fn load(&self, key: StorageKey) -> impl Future<Output = Option<Vec<u8>>> + Send {
        self.ask(|answer| Ask::Load(key, answer))
    }

    fn load_range(
        &self,
        prefix: StorageKey,
    ) -> impl Future<Output = HashMap<StorageKey, Vec<u8>>> + Send {
        self.ask(|answer| Ask::Range(prefix, answer))
    }

    fn put(&self, key: StorageKey, data: Vec<u8>) -> impl Future<Output = ()> + Send {
        self.ask(|answer| Ask::Put(key, data, answer))
    }

    fn delete(&self, key: StorageKey) -> impl Future<Output = ()> + Send {
        self.ask(|answer| Ask::Delete(key, answer))
    }
}

/// Answers what waits, a group at a time; writers hear of it after the commit.
fn serve(database: &Connection, asked: &mpsc::Receiver<Ask>) {
    while let Ok(first) = asked.recv() {
        let mut written = Vec::new();
        database.execute_batch("begin").expect("begins");
        for ask in std::iter::once(first).chain(asked.try_iter().take(GROUP)) {
            written.extend(done(database, ask).expect("the disk is well"));
        }
        database.execute_batch("commit").expect("on the disk");
        for answer in written {
            let _ = answer.send(());
        }
    }
}

fn done(database: &Connection, ask: Ask) -> rusqlite::Result<Option<oneshot::Sender<()>>> {
    match ask {
        Ask::Load(key, answer) => {
            let value = database
                .prepare_cached("select value from chunk where key = ?1")?
                .query_row([key.to_string()], |row| row.get(0))
                .optional()?;
            let _ = answer.send(value);
            Ok(None)
        }
        Ask::Range(prefix, answer) => {
            let _ = answer.send(range(database, &prefix)?);
            Ok(None)
        }
        Ask::Put(key, data, answer) => {
            database
                .prepare_cached("insert or replace into chunk (key, value) values (?1, ?2)")?
                .execute(params![key.to_string(), data])?;
            Ok(Some(answer))
        }
        Ask::Delete(key, answer) => {
            database
                .prepare_cached("delete from chunk where key = ?1")?
                .execute([key.to_string()])?;
            Ok(Some(answer))
        }
    }
}

/// What lies below `prefix`: keys are paths, and `0` comes right after `/`.
fn range(
    database: &Connection,
    prefix: &StorageKey,
) -> rusqlite::Result<HashMap<StorageKey, Vec<u8>>> {
    let mut chunks =
        database.prepare_cached("select key, value from chunk where key >= ?1 and key < ?2")?;
    let rows = chunks.query_map([format!("{prefix}/"), format!("{prefix}0")], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?))
    })?;
    rows.map(|row| {
        let (key, value) = row?;
        let key = StorageKey::from_parts(key.split('/')).expect("a key that was a key before");
        Ok((key, value))
    })
    .collect()
}

#[tokio::main]
async fn main() {
    let folder: PathBuf = std::env::args_os().nth(1).expect("a folder").into();
    let repo = Repo::build_tokio()
        .with_storage(Chunks::open(&folder))
        .with_peer_id("samod-server".into())
        // As the JavaScript server does: only what a client asks for, nothing announced.
        .with_share_policy(ShareConfig::read_write().with_announce(false))
        .load()
        .await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("listens");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    let acceptor = repo
        .make_acceptor(url::Url::parse(&url).expect("a URL"))
        .expect("an acceptor");
    println!("{url}");
    let router = Router::new().route(
        "/",
        get(async move |upgrade: WebSocketUpgrade| {
            upgrade.on_upgrade(async move |socket| {
                if let Err(stopped) = acceptor.accept_axum(socket, None) {
                    eprintln!("{stopped}");
                }
            })
        }),
    );
    axum::serve(listener, router).await.expect("serves");
}
