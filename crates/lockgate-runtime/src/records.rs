//! What workers tell the ledger and the broker, in groups: starts, settlements, acknowledgements.
//!
//! A settlement is told until it is durable; its delivery is acknowledged only then.

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::Engine;
use lockgate_core::broker::Mark;
use lockgate_core::error::chain;
use lockgate_core::ledger::{Report, Settled, Settlement, Start, Started};
use tokio_util::task::TaskTracker;

use crate::group::{Answer, Group};

/// The ways to the ledger and the broker that all executions of a worker share.
pub(crate) struct Records {
    starts: Group<Start, Started>,
    reports: Group<Report, Settled>,
    marks: Group<Mark, ()>,
}

/// How long to wait before a store is told again; doubled up to [`SLOWEST`].
const TELL_AGAIN: Duration = Duration::from_millis(100);
const SLOWEST: Duration = Duration::from_secs(5);

impl Records {
    pub(crate) fn start(tracker: &TaskTracker, engine: &Engine) -> Self {
        let (ledger, reports_ledger) = (Arc::clone(&engine.ledger), Arc::clone(&engine.ledger));
        let broker = Arc::clone(&engine.broker);
        Self {
            starts: Group::start(tracker, move |starts| {
                let ledger = Arc::clone(&ledger);
                async move { ledger.start(starts).await }
            }),
            reports: Group::start(tracker, move |reports| {
                let ledger = Arc::clone(&reports_ledger);
                async move { ledger.settle(reports).await }
            }),
            marks: Group::start(tracker, move |marks: Vec<Mark>| {
                let broker = Arc::clone(&broker);
                async move {
                    let count = marks.len();
                    broker.settle(marks).await.map(|()| vec![(); count])
                }
            }),
        }
    }

    /// Records the start of a job, before it runs; ends when that is durable.
    pub(crate) async fn started(&self, start: Start) -> Started {
        until_durable(|| self.starts.call(start)).await
    }

    /// Records what a delivery came to; ends when that is durable.
    pub(crate) async fn settled(&self, settlement: Settlement) -> Settled {
        until_durable(|| self.reports.call(Report::Settled(settlement.clone()))).await
    }

    /// Ends a delivery; ends itself when the broker has taken note, or has no such delivery any more.
    pub(crate) async fn mark(&self, mark: Mark) {
        until_durable(|| self.marks.call(mark.clone())).await;
    }
}

async fn until_durable<R, Fut>(tell: impl Fn() -> Fut) -> R
where
    Fut: Future<Output = Answer<R>>,
{
    let mut wait = TELL_AGAIN;
    loop {
        match tell().await {
            Ok(answer) => return answer,
            Err(error) => {
                tracing::warn!(error = chain(error.as_ref()), "not recorded yet; it is told again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(SLOWEST);
            }
        }
    }
}
