//! The server's side of workers: a few processes, one job each at a time, killed at the deadline, replaced after any failure.

use super::job::{Answer, Job};
use std::{io, path::PathBuf, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{Mutex, Semaphore},
};

/// How long one job may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Processes at most.
const PROCESSES: usize = 2;
/// The largest answer, bytes.
const ANSWER_LIMIT: u32 = 96 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The worker could not be started.
    #[error("a worker could not be started")]
    NotStarted(#[source] io::Error),
    /// The worker died over the job: hostile bytes, or too much memory.
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
    _child: Child,
    input: ChildStdin,
    output: ChildStdout,
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
        let _place = self.0.free.acquire().await.map_err(|_| WorkerError::Died)?;
        let idle = self.0.idle.lock().await.pop();
        let mut worker = match idle {
            Some(worker) => worker,
            None => self.start().map_err(WorkerError::NotStarted)?,
        };
        let message = minicbor::to_vec(job).map_err(|_| WorkerError::Died)?;
        match tokio::time::timeout(DEADLINE, worker.ask(&message)).await {
            Ok(Ok(answer)) => {
                let answer = minicbor::decode(&answer).map_err(|_| WorkerError::Died)?;
                self.0.idle.lock().await.push(worker);
                Ok(answer)
            }
            Ok(Err(_)) => Err(WorkerError::Died),
            Err(_) => Err(WorkerError::TooSlow),
        }
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
            _child: child,
            input,
            output,
        })
    }
}

impl Worker {
    async fn ask(&mut self, message: &[u8]) -> io::Result<Vec<u8>> {
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        self.input.write_all(&length.to_le_bytes()).await?;
        self.input.write_all(message).await?;
        self.input.flush().await?;
        let length = self.output.read_u32_le().await?;
        if length > ANSWER_LIMIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut answer = vec![0; length as usize];
        self.output.read_exact(&mut answer).await?;
        Ok(answer)
    }
}
