//! The server's side of workers: a few processes, killed at the deadline, replaced after any failure, and let go when one job made
//! them large.

use super::job::{Answer, Job};
use std::{io, path::PathBuf, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{Mutex, Semaphore},
};

/// Processes at most: one checks, one is patient with what is slow, one writes what people decide.
const PROCESSES: usize = 3;
/// The largest answer, bytes.
const ANSWER_LIMIT: u32 = 96 << 20;
/// A worker that holds more than this after its jobs is let go: memory must not stay with the largest document there ever was.
const LET_GO_BYTES: u64 = 32 << 20;

/// How long one answer may take by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As long as an honest document needs on a busy machine. What takes longer is asked again with more patience, so
    /// nothing is decided by it: it keeps one document from making all others wait.
    Quick,
    /// Longer than the processor time that a job may take, for a machine that is busy and lets workers wait (see `limits::NICE`).
    Patient,
}

impl Patience {
    const fn deadline(self) -> Duration {
        match self {
            Self::Quick => Duration::from_millis(500),
            Self::Patient => Duration::from_secs(30),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The worker could not be started.
    #[error("a worker could not be started")]
    NotStarted(#[source] io::Error),
    /// The worker died over the job: hostile bytes, too much memory or processor time.
    #[error("the worker died over the job")]
    Died,
    /// The worker took too long and was killed.
    #[error("the worker took too long")]
    TooSlow,
}

impl WorkerError {
    /// The stable word under which a change is withheld.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::NotStarted(_) => "worker-not-started",
            Self::Died => "worker-died",
            Self::TooSlow => "worker-too-slow",
        }
    }
}

/// The workers of this server.
#[derive(Clone, Debug)]
pub struct Workers(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    program: PathBuf,
    free: Semaphore,
    idle: Mutex<Vec<Worker>>,
}

#[derive(Debug)]
struct Worker {
    // Killed when dropped.
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Workers {
    /// Workers that are started from `program` when they are needed.
    pub fn new(program: PathBuf) -> Self {
        Self(Arc::new(Pool {
            program,
            free: Semaphore::new(PROCESSES),
            idle: Mutex::new(Vec::new()),
        }))
    }

    /// Has a job done.
    ///
    /// # Errors
    /// Any: the process that failed is gone, the next job gets a fresh one.
    pub async fn run(&self, job: &Job) -> Result<Answer, WorkerError> {
        let mut answers = self
            .run_all(std::slice::from_ref(job), Patience::Patient)
            .await
            .map_err(WorkerError::NotStarted)?;
        answers.pop().unwrap_or(Err(WorkerError::Died))
    }

    /// Has jobs done one after the other, together because a message costs more than checking a small document. One result per
    /// job: one that a worker does not survive takes no other with it.
    ///
    /// # Errors
    /// What the system says when a worker cannot be started.
    pub async fn run_all(
        &self,
        jobs: &[Job],
        patience: Patience,
    ) -> io::Result<Vec<Result<Answer, WorkerError>>> {
        let mut results = Vec::with_capacity(jobs.len());
        let Ok(_place) = self.0.free.acquire().await else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        while results.len() < jobs.len() {
            let mut worker = match self.idle().await {
                Some(worker) => worker,
                None => self.start()?,
            };
            let left = &jobs[results.len()..];
            match worker.ask_all(left, patience, &mut results).await {
                None if worker.is_small() => self.0.idle.lock().await.push(worker),
                None => {}
                Some(failed) => results.push(Err(failed)),
            }
        }
        Ok(results)
    }

    /// One that waits for jobs. What died while it waited died of no job.
    async fn idle(&self) -> Option<Worker> {
        let mut idle = self.0.idle.lock().await;
        while let Some(mut worker) = idle.pop() {
            if matches!(worker.child.try_wait(), Ok(None)) {
                return Some(worker);
            }
        }
        None
    }

    fn start(&self) -> io::Result<Worker> {
        let mut child = Command::new(&self.0.program)
            .arg("worker")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Worker {
            child,
            input,
            output: BufReader::new(output),
        })
    }
}

impl Worker {
    /// Asks for all of `jobs` and adds what it answers to `results`; why it failed over the next one, if it did.
    async fn ask_all(
        &mut self,
        jobs: &[Job],
        patience: Patience,
        results: &mut Vec<Result<Answer, WorkerError>>,
    ) -> Option<WorkerError> {
        let sent = tokio::time::timeout(Patience::Patient.deadline(), self.send(jobs)).await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Some(WorkerError::Died),
            Err(_) => return Some(WorkerError::TooSlow),
        }
        for _ in jobs {
            match tokio::time::timeout(patience.deadline(), self.receive()).await {
                Ok(Ok(answer)) => results.push(Ok(answer)),
                Ok(Err(_)) => return Some(WorkerError::Died),
                Err(_) => return Some(WorkerError::TooSlow),
            }
        }
        None
    }

    async fn send(&mut self, jobs: &[Job]) -> io::Result<()> {
        let message = minicbor::to_vec(jobs).map_err(io::Error::other)?;
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        self.input.write_all(&length.to_le_bytes()).await?;
        self.input.write_all(&message).await?;
        self.input.flush().await
    }

    async fn receive(&mut self) -> io::Result<Answer> {
        let length = self.output.read_u32_le().await?;
        if length > ANSWER_LIMIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut answer = vec![0; length as usize];
        self.output.read_exact(&mut answer).await?;
        minicbor::decode(&answer).map_err(io::Error::other)
    }

    /// Whether it holds little enough to be kept. One that cannot be looked at is not.
    fn is_small(&self) -> bool {
        let Some(id) = self.child.id() else {
            return false;
        };
        // Pages: the whole, then what is resident.
        let held = std::fs::read_to_string(format!("/proc/{id}/statm")).ok();
        let resident = held.and_then(|held| held.split(' ').nth(1)?.parse::<u64>().ok());
        resident.is_some_and(|pages| pages * rustix::param::page_size() as u64 <= LET_GO_BYTES)
    }
}
