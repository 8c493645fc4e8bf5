//! The writer: a dedicated thread with the only connection that writes.
//!
//! It runs all waiting writes in one transaction and sends their outputs after the commit (group commit).
//! Under load many writes share one fsync; a single write starts at once. The writer never waits for a
//! caller, and a caller that has stopped waiting does not disturb it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use sqlx::{Connection, SqliteConnection};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};

use super::commits::{self, CommitNotifier};
use super::error::{self, Doing, OpenError};
use super::file_guard::{FileGuard, Lost};
use super::write_lock::WriteLock;
use super::{Write, WriteReceiver, open};

/// The most writes that share one transaction, and the capacity of the channel to the writer.
const MAX_BATCH: usize = 256;

/// A handle to the writer's thread. After it is dropped, the thread completes the submitted writes and ends.
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn QueuedWrite>>,
    runtime: Handle,
    guard: Arc<FileGuard>,
}

impl Writer {
    /// Starts the thread and opens its connection.
    pub(super) async fn start(path: PathBuf, commits: CommitNotifier) -> Result<Self, OpenError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| OpenError::Thread { source })?;
        let handle = runtime.handle().clone();
        let (queue, writes) = mpsc::channel(MAX_BATCH);
        let (report, opened) = oneshot::channel();
        let life = async move {
            match WriteConnection::open(&path, commits.clone()).await {
                Err(error) => drop(report.send(Err(error))),
                Ok((connection, poller)) => {
                    let guard = Arc::clone(&connection.guard);
                    drop(report.send(Ok(Arc::clone(&guard))));
                    tokio::select! {
                        () = connection.write_all(writes) => {}
                        () = commits::poll_for_commits(poller, guard, commits) => {}
                    }
                }
            }
        };
        std::thread::Builder::new()
            .name("lockgate-writer".to_owned())
            .spawn(move || runtime.block_on(life))
            .map_err(|source| OpenError::Thread { source })?;
        let guard = opened.await.unwrap_or_else(|_| Err(OpenError::thread_died()))?;
        Ok(Self { queue, runtime: handle, guard })
    }

    /// Returns the guard that detects the loss of the database files.
    pub(super) fn guard(&self) -> &FileGuard {
        &self.guard
    }

    /// Returns the runtime of the writer's thread, for tasks that jobs must not delay.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Submits a write. Waits while [`MAX_BATCH`] other writes are in the channel.
    pub(super) async fn submit<W: Write>(
        &self,
        doing: &'static str,
        work: W,
    ) -> Result<WriteReceiver<W::Output>, EngineError> {
        let (reply, output) = oneshot::channel();
        let request = Box::new(Request { doing, work, output: None, reply });
        self.queue.send(request).await.map_err(|_| error::writer_stopped(doing))?;
        Ok(output)
    }
}

/// The connection that writes, and what each transaction needs.
struct WriteConnection {
    connection: SqliteConnection,
    guard: Arc<FileGuard>,
    write_lock: WriteLock,
    commits: CommitNotifier,
}

impl WriteConnection {
    /// Opens the connection that writes and the one that polls for commits of other processes.
    async fn open(path: &Path, commits: CommitNotifier) -> Result<(Self, SqliteConnection), OpenError> {
        let (connection, poller, guard) = open::connections(path).await?;
        let write_lock = WriteLock::next_to(path)?;
        Ok((Self { connection, guard: Arc::new(guard), write_lock, commits }, poller))
    }

    /// Runs submitted writes until the channel is closed and empty.
    async fn write_all(mut self, mut writes: mpsc::Receiver<Box<dyn QueuedWrite>>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        let mut synced = true;
        while writes.recv_many(&mut batch, MAX_BATCH).await > 0 {
            let durable = batch.iter().any(|write| write.is_durable());
            if durable != synced {
                match self.sync_commits(durable).await {
                    Ok(()) => synced = durable,
                    // Without the sync a durable write could be lost. The opposite failure only costs a sync.
                    Err(cause) if durable => {
                        fail_all(&mut batch, cause);
                        continue;
                    }
                    Err(cause) => tracing::debug!(error = %cause, "commits still wait for the disk"),
                }
            }
            self.write_batch(&mut batch).await;
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(error = %error, "database not closed cleanly");
        }
    }

    /// Sets whether commits wait for the disk. In WAL mode a commit that does not wait can be lost with the
    /// power but is never partial, and the next commit that waits also makes it durable.
    async fn sync_commits(&mut self, durable: bool) -> sqlx::Result<()> {
        self.execute(if durable { "pragma synchronous = full" } else { "pragma synchronous = normal" }).await
    }

    /// Runs a batch in one transaction. When one write fails, runs each in a transaction of its own.
    ///
    /// Nothing is written to a lost file. The check after the commit decides: when it passes, the commit is
    /// in the file that all processes have open.
    async fn write_batch(&mut self, batch: &mut Vec<Box<dyn QueuedWrite>>) {
        if let Err(lost) = self.guard.check() {
            return fail_lost(batch, &lost);
        }
        if let Err(cause) = self.write_lock.begin(&mut self.connection).await {
            return fail_all(batch, cause);
        }
        match self.run_and_commit(batch).await {
            Ok(()) => match self.guard.check() {
                Ok(()) => self.succeed_all(batch.drain(..)),
                Err(lost) => fail_lost(batch, &lost),
            },
            Err(error) => match batch.pop() {
                Some(read) if batch.is_empty() && read.has_best_effort_output() => read.succeed(),
                Some(single) if batch.is_empty() => single.fail(error),
                last => {
                    for write in batch.drain(..).chain(last).collect::<Vec<_>>() {
                        Box::pin(self.write_batch(&mut vec![write])).await;
                    }
                }
            },
        }
    }

    /// Runs the writes in the open transaction, then commits it or rolls it back.
    async fn run_and_commit(&mut self, batch: &mut [Box<dyn QueuedWrite>]) -> Result<(), EngineError> {
        let done = match self.run_all(batch).await {
            Ok(()) => self.execute("commit").await.doing("committing"),
            Err(error) => Err(error),
        };
        if done.is_err() {
            // After some errors SQLite has already rolled back, and this statement fails because no
            // transaction is open.
            if let Err(error) = self.execute("rollback").await {
                tracing::debug!(error = %error, "nothing to roll back");
            }
        }
        done
    }

    async fn run_all(&mut self, batch: &mut [Box<dyn QueuedWrite>]) -> Result<(), EngineError> {
        for write in batch {
            write.run(&mut self.connection).await?;
        }
        Ok(())
    }

    fn succeed_all(&self, writes: impl Iterator<Item = Box<dyn QueuedWrite>>) {
        // Outputs first: the callers of these writes do not need the notification.
        for write in writes {
            write.succeed();
        }
        self.commits.notify();
    }

    async fn execute(&mut self, statement: &'static str) -> sqlx::Result<()> {
        sqlx::query(statement).execute(&mut self.connection).await.map(drop)
    }
}

fn fail_all(batch: &mut Vec<Box<dyn QueuedWrite>>, cause: sqlx::Error) {
    let cause = Arc::new(cause);
    for write in batch.drain(..) {
        let error = error::store(write.doing(), Arc::clone(&cause));
        write.fail(error);
    }
}

fn fail_lost(batch: &mut Vec<Box<dyn QueuedWrite>>, lost: &Lost) {
    for write in batch.drain(..) {
        write.fail(lost.clone().into());
    }
}

/// A submitted write, independent of its output type.
#[async_trait]
trait QueuedWrite: Send {
    fn doing(&self) -> &'static str;
    fn is_durable(&self) -> bool;
    async fn run(&mut self, connection: &mut SqliteConnection) -> Result<(), EngineError>;
    /// Returns whether the write has an output that its caller gets without a commit.
    fn has_best_effort_output(&self) -> bool;
    fn succeed(self: Box<Self>);
    fn fail(self: Box<Self>, error: EngineError);
}

/// A submitted write and the channel for its output.
struct Request<W: Write> {
    doing: &'static str,
    work: W,
    output: Option<W::Output>,
    reply: oneshot::Sender<Result<W::Output, EngineError>>,
}

#[async_trait]
impl<W: Write> QueuedWrite for Request<W> {
    fn doing(&self) -> &'static str {
        self.doing
    }

    fn is_durable(&self) -> bool {
        self.work.is_durable()
    }

    async fn run(&mut self, connection: &mut SqliteConnection) -> Result<(), EngineError> {
        self.output = None;
        self.output = Some(self.work.run(connection).await?);
        Ok(())
    }

    fn has_best_effort_output(&self) -> bool {
        self.work.is_best_effort() && self.output.is_some()
    }

    // The caller may have stopped waiting; then the output is discarded.
    fn succeed(self: Box<Self>) {
        if let Some(output) = self.output {
            drop(self.reply.send(Ok(output)));
        }
    }

    fn fail(self: Box<Self>, error: EngineError) {
        drop(self.reply.send(Err(error)));
    }
}
