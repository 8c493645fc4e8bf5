//! Upkeep: runs past their deadline, lost messages, old runs, gauges, lost pools.
//!
//! Each round is bounded, and any number of processes may sweep at once.

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
use crate::upkeep::lost_messages::QueueWatch;
use crate::upkeep::unread_queues::UnreadQueues;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(10);
/// Jobs of one portion: a short transaction, so that others are not held up.
const PORTION: u32 = 1_000;
/// Portions of each kind of upkeep in a round. What is left, the next round does: a million jobs take a few rounds.
const PORTIONS: u32 = 200;

/// Time between two looks at the pools that jobs ring for.
const BREATH: Duration = Duration::from_millis(250);

/// The upkeep of one worker.
pub(crate) struct Upkeep {
    pub(crate) engine: Engine,
    /// The queues that the worker consumes.
    pub(crate) queues: Vec<QueueWatch>,
    /// Rung when the slot store does not know one of the pools any more.
    pub(crate) pools_lost: Arc<Notify>,
    /// The pools that its jobs use.
    pub(crate) pools: Vec<PoolSpec>,
    /// How long runs that are over are kept.
    pub(crate) keep: Option<Duration>,
}

impl Upkeep {
    /// Does a round now and then until `end`. Lost pools are looked after at any time, however long a round takes.
    pub(crate) async fn sweep(mut self, end: CancellationToken) {
        let (mut queues, mut unread) = (std::mem::take(&mut self.queues), UnreadQueues::default());
        let rounds = async {
            loop {
                complain(self.round(&mut queues, &end).await);
                complain(unread.check(&self.engine).await);
                if end.run_until_cancelled(sleep(ROUND)).await.is_none() {
                    return;
                }
            }
        };
        tokio::select! {
            () = rounds => {}
            () = self.answer_rings() => {}
        }
    }

    /// Makes lost pools again, whenever a job meets the loss; ends never. Many jobs ring for one loss: it is looked after
    /// once in a [`BREATH`].
    async fn answer_rings(&self) {
        loop {
            self.pools_lost.notified().await;
            complain(self.look_after_pools().await);
            sleep(BREATH).await;
        }
    }

    async fn round(&self, queues: &mut [QueueWatch], end: &CancellationToken) -> Result<(), EngineError> {
        self.look_after_pools().await?;
        self.portions("expired", end, || Some(Sweep::Overdue)).await?;
        if let Some(keep) = self.keep {
            self.portions("pruned", end, || Some(Sweep::Finished { keep })).await?;
        }
        for watch in queues {
            self.look_after_queue(watch, end).await?;
        }
        Ok(())
    }

    /// Gauges of a queue that the worker consumes, and recovery of its jobs whose message was lost.
    async fn look_after_queue(
        &self,
        watch: &mut QueueWatch,
        end: &CancellationToken,
    ) -> Result<(), EngineError> {
        let depth = self.engine.broker.depth(&watch.queue).await?;
        telemetry::queue(&watch.queue, depth);
        watch.observe(depth.ready == 0, Instant::now());
        let lost = || {
            let silent_for = watch.silent_for(Instant::now())?;
            Some(Sweep::Lost { queue: watch.queue.clone(), silent_for })
        };
        if self.portions("lost", end, lost).await? {
            watch.recovered();
        }
        Ok(())
    }

    /// Sweeps portion by portion. Returns whether nothing was left to sweep.
    async fn portions(
        &self,
        what: &'static str,
        end: &CancellationToken,
        next: impl Fn() -> Option<Sweep>,
    ) -> Result<bool, EngineError> {
        let (mut jobs, mut is_done) = (0, false);
        for _ in 0..PORTIONS {
            let Some(sweep) = next().filter(|_| !is_done && !end.is_cancelled()) else { break };
            let swept = self.engine.ledger.sweep(sweep, PORTION).await?;
            telemetry::swept(what, swept.jobs);
            jobs += swept.jobs;
            is_done = !swept.more;
        }
        if jobs > 0 {
            tracing::info!(what, jobs, "swept");
        }
        Ok(is_done)
    }

    /// Gauges of the pools; one that its store has lost is made again, as it was configured.
    async fn look_after_pools(&self) -> Result<(), EngineError> {
        let views = self.engine.slots.inspect(&PoolQuery::all()).await?;
        views.iter().for_each(|view| telemetry::pool(&view.status));
        for spec in &self.pools {
            if !views.iter().any(|view| view.status.name == spec.name) {
                tracing::warn!(pool = %spec.name, slots = spec.slots, "the slot store has lost a pool; made again");
                self.engine.slots.control(PoolCommand::Ensure(spec.clone())).await?;
            }
        }
        Ok(())
    }
}

fn complain(done: Result<(), EngineError>) {
    if let Err(error) = done {
        tracing::warn!(error = chain(&error), "upkeep failed; it is tried again");
    }
}
