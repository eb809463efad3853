//! Statements that go to the database together, because none of them waits for what another answers.
//!
//! A statement costs a hop to SQLite's thread and back, whatever it carries. So SQLite gets a round as one text. PostgreSQL takes
//! one statement at a time and gets them in turn. The statements are the same for both, and so is their order, which is the
//! order of locks.

use crate::{
    database::{Backend, Tx, backend},
    insert::{Insert, Statement},
};
use futures_util::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, Either, Executor as _,
    any::{AnyArguments, AnyRow},
};
use std::collections::VecDeque;

/// Values in one text at most: a first upload goes in many texts of few shapes, which the driver finds prepared.
const TOGETHER: usize = 400;

/// Statements, in the order in which they run.
#[derive(Default)]
pub struct Round {
    statements: VecDeque<(usize, Statement)>,
    asked: usize,
}

/// A question of a round.
#[derive(Clone, Copy)]
pub struct Asked(usize);

/// What a round's questions were answered.
pub struct Answers(Vec<Vec<AnyRow>>);

impl Answers {
    /// The rows that answer a question, once.
    pub fn take(&mut self, asked: Asked) -> Vec<AnyRow> {
        self.0
            .get_mut(asked.0)
            .map(std::mem::take)
            .unwrap_or_default()
    }
}

impl Round {
    /// Writes these rows.
    pub fn write(&mut self, rows: Insert) {
        self.add(rows.writing());
    }

    /// Asks about these rows; none are no question.
    pub fn ask(&mut self, rows: Insert) -> Asked {
        Asked(self.add(rows.asking()))
    }

    fn add(&mut self, statements: Vec<Statement>) -> usize {
        let asked = self.asked;
        self.asked += 1;
        self.statements
            .extend(statements.into_iter().map(|statement| (asked, statement)));
        asked
    }

    /// Runs the statements.
    ///
    /// # Errors
    /// What the database says of the first that fails; those after it did not run.
    pub async fn run(mut self, tx: &mut Tx) -> Result<Answers, sqlx::Error> {
        let mut answers: Vec<Vec<AnyRow>> = Vec::new();
        answers.resize_with(self.asked, Vec::new);
        while !self.statements.is_empty() {
            let text = self.next_text(tx)?;
            let query = sqlx::query_with(AssertSqlSafe(text.sql), text.arguments);
            let mut told = (**tx).fetch_many(query);
            // Each statement tells its rows, and then its end.
            let mut ended = 0;
            while let Some(told) = told.try_next().await? {
                match (told, text.places.get(ended)) {
                    (Either::Right(row), Some(place)) => answers[*place].push(row),
                    _ => ended += 1,
                }
            }
            if ended != text.places.len() {
                // What did not run was not written: this transaction must not be committed.
                return Err(sqlx::Error::Protocol(format!(
                    "{ended} of {} statements ran",
                    text.places.len()
                )));
            }
        }
        Ok(Answers(answers))
    }

    /// The next text: as many statements as go together, at least one.
    fn next_text(&mut self, tx: &Tx) -> Result<Text, sqlx::Error> {
        let backend = backend(tx);
        let mut text = Text::default();
        let mut size = 0;
        while let Some((place, statement)) = self.statements.pop_front() {
            size += statement.size();
            if !text.places.is_empty() && (backend == Backend::Postgres || size > TOGETHER) {
                self.statements.push_front((place, statement));
                break;
            }
            if !text.places.is_empty() {
                text.sql.push(';');
            }
            statement.add_text(&mut text.sql, backend);
            statement.add_values(&mut text.arguments)?;
            text.places.push(place);
        }
        Ok(text)
    }
}

/// What goes to the database at once.
#[derive(Default)]
struct Text {
    sql: String,
    arguments: AnyArguments,
    /// Per statement, which answer it belongs to.
    places: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::apps, insert::Value};
    use sqlx::Row as _;

    fn setting(names: &[&str]) -> Insert {
        let mut rows = Insert::new("insert into setting (name, value) values", 2, "");
        for name in names {
            rows.push([Value::text(name), Value::text("1")]);
        }
        rows
    }

    fn named(name: &str) -> Insert {
        let mut rows = Insert::new("select name from setting where name =", 1, "");
        rows.push([Value::text(name)]);
        rows
    }

    #[tokio::test]
    async fn a_round_runs_in_order_and_each_question_gets_its_own_rows() {
        for app in apps().await {
            let mut tx = app.database.begin().await.expect("begins");
            let mut round = Round::default();
            let before = round.ask(named("b"));
            round.write(setting(&["a", "b", "c"]));
            let nothing = round.ask(Insert::new("select name from setting where name =", 1, ""));
            let after = round.ask(named("b"));
            let mut answers = round.run(&mut tx).await.expect("runs");
            let mut names = |asked| -> Vec<String> {
                let rows = answers.take(asked);
                rows.iter().map(|row| row.get(0)).collect()
            };
            assert_eq!(names(before), [""; 0]);
            assert_eq!(names(nothing), [""; 0]);
            assert_eq!(names(after), ["b"]);
        }
    }

    #[tokio::test]
    async fn a_statement_that_fails_fails_the_round_and_nothing_of_it_stays() {
        for app in apps().await {
            let mut tx = app.database.begin().await.expect("begins");
            let mut round = Round::default();
            round.write(setting(&["a"]));
            round.write(setting(&["b", "b"]));
            round.write(setting(&["c"]));
            assert!(round.run(&mut tx).await.is_err());
            drop(tx);
            let mut tx = app.database.begin().await.expect("begins again");
            let mut round = Round::default();
            let asked = round.ask(named("a"));
            let mut answers = round.run(&mut tx).await.expect("runs");
            assert!(answers.take(asked).is_empty());
        }
    }
}
