//! Step 3 of a job: the ledger confirms that the job may run. A job runs only after that.
//!
//! A durable write between the grant of slots and the work would cost every job one disk write while it holds
//! its slots. So the start is durable before the work only for a job that may have crashed a process before.
//! Any other start is written together with the settlement, or in the background when the work takes longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lockgate_core::Outcome;
use lockgate_core::error::chain;
use lockgate_core::ledger::{Execution, SettlementToken, Start, StartDurability, Started};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::ledger_writer::LedgerWriter;
use super::steps::{NotStarted, ParsedDelivery};

/// How long a job runs before its start is written in the background. Sweeps look for starts that are minutes
/// old, so this is early enough for them. A job that crashes its process within this time is started once
/// more often than one that crashes it later.
const BACKGROUND_WRITE_AFTER: Duration = Duration::from_millis(100);

/// A start that the ledger has confirmed.
pub(crate) struct ConfirmedStart {
    pub(crate) execution: Execution,
    dispatch: u32,
    /// `None`: the start was durable when the ledger confirmed it.
    write: Option<BackgroundWrite>,
}

impl ConfirmedStart {
    /// Returns the token that settles the execution. Call it when the work has ended.
    pub(crate) async fn settlement_token(self) -> SettlementToken {
        let number = self.execution.number;
        let Some(write) = self.write else { return SettlementToken::Execution(number) };
        match write.finish().await {
            Some(recorded) => SettlementToken::Execution(recorded.number),
            None => SettlementToken::Unrecorded { dispatch: self.dispatch, number },
        }
    }
}

/// Asks the ledger to start the job of an admitted delivery.
pub(crate) async fn start(
    writer: &Arc<LedgerWriter>,
    delivery: &ParsedDelivery<'_>,
) -> Result<ConfirmedStart, NotStarted> {
    // A job that was delivered before may have crashed the process that had it.
    let durability = if delivery.is_fresh { StartDurability::Later } else { StartDurability::Now };
    let start = start_of(delivery, durability);
    match writer.start(start).await {
        Ok(Started::Run(execution)) => {
            let write = (!execution.recorded).then(|| {
                let durability = StartDurability::Underway(execution.number);
                BackgroundWrite::spawn(Arc::clone(writer), Start { durability, ..start })
            });
            Ok(ConfirmedStart { execution, dispatch: start.dispatch, write })
        }
        Ok(refused) => Err(NotStarted::Refused(refused)),
        Err(error) => {
            let error = format!("its start could not be recorded: {}", chain(error.as_ref()));
            Err(NotStarted::Settled(Outcome::Failed { error }))
        }
    }
}

/// Asks the ledger, without a write, whether a delivery may still start its job. Returns the job's
/// consecutive deferrals.
pub(crate) async fn check(writer: &LedgerWriter, delivery: &ParsedDelivery<'_>) -> Result<u32, NotStarted> {
    match writer.start(start_of(delivery, StartDurability::Never)).await {
        Ok(Started::Run(execution)) => Ok(execution.deferrals),
        Ok(refused) => Err(NotStarted::Refused(refused)),
        // The start itself follows later and reports a permanent error.
        Err(_) => Ok(0),
    }
}

fn start_of(delivery: &ParsedDelivery<'_>, durability: StartDurability) -> Start {
    let (job, dispatch) = (delivery.envelope.job, delivery.envelope.dispatch);
    Start { job, dispatch, token: fastrand::i64(..), durability }
}

/// Writes a start while its job runs.
///
/// It is a task of its own for two reasons: it also runs while the job blocks its thread, and an unreachable
/// ledger delays neither the end of the job nor the release of its slots.
struct BackgroundWrite {
    /// Set by whichever comes first: the beginning of the write, or the end of the work.
    decided: Arc<AtomicBool>,
    task: AbortOnDropHandle<Option<Started>>,
}

impl BackgroundWrite {
    fn spawn(writer: Arc<LedgerWriter>, start: Start) -> Self {
        let decided = Arc::new(AtomicBool::new(false));
        let (begins, tracker) = (Arc::clone(&decided), writer.tracker.clone());
        let write = async move {
            tokio::time::sleep(BACKGROUND_WRITE_AFTER).await;
            let work_has_ended = begins.swap(true, Ordering::AcqRel);
            if work_has_ended { None } else { writer.start(start).await.ok() }
        };
        Self { decided, task: AbortOnDropHandle::new(tracker.spawn(write.in_current_span())) }
    }

    /// Ends the write because the work has ended. Awaits a write that has begun, and returns its execution.
    async fn finish(self) -> Option<Execution> {
        let has_begun = self.decided.swap(true, Ordering::AcqRel);
        match has_begun.then_some(self.task)?.await {
            Ok(Some(Started::Run(execution))) => Some(execution),
            _ => None,
        }
    }
}
