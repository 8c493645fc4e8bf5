//! A job as its author writes it: the [`Job`] trait and what a running job can use.
//!
//! A job does not acquire slots, count attempts or acknowledge messages. The executor does this around it.

pub mod canceller;
mod context;
pub mod registry;
mod state;

use std::sync::Arc;

use async_trait::async_trait;
use lockgate_core::{Failure, JobOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use canceller::Canceller;
pub use context::Context;
pub use state::{MissingState, State};

/// One unit of work. The fields of the type are the payload of the job.
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
    /// The stable name of the kind in messages and in the ledger. Do not change it once jobs of the kind
    /// exist.
    const KIND: &'static str;

    /// Returns the queue, the pools, the deadline and the retry policy of the kind.
    fn options() -> JobOptions;

    /// Does the work. The future is dropped at an `.await` when the job exceeds its deadline, loses its lease
    /// or is cancelled, so the work must be safe to repeat.
    async fn run(self, ctx: &Context) -> Result<(), Failure>;

    /// Does the work of a job group and returns one result for each job, in the order of the jobs. Default:
    /// runs one job after the other.
    ///
    /// Called when the options of the kind set [`JobOptions::groups_of`] and the worker has received more
    /// than one job. The group runs under the slots, the deadline and the backend time of its first job. A
    /// job that was delivered before runs alone, so that whatever interrupted it does not affect other jobs.
    async fn run_group(group: Vec<(Self, Context)>) -> Vec<Result<(), Failure>> {
        let mut results = Vec::with_capacity(group.len());
        for (job, ctx) in group {
            results.push(job.run(&ctx).await);
        }
        results
    }

    /// Returns the canceller of the kind, which ends the backend query of an attempt that has ended without
    /// it: the attempt exceeded its deadline, was cancelled, lost its lease, or its worker stopped or died.
    /// Called once when a worker starts, with the state of its program.
    ///
    /// Default `None`: a query cannot be cancelled from outside, and its slots drain for the kind's
    /// `backend_time`. With a canceller they drain until it confirms the end, at most for `backend_time`, or
    /// for the deadline where `backend_time` is zero.
    fn canceller(state: &State) -> Option<Arc<dyn Canceller>> {
        let _ = state;
        None
    }
}
