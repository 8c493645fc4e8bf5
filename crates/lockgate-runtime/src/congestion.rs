//! Congestion: what executions come to, told to the adaptive limit of their pool, and what follows from it for all
//! processes: a pause while the backend is overloaded, and an recommendation of how many slots it bears.
//!
//! It must never hold up a job: what is heard goes into a bounded line, and what does not fit there is not heard. It
//! never changes what was configured, and decides on what it has read: when another process was first, its change is
//! what goes on.

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

use crate::executor::outcome::{Cut, Ended};
use crate::job::registry::Registry;
use crate::telemetry;
use crate::worker::options::PoolPolicy;
use pool::PoolWatch;

/// Time between two decisions.
const LOOK: Duration = Duration::from_secs(1);
/// Looks after which the store is read whatever was heard: another process may have left an recommendation behind.
const ANYHOW: u32 = 10;
/// How long a pool is paused when the backend does not say when to come back.
const PAUSE: Duration = Duration::from_secs(1);
/// What was heard and not taken in yet. More is not heard: of so many some are enough.
const UNHEARD: usize = 4_096;

/// Where executions are told of.
#[derive(Debug, Clone)]
pub(crate) struct Congestion(mpsc::Sender<Heard>);

/// One execution, as it ended.
#[derive(Debug)]
struct Heard {
    kind: Kind,
    pools: Vec<PoolName>,
    signal: Signal,
    latency: Duration,
    /// When the backend wants to be called again.
    retry_after: Option<Duration>,
}

impl Congestion {
    /// Tells of an execution, as it ended for each of its jobs.
    pub(crate) fn hear(&self, kind: &Kind, needs: &[Need], ended: &[Ended], latency: Duration) {
        let (signal, retry_after) = signal(ended);
        if signal == Signal::Throttled {
            needs.iter().for_each(|need| telemetry::refused(&need.pool, kind));
        }
        if needs.is_empty() || signal == Signal::Failed {
            return;
        }
        let pools = needs.iter().map(|need| need.pool.clone()).collect();
        // Full: so many others are about to be heard.
        self.0.try_send(Heard { kind: kind.clone(), pools, signal, latency, retry_after }).ok();
    }
}

/// What an execution says about the load of its backend: the worst that it says for any of its jobs.
fn signal(ended: &[Ended]) -> (Signal, Option<Duration>) {
    let told: Vec<_> = ended.iter().map(signal_of).collect();
    let worst = [Signal::Throttled, Signal::TimedOut, Signal::Answered].into_iter();
    let mut said = worst.filter_map(|worst| told.iter().find(|(signal, _)| *signal == worst));
    said.next().copied().unwrap_or((Signal::Failed, None))
}

fn signal_of(ended: &Ended) -> (Signal, Option<Duration>) {
    match ended {
        Ended::Returned(Ok(())) => (Signal::Answered, None),
        Ended::Returned(Err(Failure::Error { class: ErrorClass::Overloaded { retry_after }, .. })) => {
            (Signal::Throttled, *retry_after)
        }
        Ended::Cut(Cut::TimedOut(_) | Cut::HeldTooLong(_)) => (Signal::TimedOut, None),
        _ => (Signal::Failed, None),
    }
}

/// Who hears, and decides.
pub(crate) struct Watch {
    slots: Arc<dyn Slots>,
    pools: BTreeMap<PoolName, PoolWatch>,
    looks: u32,
}

impl Watch {
    /// Of the pools that these kinds use, as far as their policies say.
    pub(crate) fn new(
        slots: Arc<dyn Slots>,
        policies: &BTreeMap<PoolName, PoolPolicy>,
        registry: &Registry,
    ) -> Self {
        let mut pools = BTreeMap::new();
        for need in registry.kinds().flat_map(|(_, options)| &options.needs) {
            let policy = policies.get(&need.pool).copied().unwrap_or_default();
            if policy.adaptive != AdaptiveMode::Off {
                let watch = pools.entry(need.pool.clone()).or_insert_with(|| PoolWatch::new(policy));
                // A job that is heavier than what is advised would wait for ever, and all behind it.
                watch.at_least(need.weight);
            }
        }
        Self { slots, pools, looks: 0 }
    }

    /// Hears from now on, until `end` fires.
    pub(crate) fn start(self, side: &TaskTracker, end: CancellationToken) -> Congestion {
        let (sender, heard) = mpsc::channel(UNHEARD);
        side.spawn(async move {
            end.run_until_cancelled(self.watch(heard)).await;
        });
        Congestion(sender)
    }

    async fn watch(mut self, mut heard: mpsc::Receiver<Heard>) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                heard = heard.recv() => match heard {
                    Some(heard) => self.take_in(&heard).await,
                    None => return,
                },
                _ = look.tick() => {
                    if let Err(error) = self.look().await {
                        tracing::warn!(error = chain(&error), "cannot advise slots; it is tried again");
                    }
                }
            }
        }
    }

    async fn take_in(&mut self, heard: &Heard) {
        let now = Instant::now();
        for name in &heard.pools {
            let is_news = self.pools.get_mut(name).is_some_and(|pool| pool.hear(heard, now));
            if is_news && let Err(error) = self.hold_back(name, heard, now).await {
                tracing::warn!(pool = %name, error = chain(&error), "a pool is not paused");
            }
        }
    }

    /// A backend has refused an execution: its pool is paused, and fewer slots are advised, in one change for all
    /// processes. Who comes second finds it paused: it is the same congestion.
    async fn hold_back(&mut self, name: &PoolName, heard: &Heard, now: Instant) -> Result<(), EngineError> {
        let views = self.slots.inspect(&PoolQuery::all()).await?;
        let Some(pool) = self.pools.get_mut(name) else { return Ok(()) };
        let Some(status) = views.into_iter().map(|view| view.status).find(|status| status.name == *name)
        else {
            return Ok(());
        };
        pool.catch_up(&status, now);
        if let Some(left) = status.paused {
            pool.is_paused(now + left);
            return Ok(());
        }
        let pause = heard.retry_after.filter(|after| !after.is_zero()).unwrap_or(PAUSE).min(LONGEST_PAUSE);
        pool.is_paused(now + pause);
        pool.observe(heard);
        let recommendation = pool.decide(&status, now);
        let change = PoolChange {
            pause: Some(pause),
            recommendation: recommendation.clone(),
            ..PoolChange::default()
        };
        if self.change(name, &status, change, now).await? {
            tracing::warn!(pool = %name, kind = %heard.kind, ?pause, "the backend is overloaded; its pool is paused");
            telemetry::paused(name);
        }
        Ok(())
    }

    /// Changes a pool as it was decided on what was read; answers whether it did: somebody else may have been first,
    /// and the next look goes on from there.
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
            pool.is_changed(&status, now);
        }
        if let Some(recommendation) = recommendation {
            let (slots, limit) = (status.slots, status.limit());
            let (advised, why) =
                recommendation.map(|recommendation| (recommendation.slots, recommendation.why)).unzip();
            tracing::info!(pool = %name, slots, limit, advised, why, "slots advised");
        }
        Ok(true)
    }

    /// Reads the pools that there is something to decide about, and decides.
    async fn look(&mut self) -> Result<(), EngineError> {
        self.looks = self.looks.wrapping_add(1);
        let anyhow = self.looks % ANYHOW == 1;
        if !self.pools.values().any(|pool| anyhow || pool.wants_a_look()) {
            return Ok(());
        }
        let now = Instant::now();
        for view in self.slots.inspect(&PoolQuery::all()).await? {
            let status = view.status;
            let Some(pool) = self.pools.get_mut(&status.name) else { continue };
            pool.catch_up(&status, now);
            let Some(recommendation) = pool.decide(&status, now) else { continue };
            let change = PoolChange { recommendation: Some(recommendation), ..PoolChange::default() };
            let name = status.name.clone();
            self.change(&name, &status, change, now).await?;
        }
        Ok(())
    }
}
