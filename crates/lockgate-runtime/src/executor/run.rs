//! Step 4 of a job's way: the execution, of one job or of a group that shares it.
//!
//! Whatever comes first ends it: the work itself, its deadline, the loss of its slots, the end of everybody it works for.
//! It must never let one job of a group be ended for another's sake while there is a choice.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lockgate_core::Failure;
use tokio::time::{Instant, sleep_until};

use crate::executor::outcome::{Cut, Ended};
use crate::executor::running::Running;
use crate::job::Context;
use crate::job::registry::Entry;
use crate::panics::message;
use crate::stop::{StopReason, StopSignal};
use crate::telemetry;

/// One job of an execution. The first holds the slots of all.
pub(crate) struct Member {
    pub(crate) ctx: Context,
    pub(crate) signal: StopSignal,
}

/// How long an execution may take, and what it came to when it takes longer.
pub(crate) struct Limit {
    pub(crate) longest: Duration,
    pub(crate) cut: Cut,
}

/// An execution that is over.
pub(crate) struct Over {
    /// How it ended for each job, in their order.
    pub(crate) ended: Vec<Ended>,
    /// Whether the backend may still be at work for it: then its slots are not free yet.
    pub(crate) backend_may_run: bool,
}

/// Runs them to their end. A job that is stopped is dropped at its next `.await`.
pub(crate) async fn run(kind: &Entry, members: &[Member], running: &Running, limit: Limit) -> Over {
    let deadline = Instant::now() + limit.longest;
    let _running: Vec<_> = members.iter().map(|one| running.enter(one.ctx.job(), &one.signal)).collect();
    let contexts: Vec<Context> = members.iter().map(|one| one.ctx.clone()).collect();
    let work = AssertUnwindSafe(kind.run(&contexts)).catch_unwind();
    let cut = tokio::select! {
        biased;
        reason = must_stop(members) => cut_by(reason),
        returned = work => match returned {
            Ok(answers) => {
                let backend_may_run = answers.iter().any(may_run);
                let ended = members.iter().zip(answers).map(returned_of).collect();
                return Over { ended, backend_may_run };
            }
            Err(panic) => Cut::Panicked(message(panic.as_ref())),
        },
        () = sleep_until(deadline) => limit.cut,
    };
    let ended = members.iter().map(|one| Ended::Cut(one.signal.fired().map_or_else(|| cut.clone(), cut_by)));
    let ended = ended.collect();
    // For what they have started elsewhere.
    members.iter().for_each(|one| one.signal.token().cancel());
    Over { ended, backend_may_run: true }
}

fn may_run(answer: &Result<(), Failure>) -> bool {
    matches!(answer, Err(Failure::Error { backend_may_run: true, .. }))
}

/// What the work came to for one job: nothing, when it alone was stopped meanwhile.
fn returned_of((member, answer): (&Member, Result<(), Failure>)) -> Ended {
    member.signal.fired().map_or(Ended::Returned(answer), |reason| Ended::Cut(cut_by(reason)))
}

/// Ends when the whole execution must: its slots are lost, or nobody is left to work for. An operator's end of one job lets
/// the others of its group go on, the first's too: its slots are still held.
async fn must_stop(members: &[Member]) -> StopReason {
    let signals = members.iter().enumerate();
    let mut signals: FuturesUnordered<_> =
        signals.map(|(place, one)| async move { (place, one.signal.stopped().await) }).collect();
    let mut last = StopReason::Cancelled;
    while let Some((place, reason)) = signals.next().await {
        if place == 0 && reason != StopReason::Cancelled {
            return reason;
        }
        last = reason;
    }
    last
}

fn cut_by(reason: StopReason) -> Cut {
    match reason {
        StopReason::Cancelled => Cut::Cancelled,
        StopReason::WorkerStopped | StopReason::StoreLost => Cut::Stopped,
        StopReason::LeaseLost | StopReason::NoHeartbeat | StopReason::PoolReset => {
            telemetry::lease_lost(reason);
            Cut::LeaseLost(reason.as_str())
        }
    }
}
