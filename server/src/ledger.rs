//! The log in the database: leaves, and the hashes of every perfect subtree, appended in the transaction that does what the
//! leaf says. A leaf without its deed, or a deed without its leaf, cannot be. A subtree's hash stands in the row of its last leaf:
//! a table of their own cost each leaf two more rows in two more trees.
//!
//! The frontier is taken last in a transaction and once per group of pushes: on PostgreSQL its row is what commits wait for.

use crate::{
    database::{Tx, holding},
    insert::{Insert, Value},
    round::Round,
};
use kieumau_core::{
    hash::Sha256,
    log::{
        head::{Epoch, TreeHead},
        leaf::{KeyPurpose, Leaf},
        merkle::{self, Frontier, leaf_hash},
    },
};
use sqlx::{Any, Executor, Row as _, any::AnyRow};
use std::collections::HashMap;

/// The log, held for appending until the transaction ends.
pub struct Ledger {
    epoch: Epoch,
    frontier: Frontier,
}

fn damaged(what: impl Into<String>) -> sqlx::Error {
    sqlx::Error::Decode(what.into().into())
}

impl Ledger {
    /// Takes the frontier. Another transaction that wants it waits.
    ///
    /// # Errors
    /// What the database says; `Decode` if the log's setting is damaged.
    pub async fn take(tx: &mut Tx) -> Result<Self, sqlx::Error> {
        let rows = Self::ask(tx).fetch(tx).await?;
        Self::taken(&rows)
    }

    /// Asks for the frontier, to be held; [`Ledger::taken`] reads the answer.
    pub fn ask(tx: &Tx) -> Insert {
        let mut asked = Insert::new(
            "select s.value from setting s where s.name =",
            1,
            holding(tx, "s"),
        );
        asked.push([Value::from("log")]);
        asked
    }

    /// The log as it was taken.
    ///
    /// # Errors
    /// `RowNotFound` if there is none; `Decode` if its setting is damaged.
    pub fn taken(rows: &[AnyRow]) -> Result<Self, sqlx::Error> {
        let held: String = rows.first().ok_or(sqlx::Error::RowNotFound)?.get(0);
        let (epoch, size, roots) = parse(&held)?;
        let nodes: HashMap<_, _> = merkle::perfect_nodes(size).into_iter().zip(roots).collect();
        let frontier = Frontier::load(size, |level, index| nodes.get(&(level, index)).copied())
            .map_err(|error| damaged(error.to_string()))?;
        Ok(Self { epoch, frontier })
    }

    /// Appends leaves, each with the feed's number of its batch's last change, if it is a batch; the position of the first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn append(
        &mut self,
        tx: &mut Tx,
        leaves: &[(Leaf, Option<i64>)],
    ) -> Result<u64, sqlx::Error> {
        let mut round = Round::default();
        let first = self.write(&mut round, leaves);
        round.run(tx).await?;
        Ok(first)
    }

    /// What [`Ledger::append`] writes, as part of a round; the position of the first.
    pub fn write(&mut self, round: &mut Round, leaves: &[(Leaf, Option<i64>)]) -> u64 {
        let first = self.frontier.size();
        let mut rows = Insert::new(
            "insert into leaf (epoch, position, content, nodes, document_id, through_number) values",
            6,
            "",
        );
        for (leaf, through) in leaves {
            let document = leaf.batch().map(|(document, _)| document);
            let content = leaf.encode();
            let position = signed(self.frontier.size());
            let completed = self.frontier.push(leaf_hash(&content));
            let nodes = completed.iter().flat_map(|node| *node.hash.as_bytes());
            rows.push([
                Value::text(self.epoch),
                position.into(),
                content.into(),
                nodes.collect::<Vec<u8>>().into(),
                Value::text_or_null(document),
                (*through).into(),
            ]);
        }
        // The frontier itself is kept, so that taking it reads one row and no nodes.
        let mut value = format!("{} {}", self.epoch, self.frontier.size());
        for root in self.frontier.roots() {
            value.push(' ');
            value.push_str(&root.to_string());
        }
        let mut frontier = Insert::new("update setting set value =", 1, "where name = 'log'");
        frontier.push([value.into()]);
        round.write(rows);
        round.write(frontier);
        first
    }

    /// The log's head as it stands in this transaction.
    pub fn head(&self, at_ms: i64) -> TreeHead {
        TreeHead {
            epoch: self.epoch,
            size: self.frontier.size(),
            root: self.frontier.root(),
            at_ms,
        }
    }
}

/// Takes the log, appends one leaf, and answers its position. For transactions that append nothing else.
///
/// # Errors
/// What the database says.
pub async fn append(tx: &mut Tx, leaf: &Leaf) -> Result<i64, sqlx::Error> {
    let leaves = [(leaf.clone(), None)];
    let position = Ledger::take(tx).await?.append(tx, &leaves).await?;
    Ok(signed(position))
}

/// Begins the log if there is none: its first leaf names the epoch, the next ones the keys that the server has from here on.
///
/// # Errors
/// What the database says.
pub async fn begin(
    tx: &mut Tx,
    epoch: Epoch,
    keys: [(KeyPurpose, [u8; 32]); 4],
    at_ms: i64,
) -> Result<(), sqlx::Error> {
    let new =
        sqlx::query("insert into setting (name, value) values ('log', $1) on conflict do nothing")
            .bind(format!("{epoch} 0"))
            .execute(&mut **tx)
            .await?;
    if new.rows_affected() == 0 {
        return Ok(());
    }
    open(tx, epoch, None, keys, at_ms).await
}

/// Ends the log's epoch and begins another, whose first leaf is the head of the one before: after a backup was put back, the log is
/// shorter than what phones hold receipts of, and must not go on as if it were the same.
///
/// # Errors
/// What the database says.
pub async fn begin_anew(
    tx: &mut Tx,
    epoch: Epoch,
    keys: [(KeyPurpose, [u8; 32]); 4],
    at_ms: i64,
) -> Result<TreeHead, sqlx::Error> {
    let previous = Ledger::take(tx).await?.head(at_ms);
    sqlx::query("update setting set value = $1 where name = 'log'")
        .bind(format!("{epoch} 0"))
        .execute(&mut **tx)
        .await?;
    open(tx, epoch, Some(previous), keys, at_ms).await?;
    Ok(previous)
}

/// The first leaves of an epoch.
async fn open(
    tx: &mut Tx,
    epoch: Epoch,
    previous: Option<TreeHead>,
    keys: [(KeyPurpose, [u8; 32]); 4],
    at_ms: i64,
) -> Result<(), sqlx::Error> {
    let first = Leaf::Epoch { epoch, previous };
    let keys = keys.map(|(purpose, public_key)| Leaf::ServerKey {
        purpose,
        public_key,
        at_ms,
    });
    let leaves: Vec<_> = [first]
        .into_iter()
        .chain(keys)
        .map(|leaf| (leaf, None))
        .collect();
    Ledger::take(tx).await?.append(tx, &leaves).await?;
    Ok(())
}

/// The log's epoch and size, without holding it.
///
/// # Errors
/// What the database says.
pub async fn size(
    database: impl Executor<'_, Database = Any>,
) -> Result<(Epoch, u64), sqlx::Error> {
    let row = sqlx::query("select value from setting where name = 'log'")
        .fetch_one(database)
        .await?;
    said(row.get(0))
}

/// The epoch and size in the setting `log`.
///
/// # Errors
/// `Decode` for a damaged one.
pub fn said(setting: &str) -> Result<(Epoch, u64), sqlx::Error> {
    let (epoch, size, _) = parse(setting)?;
    Ok((epoch, size))
}

/// These nodes of the tree, by level and position.
///
/// # Errors
/// What the database says.
pub async fn nodes<'e>(
    database: impl Executor<'e, Database = Any>,
    epoch: Epoch,
    wanted: &[(u8, u64)],
) -> Result<HashMap<(u8, u64), Sha256>, sqlx::Error> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    // Positions are numbers of our own: nothing of a user's is in the text.
    let list: Vec<String> = wanted
        .iter()
        .map(|(level, index)| last_leaf(*level, *index).to_string())
        .collect();
    let sql = format!(
        "select position, nodes from leaf where epoch = $1 and position in ({})",
        list.join(",")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(epoch.to_string())
        .fetch_all(database)
        .await?;
    let completed: HashMap<u64, Vec<u8>> = rows
        .iter()
        .map(|row| (row.get::<i64, _>(0).unsigned_abs(), row.get(1)))
        .collect();
    let node = |(level, index): &(u8, u64)| {
        let (hashes, _) = completed.get(&last_leaf(*level, *index))?.as_chunks::<32>();
        Some(((*level, *index), Sha256(*hashes.get(usize::from(*level))?)))
    };
    Ok(wanted.iter().filter_map(node).collect())
}

/// The position of the leaf that completes a node, in whose row the node stands.
const fn last_leaf(level: u8, index: u64) -> u64 {
    ((index + 1) << level) - 1
}

/// `epoch size root root …`: the frontier is the roots of the perfect subtrees, the largest first.
fn parse(value: &str) -> Result<(Epoch, u64, Vec<Sha256>), sqlx::Error> {
    let log = || -> Option<_> {
        let mut parts = value.split(' ');
        let epoch = parts.next()?.parse().ok()?;
        let size = parts.next()?.parse().ok()?;
        let roots = parts.map(|root| root.parse().ok()).collect::<Option<_>>()?;
        Some((epoch, size, roots))
    };
    log().ok_or_else(|| damaged("the log's setting is damaged"))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("a log has fewer than 2^63 leaves")
}
