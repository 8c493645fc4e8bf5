//! Step 4 of a job: the execution, of one job or of a job group that shares it.
//!
//! An execution ends with the first of these events: the work returns or panics, its deadline passes, its
//! slots are lost, or all of its jobs are stopped. A job of a group that is stopped alone does not interrupt
//! the others.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lockgate_core::bounds::MAX_DURATION;
use lockgate_core::ledger::Execution;
use lockgate_core::{Failure, Fence};
use tokio::time::{Instant, sleep_until};

use super::outcome::{ExecutionResult, Interruption};
use super::running_jobs::RunningJobs;
use super::steps::StartedJob;
use crate::job::registry::RegisteredKind;
use crate::job::{Context, State};
use crate::panics::message;
use crate::slots::Hold;
use crate::stop::{StopReason, StopSignal};
use crate::telemetry;

/// One job of an execution. The first job of a list is the leader, which holds the slots of all.
pub(crate) struct RunningJob {
    ctx: Context,
    signal: StopSignal,
}

impl RunningJob {
    pub(crate) fn new(job: &StartedJob<'_>, deadline: Instant, state: State) -> Self {
        let StartedJob { delivery, hold, start, .. } = job;
        let execution = start.execution;
        let signal = hold.as_ref().map_or_else(StopSignal::default, |hold| hold.stop_signal().clone());
        let ctx = Context {
            envelope: Arc::clone(&delivery.envelope),
            attempt: execution.attempt,
            fence: hold.as_ref().map_or_else(|| fence_without_lease(execution), Hold::fence),
            deadline,
            cancelled: signal.token().clone(),
            state,
        };
        Self { ctx, signal }
    }
}

/// Returns the fence of an execution that has no lease. Like the fences of leases it grows with the store's
/// clock, so a kind may gain or lose its pools between two executions.
fn fence_without_lease(execution: Execution) -> Fence {
    Fence(u64::try_from(execution.started_at.0).unwrap_or(0).saturating_mul(1_000))
}

/// How long an execution may take.
pub(crate) struct TimeLimit {
    pub(crate) longest: Duration,
    /// Why the execution ends when it takes longer.
    interruption: Interruption,
}

impl TimeLimit {
    /// Combines the deadline of the kind with the `max_hold` of its pools. `None`: the job holds no slots.
    pub(crate) fn new(deadline: Duration, max_hold: Option<Duration>) -> Self {
        let max_hold = max_hold.unwrap_or(Duration::MAX);
        let longest = deadline.min(max_hold).min(MAX_DURATION);
        let interruption = if max_hold < deadline {
            Interruption::HeldTooLong(longest)
        } else {
            Interruption::TimedOut(longest)
        };
        Self { longest, interruption }
    }
}

/// An execution that has ended.
pub(crate) struct FinishedExecution {
    /// One result for each job, in the order of the jobs.
    pub(crate) results: Vec<ExecutionResult>,
    /// Whether the backend may still work for the execution, so that its slots are not free yet.
    pub(crate) backend_may_run: bool,
}

/// Runs jobs to their end. An interrupted job is dropped at its next `.await`.
pub(crate) async fn run(
    kind: &RegisteredKind,
    jobs: &[RunningJob],
    running: &RunningJobs,
    limit: TimeLimit,
) -> FinishedExecution {
    let deadline = Instant::now() + limit.longest;
    let _registered: Vec<_> = jobs.iter().map(|job| running.register(job.ctx.job(), &job.signal)).collect();
    let contexts: Vec<Context> = jobs.iter().map(|job| job.ctx.clone()).collect();
    let work = AssertUnwindSafe(kind.run(&contexts)).catch_unwind();
    let interruption = tokio::select! {
        biased;
        reason = must_stop(jobs) => interruption_by(reason),
        returned = work => match returned {
            Ok(results) => {
                let backend_may_run = results.iter().any(may_run_on);
                let results = jobs.iter().zip(results).map(returned_or_stopped).collect();
                return FinishedExecution { results, backend_may_run };
            }
            Err(panic) => Interruption::Panicked(message(panic.as_ref())),
        },
        () = sleep_until(deadline) => limit.interruption,
    };
    let of_job = |job: &RunningJob| job.signal.fired().map_or_else(|| interruption.clone(), interruption_by);
    let results = jobs.iter().map(|job| ExecutionResult::Interrupted(of_job(job))).collect();
    // Informs work that the jobs have started in other tasks.
    jobs.iter().for_each(|job| job.signal.token().cancel());
    FinishedExecution { results, backend_may_run: true }
}

fn may_run_on(returned: &Result<(), Failure>) -> bool {
    matches!(returned, Err(Failure::Error { backend_may_run: true, .. }))
}

/// Ignores what the work returned for a job that was stopped meanwhile.
fn returned_or_stopped((job, returned): (&RunningJob, Result<(), Failure>)) -> ExecutionResult {
    match job.signal.fired() {
        Some(reason) => ExecutionResult::Interrupted(interruption_by(reason)),
        None => ExecutionResult::Returned(returned),
    }
}

/// Completes when the whole execution must stop: its slots are lost, or every job is stopped. When an
/// operator cancels one job, the others continue, even if it was the leader: its slots are still held.
async fn must_stop(jobs: &[RunningJob]) -> StopReason {
    let signals = jobs.iter().enumerate();
    let mut signals: FuturesUnordered<_> =
        signals.map(|(index, job)| async move { (index, job.signal.stopped().await) }).collect();
    let mut last = StopReason::Cancelled;
    while let Some((index, reason)) = signals.next().await {
        if index == 0 && reason != StopReason::Cancelled {
            return reason;
        }
        last = reason;
    }
    last
}

fn interruption_by(reason: StopReason) -> Interruption {
    match reason {
        StopReason::Cancelled => Interruption::Cancelled,
        StopReason::WorkerStopped | StopReason::StoreLost => Interruption::WorkerStopped,
        StopReason::LeaseLost | StopReason::NoHeartbeat | StopReason::PoolReset => {
            telemetry::lease_lost(reason);
            Interruption::LeaseLost(reason.as_str())
        }
    }
}
