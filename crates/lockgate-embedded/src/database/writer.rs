//! The writer: a thread of its own with the one connection that writes, and group commit.
//!
//! It must never wait for a caller, nor panic when one is gone. It takes whatever waits, runs it in one transaction,
//! and answers when that is on the disk: under load many writes share one fsync, alone a write waits for nobody.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use sqlx::{Connection, SqliteConnection};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};

use super::error::{self, Doing, OpenError};
use super::file_guard::{FileGuard, Lost};
use super::turnstile::Turnstile;
use super::watch::{self, Bell};
use super::{Answer, Write, open};

/// Writes that share one transaction at most, and that may wait for it.
const GROUP: usize = 256;

/// The way to the writer's thread. It ends when this is dropped and all that waits is written.
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Pending>>,
    runtime: Handle,
    guard: Arc<FileGuard>,
}

impl Writer {
    /// Starts the thread and opens its connection.
    pub(super) async fn start(path: PathBuf, bell: Bell) -> Result<Self, OpenError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| OpenError::Thread { source })?;
        let handle = runtime.handle().clone();
        let (queue, waiting) = mpsc::channel(GROUP);
        let (report, opened) = oneshot::channel();
        let life = async move {
            match Pen::open(&path, bell.clone()).await {
                Err(error) => drop(report.send(Err(error))),
                Ok((pen, looker)) => {
                    let guard = Arc::clone(&pen.guard);
                    drop(report.send(Ok(Arc::clone(&guard))));
                    tokio::select! {
                        () = pen.write_all(waiting) => {}
                        () = watch::look_for_commits(looker, guard, bell) => {}
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

    /// The guard of the files.
    pub(super) fn guard(&self) -> &FileGuard {
        &self.guard
    }

    /// Its runtime, for tasks that nothing else may hold up.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Hands over a write; waits only while [`GROUP`] others wait already.
    pub(super) async fn submit<W: Write>(
        &self,
        doing: &'static str,
        work: W,
    ) -> Result<Answer<W::Output>, EngineError> {
        let (reply, answer) = oneshot::channel();
        let asked = Box::new(Asked { doing, work, output: None, reply });
        self.queue.send(asked).await.map_err(|_| error::writer_is_gone(doing))?;
        Ok(answer)
    }
}

/// The connection that writes.
struct Pen {
    connection: SqliteConnection,
    guard: Arc<FileGuard>,
    turnstile: Turnstile,
    bell: Bell,
}

impl Pen {
    /// Opens it, and the connection that looks for the commits of others.
    async fn open(path: &Path, bell: Bell) -> Result<(Self, SqliteConnection), OpenError> {
        let (connection, looker, guard) = open::connections(path).await?;
        let turnstile = Turnstile::beside(path)?;
        Ok((Self { connection, guard: Arc::new(guard), turnstile, bell }, looker))
    }

    /// Writes whatever comes, until nobody can ask for more.
    async fn write_all(mut self, mut waiting: mpsc::Receiver<Box<dyn Pending>>) {
        let mut group = Vec::with_capacity(GROUP);
        let mut synced = true;
        while waiting.recv_many(&mut group, GROUP).await > 0 {
            let durable = group.iter().any(|pending| pending.is_durable());
            if durable != synced {
                match self.sync_commits(durable).await {
                    Ok(()) => synced = durable,
                    // A sync too many harms nobody; one too few must not be.
                    Err(cause) if durable => {
                        fail_all(&mut group, cause);
                        continue;
                    }
                    Err(cause) => tracing::debug!(error = %cause, "commits go on waiting for the disk"),
                }
            }
            self.write_group(&mut group).await;
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(error = %error, "the database was not closed cleanly");
        }
    }

    /// Whether commits wait for the disk. In WAL mode one that does not can be lost with the power, never broken; the
    /// next one that does takes it along.
    async fn sync_commits(&mut self, durable: bool) -> sqlx::Result<()> {
        self.execute(if durable { "pragma synchronous = full" } else { "pragma synchronous = normal" }).await
    }

    /// One transaction for all; when one of them fails, one for each. Nothing is written to a lost file. The check after the
    /// commit is the one that counts: what passes it was in the file that everybody has.
    async fn write_group(&mut self, group: &mut Vec<Box<dyn Pending>>) {
        if let Err(lost) = self.guard.check() {
            return fail_lost(group, &lost);
        }
        if let Err(cause) = self.turnstile.begin(&mut self.connection).await {
            return fail_all(group, cause);
        }
        match self.finish(group).await {
            Ok(()) => match self.guard.check() {
                Ok(()) => self.answer(group.drain(..)),
                Err(lost) => fail_lost(group, &lost),
            },
            Err(error) => match group.pop() {
                Some(look) if group.is_empty() && look.has_seen() => look.succeed(),
                Some(alone) if group.is_empty() => alone.fail(error),
                last => {
                    for each in group.drain(..).chain(last).collect::<Vec<_>>() {
                        Box::pin(self.write_group(&mut vec![each])).await;
                    }
                }
            },
        }
    }

    /// Runs what was begun, and commits it or rolls it back.
    async fn finish(&mut self, group: &mut [Box<dyn Pending>]) -> Result<(), EngineError> {
        let done = match self.run_all(group).await {
            Ok(()) => self.execute("commit").await.doing("committing"),
            Err(error) => Err(error),
        };
        if done.is_err() {
            // SQLite has rolled back by itself after some errors; then this one says that there is nothing to undo.
            if let Err(error) = self.execute("rollback").await {
                tracing::debug!(error = %error, "nothing to roll back");
            }
        }
        done
    }

    async fn run_all(&mut self, group: &mut [Box<dyn Pending>]) -> Result<(), EngineError> {
        for pending in group {
            pending.run(&mut self.connection).await?;
        }
        Ok(())
    }

    fn answer(&self, done: impl Iterator<Item = Box<dyn Pending>>) {
        // First the answers, then the bell: who is answered has no need of it.
        for each in done {
            each.succeed();
        }
        self.bell.ring();
    }

    async fn execute(&mut self, statement: &'static str) -> sqlx::Result<()> {
        sqlx::query(statement).execute(&mut self.connection).await.map(drop)
    }
}

fn fail_all(group: &mut Vec<Box<dyn Pending>>, cause: sqlx::Error) {
    let cause = Arc::new(cause);
    for pending in group.drain(..) {
        let error = error::store(pending.doing(), Arc::clone(&cause));
        pending.fail(error);
    }
}

fn fail_lost(group: &mut Vec<Box<dyn Pending>>, lost: &Lost) {
    for pending in group.drain(..) {
        pending.fail(lost.clone().into());
    }
}

/// A write whose output type is forgotten.
#[async_trait]
trait Pending: Send {
    fn doing(&self) -> &'static str;
    fn is_durable(&self) -> bool;
    async fn run(&mut self, connection: &mut SqliteConnection) -> Result<(), EngineError>;
    /// Whether it is a look with an answer, which stands without a commit.
    fn has_seen(&self) -> bool;
    fn succeed(self: Box<Self>);
    fn fail(self: Box<Self>, error: EngineError);
}

struct Asked<W: Write> {
    doing: &'static str,
    work: W,
    output: Option<W::Output>,
    reply: oneshot::Sender<Result<W::Output, EngineError>>,
}

#[async_trait]
impl<W: Write> Pending for Asked<W> {
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

    fn has_seen(&self) -> bool {
        self.work.is_look() && self.output.is_some()
    }

    // Who asked may be gone by now; the write is done all the same.
    fn succeed(self: Box<Self>) {
        if let Some(output) = self.output {
            drop(self.reply.send(Ok(output)));
        }
    }

    fn fail(self: Box<Self>, error: EngineError) {
        drop(self.reply.send(Err(error)));
    }
}
