//! The small sweeps: runs past their deadline, lost deliveries, old runs, gauges, lost pools.
//!
//! Each round is bounded, and any number of processes may sweep at once.

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::ledger::{Sweep, Swept};
use lockgate_core::pool::{PoolCommand, PoolSpec};
use lockgate_core::slots::PoolQuery;
use lockgate_core::{Engine, EngineError, QueueName};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::options::PoolPolicy;
use crate::telemetry;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(10);
/// The most rows of each kind in a round.
const MOST: u32 = 1_000;
/// A job that was handed to the broker so long ago, whose queue is empty, and which has not been started since has lost
/// its message; unless it waits for a slot, which takes [`PoolPolicy::max_wait`] at most: see [`lost_after`].
const LOST_AFTER: Duration = Duration::from_secs(120);

/// Time between two looks at the pools that jobs ring for.
const BREATH: Duration = Duration::from_millis(250);

/// The sweeps of one worker.
pub(crate) struct Upkeep {
    pub(crate) engine: Engine,
    /// Where its jobs wait.
    pub(crate) queues: Vec<QueueName>,
    /// Rung when the slot store does not know one of the pools any more.
    pub(crate) pools_lost: Arc<Notify>,
    /// The pools that its jobs use.
    pub(crate) pools: Vec<PoolSpec>,
    /// How long a message may be silent before it is lost.
    pub(crate) lost_after: Duration,
    /// How long runs that are over are kept.
    pub(crate) keep: Option<Duration>,
}

/// How long a message may be silent where jobs wait for slots as these policies say: twice the longest wait.
pub(crate) fn lost_after<'p>(policies: impl IntoIterator<Item = &'p PoolPolicy>) -> Duration {
    let longest = policies.into_iter().map(|policy| policy.max_wait).max().unwrap_or_default();
    LOST_AFTER.max(longest.saturating_mul(2))
}

/// Since when the queues were empty at every look.
///
/// What left them last may wait for slots as long as it may, at a worker, and is not lost meanwhile, however long ago it was
/// handed to the broker. So nothing is thought lost before the queues were empty for that long.
#[derive(Debug, Default)]
struct Quiet(Option<Instant>);

impl Quiet {
    /// Whether whoever left the queues has begun by now, or never will. `lost_after` is twice the longest wait.
    fn is_over(&mut self, is_empty: bool, lost_after: Duration, now: Instant) -> bool {
        let since = is_empty.then(|| self.0.unwrap_or(now));
        self.0 = since;
        since.is_some_and(|since| now.duration_since(since) >= lost_after / 2)
    }
}

impl Upkeep {
    /// Sweeps until `end`.
    pub(crate) async fn sweep(self, end: CancellationToken) {
        let mut quiet = Quiet::default();
        loop {
            complain(self.round(&mut quiet).await);
            let next = Instant::now() + ROUND;
            tokio::select! {
                () = end.cancelled() => return,
                () = self.answer_rings() => {}
                () = sleep_until(next) => {}
            }
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

    async fn round(&self, quiet: &mut Quiet) -> Result<(), EngineError> {
        self.look_after_pools().await?;
        let is_empty = self.look_at_queues().await?;
        let lost_after = quiet.is_over(is_empty, self.lost_after, Instant::now()).then_some(self.lost_after);
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

fn complain(done: Result<(), EngineError>) {
    if let Err(error) = done {
        tracing::warn!(error = chain(&error), "upkeep failed; it is tried again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_left_the_queue_a_moment_ago_is_not_lost_however_long_it_was_there() {
        let (mut quiet, start) = (Quiet::default(), Instant::now());
        let mut look = |secs, is_empty| {
            quiet.is_over(is_empty, Duration::from_secs(120), start + Duration::from_secs(secs))
        };
        assert_eq!(
            [look(0, false), look(10, true), look(69, true), look(70, true)],
            [false, false, false, true]
        );
        assert_eq!(
            [look(80, false), look(90, true), look(149, true), look(150, true)],
            [false, false, false, true]
        );
    }

    #[test]
    fn who_waits_for_a_slot_is_not_lost() {
        let waits = |secs| PoolPolicy { max_wait: Duration::from_secs(secs), ..PoolPolicy::default() };
        assert_eq!(lost_after(&[]), Duration::from_secs(120));
        assert_eq!(lost_after(&[waits(60), waits(5)]), Duration::from_secs(120));
        assert_eq!(lost_after(&[waits(60), waits(900)]), Duration::from_secs(1_800));
    }
}
