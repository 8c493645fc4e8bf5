//! The small sweeps: runs past their deadline, lost deliveries, old runs, gauges, lost pools.
//!
//! Each round is bounded, and any number of processes may sweep at once.

use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::ledger::{Sweep, Swept};
use lockgate_core::pool::{PoolCommand, PoolSpec};
use lockgate_core::{Engine, EngineError, QueueName};
use tokio_util::sync::CancellationToken;

use crate::telemetry;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(10);
/// The most rows of each kind in a round.
const MOST: u32 = 1_000;
/// A job that was handed to the broker so long ago and has not been heard of since has lost its message: longer than
/// the longest wait for a slot and the longest execution together.
const LOST_AFTER: Duration = Duration::from_secs(600);

/// The sweeps of one worker.
pub(crate) struct Upkeep {
    pub(crate) engine: Engine,
    /// Where its jobs wait.
    pub(crate) queues: Vec<QueueName>,
    /// The pools that its jobs use.
    pub(crate) pools: Vec<PoolSpec>,
    /// How long runs that are over are kept.
    pub(crate) keep: Option<Duration>,
}

impl Upkeep {
    /// Sweeps until `end`.
    pub(crate) async fn sweep(self, end: CancellationToken) {
        loop {
            if let Err(error) = self.round().await {
                tracing::warn!(error = chain(&error), "upkeep failed; it is tried again");
            }
            if end.run_until_cancelled(tokio::time::sleep(ROUND)).await.is_none() {
                return;
            }
        }
    }

    async fn round(&self) -> Result<(), EngineError> {
        self.look_after_pools().await?;
        let lost_after = self.look_at_queues().await?.then_some(LOST_AFTER);
        let sweep = Sweep { lost_after, keep: self.keep, limit: MOST };
        let swept = self.engine.ledger.sweep(sweep).await?;
        telemetry::swept(swept);
        let Swept { expired, lost, pruned } = swept;
        if expired + lost + pruned > 0 {
            tracing::info!(expired, lost, pruned, "swept");
        }
        Ok(())
    }

    /// Gauges of the pools; one that its store has lost is made again, as it was configured.
    async fn look_after_pools(&self) -> Result<(), EngineError> {
        let views = self.engine.slots.inspect(None).await?;
        views.iter().for_each(|view| telemetry::pool(&view.status));
        for spec in &self.pools {
            if !views.iter().any(|view| view.status.name == spec.name) {
                tracing::warn!(pool = %spec.name, slots = spec.slots, "the slot store has lost a pool; made again");
                self.engine.slots.control(PoolCommand::Ensure(spec.clone())).await?;
            }
        }
        Ok(())
    }

    /// Gauges of the queues; answers whether they are empty. While one is not, a job that is long in coming is only
    /// behind others, not lost.
    async fn look_at_queues(&self) -> Result<bool, EngineError> {
        let mut empty = true;
        for queue in &self.queues {
            let depth = self.engine.broker.depth(queue).await?;
            telemetry::queue(queue, depth);
            empty &= depth.ready == 0;
        }
        Ok(empty)
    }
}
