//! A job as its author writes it, and what it is handed when it runs.
//!
//! A job never acquires slots, counts attempts or acknowledges messages: the executor does, around it.

pub mod canceller;
pub mod registry;

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use lockgate_core::{Envelope, ErrorClass, Failure, Fence, JobError, JobId, JobOptions, Key, RunId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::job::canceller::Canceller;

/// One unit of work. Its fields are its payload.
///
/// ```
/// use async_trait::async_trait;
/// use lockgate_core::{Failure, JobOptions};
/// use lockgate_runtime::{Context, Job};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Greet {
///     name: String,
/// }
///
/// #[async_trait]
/// impl Job for Greet {
///     const KIND: &'static str = "greet";
///
///     fn options() -> JobOptions {
///         JobOptions::queue("greetings").pool("door", 1)
///     }
///
///     async fn run(self, ctx: &Context) -> Result<(), Failure> {
///         tracing::info!(name = self.name, attempt = ctx.attempt(), "hello");
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// Its stable wire name: what stands in messages and in the ledger. Never changed once jobs of it exist.
    const KIND: &'static str;

    /// What it asks of the framework.
    fn options() -> JobOptions;

    /// Does the work. Dropped at the next `.await` when its time is up, its lease is lost or it is cancelled, so it
    /// must be safe to run again.
    async fn run(self, ctx: &Context) -> Result<(), Failure>;

    /// Does the work of several jobs at once, and answers for each, in their order. Called when the kind's options ask for
    /// [`JobOptions::groups_of`] and more than one job was at hand; they run under the slots, the deadline and the backend
    /// work of the first. A job that was dispatched before runs alone: what kept it from its end keeps no other from theirs.
    ///
    /// Default: one after the other.
    async fn run_group(group: Vec<(Self, Context)>) -> Vec<Result<(), Failure>> {
        let mut answers = Vec::with_capacity(group.len());
        for (job, ctx) in group {
            answers.push(job.run(&ctx).await);
        }
        answers
    }

    /// How the backend work of an attempt is ended that is not there any more: its time was up, it was cancelled, its lease
    /// was lost, its worker stopped or died. Asked once, when a worker starts, with the state of its program.
    ///
    /// Default `None`: it cannot be ended from outside, and slots drain for the kind's `backend_time`. With a canceller
    /// they drain until it has confirmed the end, for `backend_time` at most (the deadline, where that is zero).
    fn canceller(state: &State) -> Option<Arc<dyn Canceller>> {
        let _ = state;
        None
    }
}

/// What a running job knows of itself, and the state that its program gave it.
#[derive(Debug, Clone)]
pub struct Context {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) attempt: u32,
    pub(crate) fence: Fence,
    pub(crate) deadline: Instant,
    pub(crate) cancelled: CancellationToken,
    pub(crate) state: State,
}

impl Context {
    /// The job.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.envelope.job
    }

    /// Its run, when it belongs to one.
    #[must_use]
    pub fn run(&self) -> Option<RunId> {
        self.envelope.run
    }

    /// What it is about.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.envelope.key
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// A number larger than that of every earlier execution of this job. A sink that refuses smaller ones is safe
    /// even from a process that was frozen in the middle.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// When the job will be stopped.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Fires when the job is to stop early: cancelled, lease lost, or its process is drained. The job is dropped at
    /// its next `.await` anyway; this is for work that it has started elsewhere.
    #[must_use]
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// The state of this type, as the program registered it.
    ///
    /// # Errors
    /// When there is none: a fault of the program, not of the job, so no other attempt is made.
    pub fn state<T: Send + Sync + 'static>(&self) -> Result<&T, MissingState> {
        self.state.get()
    }
}

/// No state of this type was registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no state of type {0} was registered; add it to the app with `.state(..)`")]
pub struct MissingState(&'static str);

impl JobError for MissingState {
    fn class(&self) -> ErrorClass {
        ErrorClass::Permanent
    }
}

/// Values that jobs share, one of each type. Cheap to clone.
#[derive(Clone, Default)]
pub struct State(Arc<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl State {
    /// The same with one more value; it takes the place of an earlier one of its type.
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(self, value: T) -> Self {
        let mut values = Arc::unwrap_or_clone(self.0);
        values.insert(TypeId::of::<T>(), Arc::new(value));
        Self(Arc::new(values))
    }

    /// The value of this type.
    ///
    /// # Errors
    /// When there is none.
    pub fn get<T: Send + Sync + 'static>(&self) -> Result<&T, MissingState> {
        let value = self.0.get(&TypeId::of::<T>());
        value.and_then(|v| v.downcast_ref()).ok_or(MissingState(type_name::<T>()))
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State({} values)", self.0.len())
    }
}
