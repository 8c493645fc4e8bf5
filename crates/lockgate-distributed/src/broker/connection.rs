//! The way to the broker: a supervised connection, opened at its first use and made again for ever, each time
//! as a new generation.
//!
//! It must never hand out a connection that its supervisor has given up, nor make a caller wait beyond its
//! deadline.
//!
//! A process has two: the server stops reading from a connection that publishes while it is short of memory
//! or disk, and acknowledgements must not wait behind that.

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
use super::supervisor::{Dial, Supervisor};
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

/// A supervised connection. It is opened at its first use, and ends when this is dropped.
#[derive(Debug)]
pub(super) struct Link {
    dial: Dial,
    /// `None` until the connection is used.
    states: StdMutex<Option<watch::Receiver<State>>>,
    end: CancellationToken,
    _end: DropGuard,
}

/// How it is with the connection now.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// There is none, and why.
    Down(Arc<str>),
    Up(Arc<Live>),
}

impl Link {
    /// Remembers how to connect. A command that never uses the broker opens no connection to it.
    pub(super) fn new(dial: Dial) -> Self {
        let end = CancellationToken::new();
        Self { dial, states: StdMutex::default(), _end: end.clone().drop_guard(), end }
    }

    /// The states of the connection. The first call starts the supervisor, which does not wait for the
    /// server.
    fn states(&self) -> Result<watch::Receiver<State>, EngineError> {
        let mut started = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(states) = started.as_ref() {
            return Ok(states.clone());
        }
        let (report, states) = watch::channel(State::Down("no attempt has ended yet".into()));
        Supervisor::start(self.dial.clone(), report, self.end.clone()).map_err(|error| {
            EngineError::Failed {
                doing: "starting the thread of a connection to the broker".to_owned(),
                source: error.into(),
            }
        })?;
        Ok(started.insert(states).clone())
    }

    /// The connection; waits for one. Dropping the future is how a deadline ends the wait, see
    /// [`Self::why_not`].
    pub(super) async fn live(&self, doing: &str) -> Result<Arc<Live>, EngineError> {
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

    /// Why there is no connection, when there is none although it is needed.
    pub(super) fn why_not(&self) -> Option<Arc<str>> {
        let started = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = started.as_ref()?.borrow();
        match &*state {
            State::Down(why) => Some(Arc::clone(why)),
            State::Up(_) => None,
        }
    }
}

/// A connection of one generation.
pub(super) struct Live {
    pub(super) connection: Connection,
    generation: u64,
    runtime: Handle,
    tasks: TaskTracker,
    condemned: mpsc::Sender<String>,
    /// Rung when somebody met a failure: the supervisor looks at once.
    pub(super) suspicion: Notify,
    /// Fires when this generation has ended.
    pub(super) ended: CancellationToken,
    /// What this generation has declared. A server that comes back may have lost everything.
    declared: Mutex<BTreeSet<QueueName>>,
    pub(super) publisher: OnceCell<Publisher>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Live {
    /// The second answer tells why somebody condemned it.
    pub(super) fn new(connection: Connection, generation: u64) -> (Self, mpsc::Receiver<String>) {
        let (condemned, why) = mpsc::channel(1);
        let live = Self {
            connection,
            generation,
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            condemned,
            suspicion: Notify::new(),
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
    pub(super) fn condemn(&self, why: String) {
        // Somebody was first when this does not fit: it ends anyway.
        drop(self.condemned.try_send(why));
    }

    /// The answer of a call that takes its time, unless the connection is lost meanwhile: the driver leaves
    /// some calls without an answer then.
    pub(super) async fn while_up<T>(
        &self,
        doing: &str,
        call: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let answer = self.ended.run_until_cancelled(call).await;
        answer.unwrap_or_else(|| Err(unavailable(doing, "the connection to the broker was lost")))
    }

    /// Whether an alarm keeps the server from taking messages.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    pub(super) async fn channel(&self, doing: &str) -> Result<Channel, EngineError> {
        self.connection.create_channel().await.map_err(|error| driver(doing, error))
    }

    /// Declares a queue, once a generation.
    pub(super) async fn declare(&self, names: &Names, queue: &QueueName) -> Result<(), EngineError> {
        let mut declared = self.declared.lock().await;
        if !declared.contains(queue) {
            names.declare(&self.channel("declaring a queue").await?, queue).await?;
            declared.insert(queue.clone());
        }
        Ok(())
    }

    /// A queue turned out to be gone: the next caller declares it again.
    pub(super) async fn undeclare(&self, queue: &QueueName) {
        self.declared.lock().await.remove(queue);
    }
}
