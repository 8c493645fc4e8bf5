//! Moves limits along their ramps. Each worker reports the results of its executions, and the reports of all
//! workers together decide when a limit moves to another step.
//!
//! [`Ramp::decide`] makes the decision, from the samples of all workers and the age of the step by the
//! store's clock. A move is a compare-and-set on the version of the limit that the decision is based on. So
//! when several workers decide the same, one of them moves the limit, and a report counts only for the step
//! in which its executions began.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockgate_core::slots::Slots;
use lockgate_core::{ErrorClass, Failure};
use lockgate_limits::{
    Changed, ExceededThreshold, LimitChange, LimitStatus, Ramp, RampDecision, RampState, SampleReport,
    Samples, TokenStore,
};
use tokio::time::Instant;

use super::pool_ramp::PoolRamp;
use crate::executor::outcome::{ExecutionResult, Interruption};

/// The ramps of a worker's limits.
#[derive(Debug, Default)]
pub(super) struct Ramps {
    configured: BTreeMap<String, Ramp>,
    /// The ramp of a limit that has none configured.
    default: Ramp,
    /// The limits whose ramp is under way.
    active: Mutex<BTreeMap<String, ActiveRamp>>,
}

/// What this worker has counted for the current step of a limit.
#[derive(Debug)]
struct ActiveRamp {
    version: u64,
    /// When this worker first read this version. Executions that began earlier do not count for the step.
    since: Instant,
    max_p95: Duration,
    /// Samples that are not reported yet.
    samples: Samples,
}

impl Ramps {
    pub(super) fn new(configured: BTreeMap<String, Ramp>) -> Self {
        Self { configured, ..Self::default() }
    }

    /// Counts an execution for the limits of these names.
    pub(super) fn sample(
        &self,
        names: impl Iterator<Item = String>,
        result: &ExecutionResult,
        ran: Duration,
    ) {
        let Some(is_failed) = is_failed(result) else { return };
        let mut active = self.active();
        if active.is_empty() {
            return;
        }
        let now = Instant::now();
        for name in names {
            if let Some(ramp) = active.get_mut(&name)
                && now.saturating_duration_since(ramp.since) >= ran
            {
                ramp.samples.count(is_failed, ran > ramp.max_p95);
            }
        }
    }

    /// Reports the samples of a limit, and moves the limit when all reports together say so.
    pub(super) async fn follow(
        &self,
        status: &LimitStatus,
        token_store: &dyn TokenStore,
        slots: &Arc<dyn Slots>,
    ) {
        let Ok(state) = status.note.parse::<RampState>() else {
            if self.active().remove(&status.name).is_some() {
                // The process that ended the ramp may have crashed before it restored the slots.
                PoolRamp::read(slots, &status.name).await.apply(None).await;
            }
            return;
        };
        // Read before the report, so that a ramp that ends meanwhile is not put in force again.
        let pool = PoolRamp::read(slots, &status.name).await;
        let ramp = self.configured.get(&status.name).unwrap_or(&self.default);
        let report = self.report(status, ramp);
        let status = match token_store.report(&status.name, report).await {
            Ok(Changed::Applied(status)) => status,
            // The limit was changed meanwhile. The next refresh reads it again.
            Ok(Changed::Conflict(_)) => return,
            Err(error) => return tracing::debug!(limit = status.name, %error, "samples not reported"),
        };
        match next_move(ramp, &state, &status) {
            None => pool.apply(ramp.step(state.step)).await,
            Some(next) => apply_move(next, &status.name, ramp, token_store, pool).await,
        }
    }

    /// Takes the samples since the last report. Drops samples of another version.
    fn report(&self, status: &LimitStatus, ramp: &Ramp) -> SampleReport {
        let (version, max_p95, window) = (status.version, ramp.max_p95, ramp.window());
        let mut active = self.active();
        let counted = active.entry(status.name.clone()).or_insert_with(|| ActiveRamp::new(version, max_p95));
        if counted.version != version {
            *counted = ActiveRamp::new(version, max_p95);
        }
        SampleReport { version, samples: std::mem::take(&mut counted.samples), window }
    }

    fn active(&self) -> MutexGuard<'_, BTreeMap<String, ActiveRamp>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ActiveRamp {
    fn new(version: u64, max_p95: Duration) -> Self {
        Self { version, since: Instant::now(), max_p95, samples: Samples::default() }
    }
}

/// A move of a limit to another step.
struct Move {
    change: LimitChange,
    /// The index of the new step. `None`: the ramp ends.
    step: Option<usize>,
    why: &'static str,
}

/// Moves the limit and then its slots. Does nothing when another worker has moved it first.
async fn apply_move(next: Move, limit: &str, ramp: &Ramp, token_store: &dyn TokenStore, pool: PoolRamp<'_>) {
    let Move { change, step, why } = next;
    match token_store.set(limit, change).await {
        Ok(Changed::Applied(_)) => {
            tracing::warn!(limit, step = step.map(|step| step + 1), why, "limit moved");
            pool.apply(step.and_then(|step| ramp.step(step))).await;
        }
        Ok(Changed::Conflict(_)) => {}
        Err(error) => tracing::warn!(limit, %error, "limit not moved, retrying"),
    }
}

/// Decides the next move. `None`: the limit stays at its step.
fn next_move(ramp: &Ramp, state: &RampState, status: &LimitStatus) -> Option<Move> {
    if ramp.steps.is_empty() {
        let why = "its ramp is no longer configured";
        return Some(Move { change: state.end(status.version), step: None, why });
    }
    let step = state.step.min(ramp.steps.len() - 1);
    let (step, why) = match ramp.decide(step, status.samples, status.age) {
        RampDecision::Stay(_) => return None,
        RampDecision::Advance => (step + 1, "it kept within its thresholds"),
        RampDecision::StepBack(ExceededThreshold::ErrorRate) => {
            (step.saturating_sub(1), "too many jobs failed")
        }
        RampDecision::StepBack(ExceededThreshold::P95) => (step.saturating_sub(1), "jobs took too long"),
    };
    let state = RampState { step, configured: state.configured, reason: why.to_owned() };
    Some(Move { change: state.change(ramp, status.version), step: Some(step), why })
}

/// Returns whether an execution shows that its backend fails. `None`: the execution says nothing about the
/// backend.
fn is_failed(result: &ExecutionResult) -> Option<bool> {
    match result {
        ExecutionResult::Returned(Ok(()) | Err(Failure::Skip { .. })) => Some(false),
        // The backend was not reached.
        ExecutionResult::Returned(Err(Failure::Error { class: ErrorClass::Unavailable, .. })) => None,
        ExecutionResult::Returned(Err(Failure::Error { .. }))
        | ExecutionResult::Interrupted(
            Interruption::Panicked(_) | Interruption::TimedOut(_) | Interruption::HeldTooLong(_),
        ) => Some(true),
        // The backend did not cause these.
        ExecutionResult::Interrupted(
            Interruption::LeaseLost(_) | Interruption::Cancelled | Interruption::WorkerStopped,
        ) => None,
    }
}
