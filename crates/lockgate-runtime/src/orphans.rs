//! Ends what executions have left behind at the backend, and frees their slots when it is confirmed.
//!
//! What an attempt of this process leaves is seen to at once. What nobody sees to, because its process is gone, is found by
//! any worker of the kind: its slots drain. It must never free a slot on a guess: without a confirmation it drains on,
//! until its time is over.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::ledger::JobQuery;
use lockgate_core::slots::PoolQuery;
use lockgate_core::{Engine, EngineError, JobId, Kind, PoolName};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::job::State;
use crate::job::canceller::{Canceller, Leftover};
use crate::job::registry::Registry;
use crate::slots::SlotClient;
use crate::telemetry;

/// Time between two looks at the slots that drain.
const LOOK: Duration = Duration::from_secs(2);
/// The longest time that a canceller is waited for.
const LONGEST: Duration = Duration::from_secs(30);

/// The cancellers of a worker, and what they are at.
pub(crate) struct Leftovers {
    cancellers: BTreeMap<Kind, Arc<dyn Canceller>>,
    pools: BTreeSet<PoolName>,
    engine: Engine,
    slots: SlotClient,
    tasks: TaskTracker,
    in_hand: Mutex<HashSet<Leftover>>,
}

impl Leftovers {
    /// The cancellers of these kinds. A kind that has one and names no `backend_time` is given its deadline for that: slots
    /// drain while the canceller is at work, and end draining should it never come through.
    pub(crate) fn of(
        registry: &mut Registry,
        state: &State,
        engine: &Engine,
        slots: &SlotClient,
        tasks: &TaskTracker,
    ) -> Arc<Self> {
        let (mut cancellers, mut pools) = (BTreeMap::new(), BTreeSet::new());
        for (kind, entry) in registry.entries_mut() {
            let Some(canceller) = entry.canceller(state) else { continue };
            cancellers.insert(kind.clone(), canceller);
            pools.extend(entry.options.needs.iter().map(|need| need.pool.clone()));
            if entry.options.backend_time.is_zero() {
                entry.options.backend_time = entry.options.deadline;
            }
        }
        let (engine, slots, tasks) = (engine.clone(), slots.clone(), tasks.clone());
        Arc::new(Self { cancellers, pools, engine, slots, tasks, in_hand: Mutex::default() })
    }

    /// Ends, in the background, what an execution of this process may have left. Its slots drain already.
    pub(crate) fn see_to(self: &Arc<Self>, kind: &Kind, leftover: Leftover) {
        self.start(kind, vec![leftover]);
    }

    /// Looks for what processes that are gone have left, until `end`.
    pub(crate) async fn watch(self: Arc<Self>, end: CancellationToken) {
        if self.cancellers.is_empty() {
            return;
        }
        while end.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            if let Err(error) = self.look().await {
                tracing::warn!(error = chain(&error), "cannot see which slots drain; looking again");
            }
        }
    }

    async fn look(self: &Arc<Self>) -> Result<(), EngineError> {
        let found = self.draining().await?;
        if found.is_empty() {
            return Ok(());
        }
        let ids: Vec<JobId> = found.iter().map(|leftover| leftover.job).collect();
        let limit = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let jobs = self.engine.ledger.jobs(JobQuery { ids, limit, ..JobQuery::default() }).await?;
        for kind in self.cancellers.keys() {
            let of_kind: HashSet<JobId> =
                jobs.iter().filter(|job| job.kind == *kind).map(|job| job.id).collect();
            self.start(kind, found.iter().filter(|left| of_kind.contains(&left.job)).copied().collect());
        }
        Ok(())
    }

    /// What drains and is not in hand here. A slot that is no job's has no kind, and drains for its time.
    async fn draining(&self) -> Result<Vec<Leftover>, EngineError> {
        let mut found = HashSet::new();
        for view in self.engine.slots.inspect(&PoolQuery::all()).await? {
            let name = &view.status.name;
            if view.status.draining == 0 || !self.pools.contains(name) {
                continue;
            }
            for view in self.engine.slots.inspect(&PoolQuery::of(name)).await? {
                let draining = view.holders.into_iter().filter(|holder| holder.draining);
                found.extend(
                    draining.map(|holder| Leftover { job: JobId(holder.lease.0), fence: holder.fence }),
                );
            }
        }
        let in_hand = self.in_hand();
        Ok(found.into_iter().filter(|leftover| !in_hand.contains(leftover)).collect())
    }

    fn start(self: &Arc<Self>, kind: &Kind, leftovers: Vec<Leftover>) {
        let Some(canceller) = self.cancellers.get(kind).cloned() else { return };
        if leftovers.is_empty() {
            return;
        }
        self.in_hand().extend(&leftovers);
        let (this, kind) = (InHand { of: Arc::clone(self), leftovers }, kind.clone());
        self.tasks.spawn(async move {
            let ended = this.of.ended(&kind, canceller.as_ref(), &this.leftovers).await;
            this.of.free(&ended).await;
        });
    }

    async fn ended(&self, kind: &Kind, canceller: &dyn Canceller, leftovers: &[Leftover]) -> Vec<Leftover> {
        let ended = match timeout(LONGEST, canceller.end(leftovers)).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => {
                tracing::warn!(%kind, error = chain(error.as_ref()), "backend work could not be ended; slots drain on");
                Vec::new()
            }
            Err(_) => {
                tracing::warn!(%kind, "no word of backend work within {LONGEST:?}; slots drain on");
                Vec::new()
            }
        };
        // Whatever a canceller names beside: only what it was asked for is known to drain.
        let ended: Vec<Leftover> = leftovers.iter().filter(|left| ended.contains(left)).copied().collect();
        telemetry::leftovers(kind, ended.len(), leftovers.len() - ended.len());
        tracing::info!(%kind, asked = leftovers.len(), ended = ended.len(), "backend work of attempts that are gone");
        ended
    }

    async fn free(&self, ended: &[Leftover]) {
        for left in futures_util::future::join_all(ended.iter().map(|left| self.slots.ended(left))).await {
            if let Err(error) = left {
                tracing::warn!(
                    error = chain(error.as_ref()),
                    "slots of ended work not freed yet; trying again"
                );
            }
        }
    }

    /// Whether no canceller is at work.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_hand().is_empty()
    }

    fn in_hand(&self) -> MutexGuard<'_, HashSet<Leftover>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leftovers that are being seen to. Dropped, by a canceller that panics too, others may see to them again.
struct InHand {
    of: Arc<Leftovers>,
    leftovers: Vec<Leftover>,
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.of.in_hand().retain(|leftover| !self.leftovers.contains(leftover));
    }
}
