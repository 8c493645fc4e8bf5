//! Publishes due batches and due retries from the ledger to the broker.
//!
//! Any number of processes may dispatch: jobs that one process has claimed are ignored by the others until
//! the claim expires. A crash between publishing and recording publishes a job twice. The older message is
//! then stale, and its job does not run from it. A publication with an unknown result is repeated unchanged
//! while the claim holds.

use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::ledger::Report;
use lockgate_core::{Engine, EngineError, Envelope};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::telemetry;

/// The most jobs claimed at once: one window of publisher confirms.
const MAX_CLAIM: u32 = 1_000;
/// How long a claim holds. Far longer than publishing it takes, and short enough that a crash delays its jobs
/// little.
const CLAIM_DURATION: Duration = Duration::from_secs(20);
/// How long a failed publication is repeated. Beyond that, another process may claim the same jobs.
const REPUBLISH_FOR: Duration = Duration::from_secs(10);
/// The longest pause between two rounds. A run that was just planned, resumed or sped up is noticed this
/// late.
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// The shortest pause between two rounds, so that the loop does not spin on a run without a delay whose
/// batches other processes claim.
const MIN_PAUSE: Duration = Duration::from_millis(5);
/// The pause before a publication is repeated.
const REPUBLISH_DELAY: Duration = Duration::from_millis(250);
/// The pause after a failed round, before up to the same time of jitter is added.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// Dispatches until `end` fires.
pub(crate) async fn dispatch(engine: Engine, end: CancellationToken) {
    while !end.is_cancelled() {
        let pause = match dispatch_due(&engine, &end).await {
            Ok(None) => continue,
            Ok(Some(due_in)) => due_in.clamp(MIN_PAUSE, MAX_PAUSE),
            Err(error) => {
                tracing::warn!(error = chain(&error), "dispatch failed, retrying when the claim expires");
                FAILURE_PAUSE + FAILURE_PAUSE.mul_f64(fastrand::f64())
            }
        };
        end.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

/// Claims the jobs that are due, publishes them and records that. For a process that dispatches without a
/// worker.
///
/// Returns how long until the next job is due. `None`: more jobs may be due now, so call again at once. A
/// failed publication is repeated until `end` fires or the claim is about to expire.
///
/// # Errors
/// When a store fails. The claimed jobs are due again when the claim expires.
pub async fn dispatch_due(engine: &Engine, end: &CancellationToken) -> Result<Option<Duration>, EngineError> {
    let claimed = engine.ledger.claim(MAX_CLAIM, CLAIM_DURATION).await?;
    if claimed.envelopes.is_empty() {
        return Ok(Some(claimed.next_due.unwrap_or(MAX_PAUSE)));
    }
    publish(engine, &claimed.envelopes, end).await?;
    engine.ledger.settle(claimed.envelopes.iter().map(published).collect()).await?;
    tracing::debug!(jobs = claimed.envelopes.len(), "batch dispatched");
    telemetry::dispatched(claimed.envelopes.len());
    Ok(None)
}

/// Publishes until the broker has confirmed every message, the claim is about to expire, or `end` fires.
async fn publish(
    engine: &Engine,
    envelopes: &[Envelope],
    end: &CancellationToken,
) -> Result<(), EngineError> {
    let deadline = Instant::now() + REPUBLISH_FOR;
    loop {
        match engine.broker.publish(envelopes).await {
            Err(error) if error.is_transient() && Instant::now() < deadline && !end.is_cancelled() => {
                tracing::warn!(error = chain(&error), jobs = envelopes.len(), "publish failed, retrying");
                end.run_until_cancelled(tokio::time::sleep(REPUBLISH_DELAY)).await;
            }
            result => return result,
        }
    }
}

fn published(envelope: &Envelope) -> Report {
    Report::Published { job: envelope.job, dispatch: envelope.dispatch }
}
