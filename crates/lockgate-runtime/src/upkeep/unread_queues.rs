//! Reports queues that hold published jobs and have no consumer, because a queue was renamed or a program
//! does not run.
//!
//! Without a report such jobs stay enqueued silently. Every worker checks the queues of all unfinished runs,
//! because a queue without a consumer has no worker of its own to report it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lockgate_core::ledger::RunQuery;
use lockgate_core::{Engine, EngineError, QueueName};
use tokio::time::Instant;

use crate::telemetry;

/// Time between two checks. Each check counts the jobs of every run, so it is not cheap.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Runs that one check reads, the newest first.
const MAX_RUNS: u32 = 100;

/// The queues without a consumer that one worker has reported.
#[derive(Debug, Default)]
pub(crate) struct UnreadQueues {
    checked_at: Option<Instant>,
    reported: BTreeSet<QueueName>,
}

impl UnreadQueues {
    /// Checks at most once per [`CHECK_INTERVAL`]. Logs each queue when it loses its last consumer, and sets
    /// its gauge.
    pub(crate) async fn check(&mut self, engine: &Engine) -> Result<(), EngineError> {
        let now = Instant::now();
        if self.checked_at.is_some_and(|at| now.duration_since(at) < CHECK_INTERVAL) {
            return Ok(());
        }
        self.checked_at = Some(now);
        let unread = unread(engine).await?;
        for (queue, jobs) in &unread {
            telemetry::unread(queue, *jobs);
            if !self.reported.contains(queue) {
                tracing::warn!(
                    %queue,
                    jobs,
                    "a queue has published jobs and no consumer; start a worker that knows a kind of this queue, or cancel the run"
                );
            }
        }
        for queue in self.reported.iter().filter(|queue| !unread.contains_key(queue)) {
            telemetry::unread(queue, 0);
            tracing::info!(%queue, "the queue has a consumer again, or no published jobs");
        }
        self.reported = unread.into_keys().collect();
        Ok(())
    }
}

/// Returns the queues of unfinished runs that have no consumer, with their published jobs.
async fn unread(engine: &Engine) -> Result<BTreeMap<QueueName, u64>, EngineError> {
    let runs = engine.ledger.runs(RunQuery { limit: MAX_RUNS, ..RunQuery::default() }).await?;
    let mut published: BTreeMap<QueueName, u64> = BTreeMap::new();
    for summary in runs.into_iter().filter(|summary| summary.counts.enqueued > 0) {
        *published.entry(summary.run.queue).or_default() += summary.counts.enqueued;
    }
    let mut unread = BTreeMap::new();
    for (queue, jobs) in published {
        if engine.broker.consumers(&queue).await? == 0 {
            unread.insert(queue, jobs);
        }
    }
    Ok(unread)
}

#[cfg(test)]
mod tests {
    use lockgate_core::cadence::Cadence;
    use lockgate_core::ledger::{PlanStep, PlannedJob};
    use lockgate_core::run::RunSpec;
    use lockgate_core::{JobId, Key, Kind, RunId, RunName, Tenant, Timestamp};
    use tokio_util::sync::CancellationToken;
    use uuid::Uuid;

    use super::*;
    use crate::dispatcher::dispatch_due;
    use crate::memory;

    async fn published(engine: &Engine, queue: &QueueName) {
        let run = RunId(Uuid::now_v7());
        let spec = RunSpec {
            id: run,
            name: RunName::new(format!("run-{queue}")).unwrap(),
            kind: Kind::new("kind").unwrap(),
            queue: queue.clone(),
            as_of: Timestamp(0),
            start_at: None,
            cadence: Cadence::default(),
            deadline: None,
        };
        let job = PlannedJob {
            id: JobId(Uuid::now_v7()),
            key: Key::new("key").unwrap(),
            tenant: Tenant::new("tenant").unwrap(),
            payload: String::from("{}"),
        };
        for step in [PlanStep::Open(spec), PlanStep::Append { run, jobs: vec![job] }, PlanStep::Seal { run }]
        {
            engine.ledger.plan(step).await.unwrap();
        }
        dispatch_due(engine, &CancellationToken::new()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn queue_with_published_jobs_is_reported_until_it_has_a_consumer() {
        let engine = memory::engine(Default::default());
        let [read, unread] = ["read", "unread"].map(|name| QueueName::new(name).unwrap());
        let _consumer = engine.broker.subscribe(&read, 1).await.unwrap();
        let mut queues = UnreadQueues::default();
        queues.check(&engine).await.unwrap();
        assert!(queues.reported.is_empty(), "nothing is published");
        published(&engine, &read).await;
        published(&engine, &unread).await;
        queues.check(&engine).await.unwrap();
        assert!(queues.reported.is_empty(), "it was checked a moment ago");
        tokio::time::advance(CHECK_INTERVAL).await;
        queues.check(&engine).await.unwrap();
        assert_eq!(queues.reported, BTreeSet::from([unread.clone()]));
        let _late = engine.broker.subscribe(&unread, 1).await.unwrap();
        tokio::time::advance(CHECK_INTERVAL).await;
        queues.check(&engine).await.unwrap();
        assert!(queues.reported.is_empty());
    }
}
