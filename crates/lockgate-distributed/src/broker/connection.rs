//! A supervised connection to the broker. It is opened at its first use and reopened forever, each time as a
//! new generation.
//!
//! A connection that its supervisor has given up is not handed out, and no caller waits beyond its deadline.
//!
//! A process has two connections, because the server stops reading from one that publishes while it is short
//! of memory or disk, and acknowledgements must not wait behind that.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use lapin::{Channel, Connection};
use lockgate_core::QueueName;
use lockgate_core::error::EngineError;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify, OnceCell, mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::failure::{driver, unavailable};
use super::publisher::Publisher;
use super::supervisor::{Supervisor, Target};
use super::topology::Names;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Publish,
    Consume,
}

impl Role {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Consume => "consume",
        }
    }
}

/// A supervised connection. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Link {
    target: Target,
    /// `None` until the connection is first used.
    states: StdMutex<Option<watch::Receiver<State>>>,
    end: CancellationToken,
    _end: DropGuard,
}

/// The state of the connection.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// There is no connection, for this reason.
    Down(Arc<str>),
    Up(Arc<LiveConnection>),
}

impl Link {
    /// Creates a link that is not connected. A command that never uses the broker opens no connection.
    pub(super) fn new(target: Target) -> Self {
        let end = CancellationToken::new();
        Self { target, states: StdMutex::default(), _end: end.clone().drop_guard(), end }
    }

    /// Returns the states of the connection. The first call starts the supervisor, without waiting for the
    /// server.
    fn states(&self) -> Result<watch::Receiver<State>, EngineError> {
        let mut started = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(states) = started.as_ref() {
            return Ok(states.clone());
        }
        let (report, states) = watch::channel(State::Down("the first attempt has not ended yet".into()));
        Supervisor::start(self.target.clone(), report, self.end.clone()).map_err(|error| {
            EngineError::Failed {
                doing: "starting the thread of a connection to the broker".to_owned(),
                source: error.into(),
            }
        })?;
        Ok(started.insert(states).clone())
    }

    /// Returns the connection, and waits until there is one. The caller's deadline ends the wait by dropping
    /// the future; see [`Self::down_reason`].
    pub(super) async fn connection(&self, doing: &str) -> Result<Arc<LiveConnection>, EngineError> {
        let mut states = self.states()?;
        loop {
            if let State::Up(live) = states.borrow_and_update().clone() {
                return Ok(live);
            }
            if states.changed().await.is_err() {
                return Err(unavailable(doing, "the supervisor of the connection has ended"));
            }
        }
    }

    /// Returns why there is no connection, if it was used and is down.
    pub(super) fn down_reason(&self) -> Option<Arc<str>> {
        let started = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = started.as_ref()?.borrow();
        match &*state {
            State::Down(why) => Some(Arc::clone(why)),
            State::Up(_) => None,
        }
    }
}

/// The connection of one generation.
pub(super) struct LiveConnection {
    pub(super) connection: Connection,
    generation: u64,
    runtime: Handle,
    tasks: TaskTracker,
    aborts: mpsc::Sender<String>,
    /// Notified after a failure that makes the connection suspect. The supervisor then pings at once.
    pub(super) suspect: Notify,
    /// Cancelled when this generation has ended.
    pub(super) ended: CancellationToken,
    /// Queues that this generation has declared. A server that comes back may have lost them.
    declared: Mutex<BTreeSet<QueueName>>,
    pub(super) publisher: OnceCell<Publisher>,
}

impl std::fmt::Debug for LiveConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveConnection").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl LiveConnection {
    /// Creates the connection of a generation. The receiver gets the reason when a user aborts it.
    pub(super) fn new(connection: Connection, generation: u64) -> (Self, mpsc::Receiver<String>) {
        let (aborts, why) = mpsc::channel(1);
        let live = Self {
            connection,
            generation,
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            aborts,
            suspect: Notify::new(),
            ended: CancellationToken::new(),
            declared: Mutex::default(),
            publisher: OnceCell::new(),
        };
        (live, why)
    }

    /// Runs a task on the connection's own runtime. It is dropped when this generation ends.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.tasks.spawn_on(task, &self.runtime));
    }

    /// Ends this generation.
    pub(super) fn abort(&self, why: String) {
        // The channel is full when another user was first, and then the generation ends anyway.
        drop(self.aborts.try_send(why));
    }

    /// Returns the result of a long call, or an error as soon as the connection is lost: the driver never
    /// completes some calls then.
    pub(super) async fn while_up<T>(
        &self,
        doing: &str,
        call: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let answer = self.ended.run_until_cancelled(call).await;
        answer.unwrap_or_else(|| Err(unavailable(doing, "the connection to the broker was lost")))
    }

    /// Returns whether an alarm keeps the server from accepting messages.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    pub(super) async fn channel(&self, doing: &str) -> Result<Channel, EngineError> {
        self.connection.create_channel().await.map_err(|error| driver(doing, error))
    }

    /// Declares a queue, once in each generation.
    pub(super) async fn declare(&self, names: &Names, queue: &QueueName) -> Result<(), EngineError> {
        let mut declared = self.declared.lock().await;
        if !declared.contains(queue) {
            names.declare(&self.channel("declaring a queue").await?, queue).await?;
            declared.insert(queue.clone());
        }
        Ok(())
    }

    /// Forgets that a queue was declared, because it does not exist any more. The next caller declares it
    /// again.
    pub(super) async fn forget_declared(&self, queue: &QueueName) {
        self.declared.lock().await.remove(queue);
    }
}
