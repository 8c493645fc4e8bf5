//! Step 3 of a job's way: the ledger says whether the job may run, and has its start on durability when that is needed.
//!
//! A write between the grant of a slot and the work would cost each job a round of the disk while a slot is held for it. So
//! a start is recorded before the work only where the job may have killed a process before. Else it is recorded with the
//! settlement, or beside the work when that lasts.
//!
//! It must never let a job run that the ledger has not allowed just before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lockgate_core::Outcome;
use lockgate_core::broker::Disposition;
use lockgate_core::error::chain;
use lockgate_core::ledger::{Execution, SettlementToken, Start, StartDurability, Started};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::executor::ledger_writer::Records;
use crate::executor::{Executor, Taken};
use crate::telemetry;

/// How long a job runs before its start is recorded beside it. Sweeps ask for starts after minutes; a job that kills its
/// process sooner is started once more than one that does it later.
const LONG: Duration = Duration::from_millis(100);

/// A job that may run.
pub(crate) struct StartedJob {
    pub(crate) execution: Execution,
    dispatch: u32,
    /// `None`: its start is on durability.
    beside: Option<Beside>,
}

impl StartedJob {
    /// By what right the execution is settled, which is over.
    pub(crate) async fn authority(self) -> SettlementToken {
        let number = self.execution.number;
        let Some(beside) = self.beside else { return SettlementToken::Execution(number) };
        match beside.end().await {
            Some(recorded) => SettlementToken::Execution(recorded.number),
            None => SettlementToken::Unrecorded { dispatch: self.dispatch, number },
        }
    }
}

impl Executor {
    /// `None`: the ledger has dealt with the job otherwise, and the delivery is ended.
    pub(crate) async fn start(&self, taken: &Taken<'_>) -> Option<StartedJob> {
        // One that comes again, by whatever way, may have been in a process that died of it.
        let durability =
            if taken.delivery.is_fresh() { StartDurability::Later } else { StartDurability::Now };
        let start = start_of(taken, durability);
        match self.records.started(start).await {
            Ok(Started::Run(execution)) => {
                let beside = (!execution.recorded).then(|| {
                    let durability = StartDurability::Underway(execution.number);
                    Beside::start(Arc::clone(&self.records), Start { durability, ..start })
                });
                Some(StartedJob { execution, dispatch: start.dispatch, beside })
            }
            Ok(refused) => {
                self.drop_delivery(taken, refused).await;
                None
            }
            Err(error) => {
                let error = format!("its start could not be recorded: {}", chain(error.as_ref()));
                let by = SettlementToken::Delivery(start.dispatch);
                self.end(taken, by, Outcome::Failed { error }, (Duration::ZERO, Duration::ZERO)).await;
                None
            }
        }
    }

    /// Asks whether a delivery that has not been admitted may still start its job, so that one that may not takes neither
    /// slots nor tokens. Returns how often the job was deferred in a row, or the ledger's refusal.
    pub(crate) async fn check(&self, taken: &Taken<'_>) -> Result<u32, Started> {
        match self.records.started(start_of(taken, StartDurability::Never)).await {
            Ok(Started::Run(execution)) => Ok(execution.deferrals),
            Ok(refused) => Err(refused),
            // The start itself is asked for later, and deals with an error that is permanent.
            Err(_) => Ok(0),
        }
    }

    /// Ends a delivery whose job the ledger does not let run from it.
    pub(crate) async fn drop_delivery(&self, taken: &Taken<'_>, refused: Started) {
        tracing::info!(?refused, "delivery dropped");
        telemetry::dropped(&taken.envelope.kind, refused);
        self.records.mark(Disposition::Ack(taken.delivery.tag)).await;
    }
}

fn start_of(taken: &Taken<'_>, durability: StartDurability) -> Start {
    let (job, dispatch) = (taken.envelope.job, taken.envelope.dispatch);
    Start { job, dispatch, token: fastrand::i64(..), durability }
}

/// The durability of a start beside the work, in a task of its own: work that blocks its thread is recorded, too, and a ledger that
/// is away keeps neither the work from its end, nor its slots from the next.
struct Beside {
    /// Set by whoever is first: the durability that begins, or the end of the work.
    decided: Arc<AtomicBool>,
    task: AbortOnDropHandle<Option<Started>>,
}

impl Beside {
    fn start(records: Arc<Records>, start: Start) -> Self {
        let decided = Arc::new(AtomicBool::new(false));
        let (begins, tracker) = (Arc::clone(&decided), records.tracker.clone());
        let durability = async move {
            tokio::time::sleep(LONG).await;
            let is_over = begins.swap(true, Ordering::AcqRel);
            if is_over { None } else { records.started(start).await.ok() }
        };
        Self { decided, task: AbortOnDropHandle::new(tracker.spawn(durability.in_current_span())) }
    }

    /// The work is over. What was recorded of it: its answer is awaited once the durability has begun.
    async fn end(self) -> Option<Execution> {
        let has_begun = self.decided.swap(true, Ordering::AcqRel);
        match has_begun.then_some(self.task)?.await {
            Ok(Some(Started::Run(execution))) => Some(execution),
            _ => None,
        }
    }
}
