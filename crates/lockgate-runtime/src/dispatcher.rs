//! Due batches and due retries, from the ledger to the broker.
//!
//! Any number of processes may dispatch: what one has claimed, the others leave alone until the claim runs out. A
//! crash between publishing and reporting publishes twice; the older message is stale then and does not run. So does a
//! publication whose outcome nobody knows: it is repeated, as it was, for as long as the claim holds.

use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::ledger::Report;
use lockgate_core::{Engine, EngineError, Envelope};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::telemetry;

/// The most messages claimed at once: one window of publisher confirms.
const CLAIM: u32 = 1_000;
/// How long a claim holds: far longer than it takes to publish one, short enough to make up for a crash.
const HOLD: Duration = Duration::from_secs(20);
/// How long a publication that fails is repeated: what takes longer may meet the claim of another.
const REPEAT: Duration = Duration::from_secs(10);
/// The longest nap: how late a run that was just planned, resumed or sped up is seen.
const NAP: Duration = Duration::from_millis(500);
/// The shortest nap: a run without a delay must not turn the loop hot when others claim its batches.
const BREATH: Duration = Duration::from_millis(5);
/// The wait before a publication is repeated.
const AGAIN: Duration = Duration::from_millis(250);
/// The wait after a failure, before jitter.
const RECOVER: Duration = Duration::from_secs(1);

/// Dispatches until `end`.
pub(crate) async fn dispatch(engine: Engine, end: CancellationToken) {
    while !end.is_cancelled() {
        let nap = match dispatch_due(&engine, &end).await {
            Ok(None) => continue,
            Ok(Some(due)) => due.clamp(BREATH, NAP),
            Err(error) => {
                tracing::warn!(error = chain(&error), "dispatch failed; what was claimed is due again later");
                RECOVER + RECOVER.mul_f64(fastrand::f64())
            }
        };
        end.run_until_cancelled(tokio::time::sleep(nap)).await;
    }
}

/// One round of a dispatcher: claims what is due, publishes it and records that; answers how long until something is
/// due, `None`: look again at once. For a process that dispatches without a worker.
///
/// A publication that fails is repeated until `end`, or until the claim is about to run out.
///
/// # Errors
/// When a store fails. What was claimed is due again later.
pub async fn dispatch_due(engine: &Engine, end: &CancellationToken) -> Result<Option<Duration>, EngineError> {
    let claimed = engine.ledger.claim(CLAIM, HOLD).await?;
    if claimed.envelopes.is_empty() {
        return Ok(Some(claimed.next_due.unwrap_or(NAP)));
    }
    publish(engine, &claimed.envelopes, end).await?;
    engine.ledger.settle(claimed.envelopes.iter().map(published).collect()).await?;
    tracing::debug!(jobs = claimed.envelopes.len(), "batch dispatched");
    telemetry::dispatched(claimed.envelopes.len());
    Ok(None)
}

/// Publishes until the broker has confirmed all of it, the claim is about to end, or nobody wants to dispatch any more.
async fn publish(
    engine: &Engine,
    envelopes: &[Envelope],
    end: &CancellationToken,
) -> Result<(), EngineError> {
    let until = Instant::now() + REPEAT;
    loop {
        match engine.broker.publish(envelopes).await {
            Err(error) if error.is_transient() && Instant::now() < until && !end.is_cancelled() => {
                tracing::warn!(
                    error = chain(&error),
                    jobs = envelopes.len(),
                    "not published yet; it is repeated"
                );
                end.run_until_cancelled(tokio::time::sleep(AGAIN)).await;
            }
            done => return done,
        }
    }
}

fn published(envelope: &Envelope) -> Report {
    Report::Published { job: envelope.job, dispatch: envelope.dispatch }
}
