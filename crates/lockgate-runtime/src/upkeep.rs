//! Upkeep: expires runs past their deadline, recovers lost messages, prunes old runs, creates lost pools
//! again, and sets the gauges.
//!
//! Each round is bounded, and any number of processes may run upkeep at once.

pub(crate) mod drain_times;
pub(crate) mod lost_messages;
mod unread_queues;

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::ledger::Sweep;
use lockgate_core::pool::{PoolCommand, PoolSpec};
use lockgate_core::slots::PoolQuery;
use lockgate_core::{Engine, EngineError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::telemetry;
use lost_messages::QueueWatch;
use unread_queues::UnreadQueues;

/// Time between two rounds.
const ROUND_INTERVAL: Duration = Duration::from_secs(10);

/// Jobs of one sweep. It is one short transaction, so that others do not wait long for it.
const JOBS_PER_SWEEP: u32 = 1_000;

/// Sweeps of each kind in one round. The next round continues, so a million jobs take a few rounds.
const SWEEPS_PER_ROUND: u32 = 200;

/// The least time between two repairs of lost pools. Many jobs report the same loss.
const REPAIR_INTERVAL: Duration = Duration::from_millis(250);

/// The upkeep of one worker.
pub(crate) struct Upkeep {
    pub(crate) engine: Engine,
    /// The queues that the worker consumes.
    pub(crate) queues: Vec<QueueWatch>,
    /// Notified by a job when the slot store does not know one of its pools.
    pub(crate) pools_lost: Arc<Notify>,
    /// The pools that the worker's jobs use.
    pub(crate) pools: Vec<PoolSpec>,
    /// How long finished runs are kept. `None`: forever.
    pub(crate) keep: Option<Duration>,
}

impl Upkeep {
    /// Does rounds until `end` fires. Lost pools are repaired at any time, even during a long round.
    pub(crate) async fn run(mut self, end: CancellationToken) {
        let (mut queues, mut unread) = (std::mem::take(&mut self.queues), UnreadQueues::default());
        let rounds = async {
            loop {
                log_failure(self.round(&mut queues, &end).await);
                log_failure(unread.check(&self.engine).await);
                if end.run_until_cancelled(sleep(ROUND_INTERVAL)).await.is_none() {
                    return;
                }
            }
        };
        tokio::select! {
            () = rounds => {}
            () = self.repair_pools_when_notified() => {}
        }
    }

    /// Never returns.
    async fn repair_pools_when_notified(&self) {
        loop {
            self.pools_lost.notified().await;
            log_failure(self.check_pools().await);
            sleep(REPAIR_INTERVAL).await;
        }
    }

    async fn round(&self, queues: &mut [QueueWatch], end: &CancellationToken) -> Result<(), EngineError> {
        self.check_pools().await?;
        self.sweep("expired", end, || Some(Sweep::Overdue)).await?;
        if let Some(keep) = self.keep {
            self.sweep("pruned", end, || Some(Sweep::Finished { keep })).await?;
        }
        for watch in queues {
            self.check_queue(watch, end).await?;
        }
        Ok(())
    }

    /// Sets the gauges of a queue that the worker consumes, and recovers its jobs whose message was lost.
    async fn check_queue(&self, watch: &mut QueueWatch, end: &CancellationToken) -> Result<(), EngineError> {
        let depth = self.engine.broker.depth(&watch.queue).await?;
        telemetry::queue(&watch.queue, depth);
        watch.observe(depth.ready == 0, Instant::now());
        let lost = || {
            let silent_for = watch.silent_for(Instant::now())?;
            Some(Sweep::Lost { queue: watch.queue.clone(), silent_for })
        };
        if self.sweep("lost", end, lost).await? {
            watch.recovered();
        }
        Ok(())
    }

    /// Repeats a sweep until nothing is left, at most [`SWEEPS_PER_ROUND`] times. Returns whether nothing is
    /// left.
    async fn sweep(
        &self,
        what: &'static str,
        end: &CancellationToken,
        next: impl Fn() -> Option<Sweep>,
    ) -> Result<bool, EngineError> {
        let (mut jobs, mut is_done) = (0, false);
        for _ in 0..SWEEPS_PER_ROUND {
            let Some(sweep) = next().filter(|_| !is_done && !end.is_cancelled()) else { break };
            let swept = self.engine.ledger.sweep(sweep, JOBS_PER_SWEEP).await?;
            telemetry::swept(what, swept.jobs);
            jobs += swept.jobs;
            is_done = !swept.more;
        }
        if jobs > 0 {
            tracing::info!(what, jobs, "jobs swept");
        }
        Ok(is_done)
    }

    /// Sets the gauges of the pools. Creates a pool again that the store has lost, with its configured slots.
    async fn check_pools(&self) -> Result<(), EngineError> {
        let views = self.engine.slots.inspect(&PoolQuery::all()).await?;
        views.iter().for_each(|view| telemetry::pool(&view.status));
        for spec in &self.pools {
            if !views.iter().any(|view| view.status.name == spec.name) {
                tracing::warn!(
                    pool = %spec.name,
                    slots = spec.slots,
                    "slot store has lost a pool, creating it again"
                );
                self.engine.slots.control(PoolCommand::Ensure(spec.clone())).await?;
            }
        }
        Ok(())
    }
}

fn log_failure(result: Result<(), EngineError>) {
    if let Err(error) = result {
        tracing::warn!(error = chain(&error), "upkeep failed, retrying");
    }
}
