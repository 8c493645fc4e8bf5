//! Adapts the slots of a pool to its backend: pauses the pool while the backend is overloaded, and recommends
//! how many slots the backend can serve.
//!
//! Executions report how they ended to the adaptive limit of each of their pools. The reports go through a
//! bounded channel, and a report that does not fit is dropped, so that no job waits here. The configured
//! slots are never changed. Every change is conditional on the version of the pool that was read: when
//! another process has changed the pool first, its change is the base of the next decision.

mod pool;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::pool::{LONGEST_PAUSE, Need, PoolChange, PoolCommand, PoolStatus};
use lockgate_core::slots::{PoolQuery, Slots};
use lockgate_core::{EngineError, ErrorClass, Failure, Kind, PoolName};
use lockgate_limits::{AdaptiveMode, Signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::executor::outcome::{ExecutionResult, Interruption};
use crate::executor::pool_policy::PoolPolicy;
use crate::job::registry::Registry;
use crate::telemetry;
use pool::PoolMonitor;

/// Time between two decisions.
const DECISION_INTERVAL: Duration = Duration::from_secs(1);
/// Every this many decisions the store is read even without reports, because another process may have left a
/// recommendation that no process raises.
const ALWAYS_READ_EVERY: u32 = 10;
/// How long a pool is paused when the backend does not say when to retry.
const DEFAULT_PAUSE: Duration = Duration::from_secs(1);
/// Reports that wait to be processed. Further reports are dropped: this many are enough for a decision.
const MAX_PENDING: usize = 4_096;

/// Sends reports of executions to a [`CongestionMonitor`].
#[derive(Debug, Clone)]
pub(crate) struct Congestion(mpsc::Sender<ExecutionReport>);

/// How one execution ended.
#[derive(Debug)]
struct ExecutionReport {
    kind: Kind,
    pools: Vec<PoolName>,
    signal: Signal,
    latency: Duration,
    /// When the backend asked to be called again. `None`: it did not say.
    retry_after: Option<Duration>,
}

impl Congestion {
    /// Reports an execution with the results of all its jobs.
    pub(crate) fn report(&self, kind: &Kind, needs: &[Need], results: &[ExecutionResult], latency: Duration) {
        let (signal, retry_after) = signal(results);
        if signal == Signal::Throttled {
            needs.iter().for_each(|need| telemetry::refused(&need.pool, kind));
        }
        if needs.is_empty() || signal == Signal::Failed {
            return;
        }
        let pools = needs.iter().map(|need| need.pool.clone()).collect();
        self.0.try_send(ExecutionReport { kind: kind.clone(), pools, signal, latency, retry_after }).ok();
    }
}

/// Returns what an execution says about the load of its backend: the worst signal of its jobs.
fn signal(results: &[ExecutionResult]) -> (Signal, Option<Duration>) {
    let signals: Vec<_> = results.iter().map(signal_of).collect();
    let worst_first = [Signal::Throttled, Signal::TimedOut, Signal::Responded].into_iter();
    let mut present = worst_first.filter_map(|worst| signals.iter().find(|(signal, _)| *signal == worst));
    present.next().copied().unwrap_or((Signal::Failed, None))
}

fn signal_of(result: &ExecutionResult) -> (Signal, Option<Duration>) {
    match result {
        ExecutionResult::Returned(Ok(())) => (Signal::Responded, None),
        ExecutionResult::Returned(Err(Failure::Error {
            class: ErrorClass::Overloaded { retry_after },
            ..
        })) => (Signal::Throttled, *retry_after),
        ExecutionResult::Interrupted(Interruption::TimedOut(_) | Interruption::HeldTooLong(_)) => {
            (Signal::TimedOut, None)
        }
        _ => (Signal::Failed, None),
    }
}

/// Receives the reports of a worker, and decides for each of its pools.
pub(crate) struct CongestionMonitor {
    slots: Arc<dyn Slots>,
    pools: BTreeMap<PoolName, PoolMonitor>,
    decisions: u32,
}

impl CongestionMonitor {
    /// Creates a monitor for the pools of the registered kinds, without pools whose policy turns it off.
    pub(crate) fn new(
        slots: Arc<dyn Slots>,
        policies: &BTreeMap<PoolName, PoolPolicy>,
        registry: &Registry,
    ) -> Self {
        let mut pools = BTreeMap::new();
        for need in registry.kinds().flat_map(|(_, options)| &options.needs) {
            let policy = policies.get(&need.pool).copied().unwrap_or_default();
            if policy.adaptive != AdaptiveMode::Off {
                let pool = pools.entry(need.pool.clone()).or_insert_with(|| PoolMonitor::new(policy));
                // A job that needs more slots than are recommended would wait forever, and so would the jobs
                // behind it.
                pool.recommend_at_least(need.weight);
            }
        }
        Self { slots, pools, decisions: 0 }
    }

    /// Processes reports and decides in the background until `end` fires.
    pub(crate) fn start(self, background: &TaskTracker, end: CancellationToken) -> Congestion {
        let (sender, reports) = mpsc::channel(MAX_PENDING);
        background.spawn(async move {
            end.run_until_cancelled(self.run(reports)).await;
        });
        Congestion(sender)
    }

    async fn run(mut self, mut reports: mpsc::Receiver<ExecutionReport>) {
        let mut ticks = interval(DECISION_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                report = reports.recv() => match report {
                    Some(report) => self.process(&report).await,
                    None => return,
                },
                _ = ticks.tick() => {
                    if let Err(error) = self.decide().await {
                        tracing::warn!(error = chain(&error), "no slots recommended, retrying");
                    }
                }
            }
        }
    }

    async fn process(&mut self, report: &ExecutionReport) {
        let now = Instant::now();
        for name in &report.pools {
            let is_congested = self.pools.get_mut(name).is_some_and(|pool| pool.process(report, now));
            if is_congested && let Err(error) = self.pause(name, report, now).await {
                tracing::warn!(pool = %name, error = chain(&error), "pool not paused");
            }
        }
    }

    /// Pauses a pool whose backend has refused an execution, and recommends fewer slots, in one change for
    /// all processes. If another process has already paused the pool, this is the same congestion, and
    /// nothing changes.
    async fn pause(
        &mut self,
        name: &PoolName,
        report: &ExecutionReport,
        now: Instant,
    ) -> Result<(), EngineError> {
        let views = self.slots.inspect(&PoolQuery::all()).await?;
        let Some(pool) = self.pools.get_mut(name) else { return Ok(()) };
        let Some(status) = views.into_iter().map(|view| view.status).find(|status| status.name == *name)
        else {
            return Ok(());
        };
        pool.synchronize(&status, now);
        if let Some(remaining) = status.paused {
            pool.set_paused(now + remaining);
            return Ok(());
        }
        let retry_after = report.retry_after.filter(|after| !after.is_zero());
        let pause = retry_after.unwrap_or(DEFAULT_PAUSE).min(LONGEST_PAUSE);
        pool.set_paused(now + pause);
        pool.observe(report);
        let recommendation = pool.decide(&status, now);
        let change = PoolChange { pause: Some(pause), recommendation, ..PoolChange::default() };
        if self.change(name, &status, change, now).await? {
            tracing::warn!(pool = %name, kind = %report.kind, ?pause, "backend overloaded, pool paused");
            telemetry::paused(name);
        }
        Ok(())
    }

    /// Changes a pool if it still has the version that was read. Returns whether it was changed. When another
    /// process was first, the next decision starts from its change.
    async fn change(
        &mut self,
        name: &PoolName,
        read: &PoolStatus,
        change: PoolChange,
        now: Instant,
    ) -> Result<bool, EngineError> {
        let recommendation = change.recommendation.clone();
        let command = PoolCommand::Set { pool: name.clone(), change, version: Some(read.version) };
        let status = match self.slots.control(command).await {
            Ok(status) => status,
            Err(EngineError::Conflict { .. } | EngineError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        if let Some(pool) = self.pools.get_mut(name) {
            pool.set_changed(&status, now);
        }
        if let Some(recommendation) = recommendation {
            let (slots, limit) = (status.slots, status.limit());
            let (recommended, why) = recommendation.map(|given| (given.slots, given.why)).unzip();
            tracing::info!(pool = %name, slots, limit, recommended, why, "slots recommended");
        }
        Ok(true)
    }

    /// Reads the pools and decides, when there is something to decide.
    async fn decide(&mut self) -> Result<(), EngineError> {
        self.decisions = self.decisions.wrapping_add(1);
        let always = self.decisions % ALWAYS_READ_EVERY == 1;
        if !self.pools.values().any(|pool| always || pool.has_news()) {
            return Ok(());
        }
        let now = Instant::now();
        for view in self.slots.inspect(&PoolQuery::all()).await? {
            let status = view.status;
            let Some(pool) = self.pools.get_mut(&status.name) else { continue };
            pool.synchronize(&status, now);
            let Some(recommendation) = pool.decide(&status, now) else { continue };
            let change = PoolChange { recommendation: Some(recommendation), ..PoolChange::default() };
            let name = status.name.clone();
            self.change(&name, &status, change, now).await?;
        }
        Ok(())
    }
}
