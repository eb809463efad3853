//! The database behind the server: SQLite in a folder, or PostgreSQL by URL, one SQL text for both.
//!
//! SQLite gets one writer and several readers (WAL, `synchronous=FULL`: an answer means it is on the disk); PostgreSQL one
//! pool for both. What a transaction writes is one story: the record, its audit row, its log leaf.

use sqlx::{
    AnyConnection, AnyPool, Connection as _, Row as _, Transaction,
    any::{Any, AnyPoolOptions},
};
use std::path::Path;

/// Which database it is. SQL that needs to know is a defect, but for how a transaction begins and how it holds a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// SQLite in a file.
    Sqlite,
    /// PostgreSQL by URL.
    Postgres,
}

/// The open database.
#[derive(Clone, Debug)]
pub struct Database {
    /// For reading outside a transaction.
    pub read: AnyPool,
    write: AnyPool,
    backend: Backend,
}

/// A transaction on either database.
pub type Tx = Transaction<'static, Any>;

/// How a query ends that holds the rows of `table` that it reads until the transaction ends. On SQLite a writing transaction
/// holds the whole database already, and knows no such words.
pub fn holding(tx: &Tx, table: &'static str) -> String {
    match backend(tx) {
        Backend::Postgres => format!(" for no key update of {table}"),
        Backend::Sqlite => String::new(),
    }
}

/// Which database a transaction is in.
pub fn backend(tx: &Tx) -> Backend {
    if tx.backend_name() == "PostgreSQL" {
        Backend::Postgres
    } else {
        Backend::Sqlite
    }
}

/// Whether a server was ever started on the database at `url`, or on SQLite in `folder`. Makes and migrates nothing.
///
/// # Errors
/// What the database says.
pub async fn was_served(url: Option<&str>, folder: &Path) -> Result<bool, sqlx::Error> {
    sqlx::any::install_default_drivers();
    let file = folder.join("kieumau.db");
    let url = match url {
        Some(url) => url.to_owned(),
        None if file.exists() => format!("sqlite://{}?mode=rw", file.display()),
        None => return Ok(false),
    };
    let mut connection = AnyConnection::connect(&url).await?;
    // A server makes its keys at its first start.
    let keys = sqlx::query("select count(*) from server_key")
        .fetch_one(&mut connection)
        .await;
    match keys {
        Ok(row) => Ok(row.try_get::<i64, _>(0)? > 0),
        // No such table, in the words of SQLite and of PostgreSQL.
        Err(sqlx::Error::Database(cause))
            if matches!(cause.code().as_deref(), Some("1" | "42P01")) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

impl Database {
    /// Opens the database at `url` (`postgres://…`), or the SQLite file `kieumau.db` in `folder`, and migrates it.
    ///
    /// # Errors
    /// What the database says; opening never deletes.
    pub async fn open(url: Option<&str>, folder: &Path) -> Result<Self, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let database = match url {
            Some(url) => {
                let pool = AnyPoolOptions::new()
                    .max_connections(16)
                    .connect(url)
                    .await?;
                Self {
                    read: pool.clone(),
                    write: pool,
                    backend: Backend::Postgres,
                }
            }
            None => Self::sqlite(folder).await?,
        };
        MIGRATIONS.run(&database.write).await?;
        Ok(database)
    }

    async fn sqlite(folder: &Path) -> Result<Self, sqlx::Error> {
        let url = format!("sqlite://{}/kieumau.db?mode=rwc", folder.display());
        let pool = |connections, cache: &'static str| {
            AnyPoolOptions::new()
                .max_connections(connections)
                // All from the start: one that a load needs first would look like something that it left open.
                .min_connections(connections)
                // A file does not hang up: asking each time whether it is there costs a hop between threads.
                .test_before_acquire(false)
                .after_connect(move |connection, _| {
                    Box::pin(async move {
                        for pragma in [
                            "pragma journal_mode = wal",
                            "pragma synchronous = full",
                            "pragma foreign_keys = on",
                            "pragma busy_timeout = 10000",
                            // Pages, not bytes. A checkpoint writes all of them once more and waits for the disk, and who commits waits for
                            // it: `tidy` makes one when nobody does, and this is what a storm of pushes may leave to it.
                            "pragma wal_autocheckpoint = 16000",
                            cache,
                        ] {
                            sqlx::query(pragma).execute(&mut *connection).await?;
                        }
                        Ok(())
                    })
                })
        };
        // Kibibytes: what a first upload touches of the indexes stays in memory. Readers have the system's cache beneath theirs; one
        // that a load happened to use first took as much again.
        let (of_writer, of_reader) = ("pragma cache_size = -4000", "pragma cache_size = -2000");
        let write = pool(1, of_writer).before_acquire(|connection, _| {
            // When the disk is full SQLite ends the transaction by itself; the driver still counts it, and would never begin another.
            let at_rest = !connection.is_in_transaction();
            Box::pin(async move { Ok(at_rest) })
        });
        let write = write.connect(&url).await?;
        let read = pool(4, of_reader).connect(&url).await?;
        Ok(Self {
            read,
            write,
            backend: Backend::Sqlite,
        })
    }

    /// Begins a writing transaction. On SQLite it takes the write lock at once: a read lock that grows into a write lock
    /// fails when another writer came between.
    ///
    /// # Errors
    /// What the database says.
    pub async fn begin(&self) -> Result<Tx, sqlx::Error> {
        match self.backend {
            Backend::Sqlite => self.write.begin_with("begin immediate").await,
            Backend::Postgres => self.write.begin().await,
        }
    }

    /// Moves what was committed out of SQLite's log, while nothing else is to be done; on PostgreSQL nothing. What it does not get done waits
    /// for the next time: nothing depends on it.
    pub async fn tidy(&self) {
        // It holds up neither readers nor the writer.
        self.checkpoint("pragma wal_checkpoint(passive)", &self.read)
            .await;
    }

    /// Moves all that was committed out of SQLite's log and empties it, when the server ends: who copies the file then has it whole.
    pub async fn settle(&self) {
        self.checkpoint("pragma wal_checkpoint(truncate)", &self.write)
            .await;
    }

    async fn checkpoint(&self, pragma: &'static str, pool: &AnyPool) {
        if self.backend == Backend::Sqlite
            && let Err(error) = sqlx::query(pragma).fetch_all(pool).await
        {
            tracing::warn!(cause = %error, "SQLite's log stays as it is; nothing depends on that");
        }
    }

    /// What lies underneath, in one line: `SQLite 3.50.4, /srv/data/kieumau.db`, `PostgreSQL 17.6, kieumau`. An SQLite that is the
    /// phones' encrypted one, which the server's must not be, is said to be that.
    ///
    /// # Errors
    /// What the database says.
    pub async fn describe(&self) -> Result<String, sqlx::Error> {
        let (name, asked) = match self.backend {
            Backend::Sqlite => (
                "SQLite",
                "select sqlite_version(), file from pragma_database_list where name = 'main'",
            ),
            Backend::Postgres => (
                "PostgreSQL",
                "select current_setting('server_version'), cast(current_database() as text)",
            ),
        };
        let row = sqlx::query(asked).fetch_one(&self.read).await?;
        let (version, where_it_is): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let encrypted = match self.backend {
            Backend::Sqlite => {
                let version = sqlx::query("pragma cipher_version");
                version.fetch_optional(&self.read).await?.is_some()
            }
            Backend::Postgres => false,
        };
        let warning = if encrypted {
            "; BUILT WITH THE PHONES' SQLCipher: build the server apart from them"
        } else {
            ""
        };
        Ok(format!("{name} {version}, {where_it_is}{warning}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture, problem::Problem};

    #[tokio::test]
    async fn what_was_committed_leaves_the_log_while_nobody_waits_and_not_with_a_push() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::open(None, folder.path()).await.expect("opens");
        let size = |name: &str| {
            let file = folder.path().join(name).metadata();
            file.expect("a file").len()
        };
        let mut tx = database.begin().await.expect("begins");
        let (log, before) = ("kieumau.db-wal", size("kieumau.db"));
        // More than would have been moved on the spot before.
        sqlx::query("insert into setting (name, value) values ('large', $1)")
            .bind("x".repeat(20 << 20))
            .execute(&mut *tx)
            .await
            .expect("written");
        tx.commit().await.expect("committed");
        assert!(size(log) > 20 << 20);
        assert_eq!(size("kieumau.db"), before);
        database.tidy().await;
        assert!(size("kieumau.db") > 20 << 20);
        assert!(
            size(log) > 20 << 20,
            "it is written over from its beginning"
        );
        database.settle().await;
        assert_eq!(size(log), 0);
    }

    #[tokio::test]
    async fn a_full_disk_is_said_and_does_not_take_the_writer_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::open(None, folder.path()).await.expect("opens");
        let mut tx = database.begin().await.expect("begins");
        // This connection's disk is as full as the file is large.
        sqlx::query("pragma max_page_count = 1")
            .execute(&mut *tx)
            .await
            .expect("set");
        let full = sqlx::query("insert into setting (name, value) values ('large', $1)")
            .bind("x".repeat(1 << 20))
            .execute(&mut *tx)
            .await
            .expect_err("no room");
        assert_eq!(Problem::from(full).word(), "storage-full");
        drop(tx);
        let mut tx = database.begin().await.expect("begins again");
        sqlx::query("insert into setting (name, value) values ('small', 'x')")
            .execute(&mut *tx)
            .await
            .expect("room again");
        tx.commit().await.expect("committed");
    }

    /// A database as it was before changes were their own entries: with a change that is numbered in its row and in its entry.
    async fn of_before(url: &str) {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(url).await.expect("connects");
        let before = MIGRATIONS.run_to(2, &mut connection).await;
        before.expect("migrates");
        for row in [
            "insert into unit (unit_id, name, level, valid_from, sample) values ('u', 'U', 'ward', '2025-07-01', 0)",
            "insert into document (document_id, kind, unit_id, name, wrapped_key, first_received_at_ms, size_bytes, heads, \
             checked_heads, projected_heads) values ('d', 'patrol-log', 'u', 'n', '', 1, 3, 'h', 'h', 'h')",
            "insert into change (document_id, hash, actor, seq, deps, written_at_s, received_at_ms, state, number, bytes) \
             values ('d', 'h', 'a', 1, '', 1, 1, 'checked', 1, '')",
            "insert into entry (unit_id, number, type, document_id, change_hash) values ('u', 1, 'change', 'd', 'h')",
            "insert into entry (unit_id, number, type, document_id, person_id) values ('u', 2, 'grant', 'd', 'p')",
        ] {
            sqlx::query(row).execute(&mut connection).await.expect(row);
        }
    }

    /// Two branches that each add a number's migration merge without a word, and no database opens any more.
    #[test]
    fn each_migration_has_a_number_of_its_own() {
        let versions: Vec<i64> = MIGRATIONS.iter().map(|one| one.version).collect();
        assert!(
            versions.windows(2).all(|two| two[0] < two[1]),
            "{versions:?}"
        );
    }

    #[tokio::test]
    async fn a_database_of_before_opens_with_each_number_of_its_feeds_once() {
        let folder = tempfile::tempdir().expect("a folder");
        of_before(&format!(
            "sqlite://{}/kieumau.db?mode=rwc",
            folder.path().display()
        ))
        .await;
        let mut databases = vec![Database::open(None, folder.path()).await];
        if let Ok(url) = std::env::var("KIEUMAU_TEST_POSTGRES") {
            let url = fixture::fresh_database(&url).await;
            of_before(&url).await;
            databases.push(Database::open(Some(&url), folder.path()).await);
        }
        for database in databases {
            let database = database.expect("opens");
            let numbers = sqlx::query(
                "select unit_id, number from entry union all \
                 select unit_id, coalesce(entered, number) from change order by 2",
            );
            let rows = numbers.fetch_all(&database.read).await.expect("the feed");
            let rows: Vec<(String, i64)> =
                rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            assert_eq!(rows, [("u".to_owned(), 1), ("u".to_owned(), 2)]);
            // And no number is given to two changes.
            assert!(one_more(&database, 1).await.is_err());
            assert!(one_more(&database, 3).await.is_ok(), "the twin");
        }
    }

    async fn one_more(database: &Database, number: i64) -> Result<(), sqlx::Error> {
        let mut tx = database.begin().await?;
        sqlx::query(
            "insert into change (document_id, unit_id, hash, actor, seq, deps, written_at_s, received_at_ms, state, number, bytes) \
             values ('d', 'u', 'i', 'a', 2, '', 1, 1, 'checked', $1, '')",
        )
        .bind(number)
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }
}
