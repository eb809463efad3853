//! What a worker said about a document, asked so that only what kills a worker is withheld, and with it what builds on it.

use super::{Looked, looked::Fresh};
use crate::{
    app::App,
    worker::{Answer, Checked, Job, Patience, WorkerError},
};
use kieumau_core::{hash::Sha256, id::PhoneId};
use std::collections::BTreeSet;

/// What the worker said about one document.
pub(super) struct Told {
    /// Per fresh change: none if it passed, or the word of why not.
    pub(super) verdicts: Vec<Option<String>>,
    /// The document without those that did not; none if no answer came that says.
    pub(super) checked: Option<Checked>,
    /// The phones whose changes killed a worker, once for each.
    pub(super) killers: Vec<PhoneId>,
}

/// Asks about all of them together. About a document of which no answer comes it asks in parts, if it is patient; else it has none.
///
/// # Errors
/// `Io` if no worker can be started, or none says anything about a document.
pub(super) async fn ask(
    app: &App,
    looked: &[Looked],
    patience: Patience,
) -> Result<Vec<Option<Told>>, sqlx::Error> {
    let mut jobs = Vec::with_capacity(looked.len());
    for looked in looked {
        jobs.push(Job::Check(looked.job([].iter(), looked.fresh.iter())?));
    }
    let answers = app.workers.run_all(&jobs, patience).await?;
    let mut told = Vec::with_capacity(looked.len());
    for (looked, answer) in looked.iter().zip(answers) {
        told.push(match answer {
            Ok(Answer::Checked(checked)) if checked.verdicts.len() == looked.fresh.len() => {
                Some(Told {
                    verdicts: checked.verdicts.clone(),
                    checked: Some(checked),
                    killers: Vec::new(),
                })
            }
            _ if patience == Patience::Quick => None,
            _ => Some(Parts::new(app, looked).ask().await?),
        });
    }
    Ok(told)
}

/// A document that is asked about in parts.
struct Parts<'a> {
    app: &'a App,
    looked: &'a Looked,
    /// What passed of the fresh changes before the present part.
    passed: Vec<&'a Fresh>,
    verdicts: Vec<Option<String>>,
    checked: Option<Checked>,
    /// What was withheld.
    withheld: BTreeSet<Sha256>,
    killers: Vec<PhoneId>,
}

impl<'a> Parts<'a> {
    fn new(app: &'a App, looked: &'a Looked) -> Self {
        Self {
            app,
            looked,
            passed: Vec::new(),
            verdicts: Vec::with_capacity(looked.fresh.len()),
            checked: None,
            withheld: BTreeSet::new(),
            killers: Vec::new(),
        }
    }

    /// Halves what no worker survives until the change is found that none does.
    async fn ask(mut self) -> Result<Told, sqlx::Error> {
        // The first half last, so that it is taken first.
        let mut parts = vec![self.looked.fresh.as_slice()];
        while let Some(part) = parts.pop() {
            if let [one, rest @ ..] = part
                && one.deps.iter().any(|dep| self.withheld.contains(dep))
            {
                // It can never apply: nobody needs to read it, and who chained a thousand bombs set off one.
                self.withhold(one, "lacks-an-ancestor");
                parts.push(rest);
                continue;
            }
            match part {
                [] => {}
                [one] => self.one(one).await?,
                many => {
                    if !self.all(many).await? {
                        let (first, second) = many.split_at(many.len() / 2);
                        parts.extend([second, first]);
                    }
                }
            }
        }
        Ok(Told {
            verdicts: self.verdicts,
            checked: self.checked,
            killers: self.killers,
        })
    }

    async fn answer(&self, fresh: &[Fresh]) -> Result<Result<Answer, WorkerError>, sqlx::Error> {
        let job = self.looked.job(self.passed.iter().copied(), fresh.iter())?;
        Ok(self.app.workers.run(&Job::Check(job)).await)
    }

    /// Takes the verdicts about `part`; false if no worker survived it.
    async fn all(&mut self, part: &'a [Fresh]) -> Result<bool, sqlx::Error> {
        match self.answer(part).await? {
            Ok(Answer::Checked(checked)) => {
                self.take(part, checked)?;
                Ok(true)
            }
            // What could not be done at all is about what was held before, not about these changes.
            Ok(Answer::Failed(word)) => Err(unanswered(&word)),
            Ok(_) => Err(unanswered("another answer")),
            Err(WorkerError::NotStarted(error)) => Err(sqlx::Error::Io(error)),
            Err(WorkerError::Died | WorkerError::TooSlow) => Ok(false),
        }
    }

    /// Takes the verdict about one change, which is its own if a worker dies over it.
    async fn one(&mut self, one: &'a Fresh) -> Result<(), sqlx::Error> {
        let part = std::slice::from_ref(one);
        let error = match self.answer(part).await? {
            Ok(Answer::Checked(checked)) => return self.take(part, checked),
            Ok(Answer::Failed(word)) => return Err(unanswered(&word)),
            Ok(_) => return Err(unanswered("another answer")),
            Err(WorkerError::NotStarted(error)) => return Err(sqlx::Error::Io(error)),
            Err(error) => error,
        };
        // A worker that fails without it too says nothing about this change: it is tried again later.
        self.answer(&[]).await?.map_err(std::io::Error::other)?;
        self.withhold(one, error.word());
        self.killers.extend(one.writer);
        Ok(())
    }

    fn take(&mut self, part: &'a [Fresh], checked: Checked) -> Result<(), sqlx::Error> {
        if checked.verdicts.len() != part.len() {
            return Err(unanswered("not a verdict each"));
        }
        for (fresh, verdict) in part.iter().zip(&checked.verdicts) {
            match verdict {
                None => self.passed.push(fresh),
                Some(_) => {
                    self.withheld.insert(fresh.hash);
                }
            }
            self.verdicts.push(verdict.clone());
        }
        self.checked = Some(checked);
        Ok(())
    }

    fn withhold(&mut self, fresh: &Fresh, word: &str) {
        self.withheld.insert(fresh.hash);
        self.verdicts.push(Some(word.to_owned()));
    }
}

/// A worker that says nothing about a change: it is asked again later.
fn unanswered(word: &str) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::other(format!("the worker says {word}")))
}
