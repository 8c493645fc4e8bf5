//! Cancels orphaned queries at the backend and releases their slots when the backend confirms the end.
//!
//! A query is orphaned when its attempt has ended without it. The queries of this process are cancelled at
//! once. The queries of a dead process are found by any worker that knows the kind, because their slots
//! drain. Without a confirmation a slot is not released early: it drains until its time is over.

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
use crate::job::canceller::{Canceller, OrphanedQuery};
use crate::job::registry::Registry;
use crate::slots::SlotClient;
use crate::telemetry;

/// Time between two searches for draining slots.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// How long one call of a canceller may take.
const CANCELLER_TIMEOUT: Duration = Duration::from_secs(30);

/// The cancellers of a worker, and the orphaned queries that they are cancelling.
pub(crate) struct Orphans {
    cancellers: BTreeMap<Kind, Arc<dyn Canceller>>,
    /// The pools of the kinds that have a canceller.
    pools: BTreeSet<PoolName>,
    engine: Engine,
    slots: SlotClient,
    tasks: TaskTracker,
    /// Passed to a canceller that has not returned yet.
    in_progress: Mutex<HashSet<OrphanedQuery>>,
}

impl Orphans {
    /// Creates the cancellers of the registered kinds.
    ///
    /// A kind that has a canceller and a zero `backend_time` gets its deadline as `backend_time`: its slots
    /// drain while the canceller works, and end draining if it never succeeds.
    pub(crate) fn new(
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
        Arc::new(Self { cancellers, pools, engine, slots, tasks, in_progress: Mutex::default() })
    }

    /// Cancels orphaned queries of one kind in the background. Their slots already drain. Does nothing for a
    /// kind without a canceller.
    pub(crate) fn cancel(self: &Arc<Self>, kind: &Kind, orphans: Vec<OrphanedQuery>) {
        let Some(canceller) = self.cancellers.get(kind).cloned() else { return };
        if orphans.is_empty() {
            return;
        }
        self.in_progress().extend(&orphans);
        let (guard, kind) = (InProgress { all: Arc::clone(self), orphans }, kind.clone());
        self.tasks.spawn(async move {
            let confirmed = guard.all.call_canceller(&kind, canceller.as_ref(), &guard.orphans).await;
            guard.all.release(&confirmed).await;
        });
    }

    /// Searches for orphaned queries of dead processes until `end` fires.
    pub(crate) async fn watch(self: Arc<Self>, end: CancellationToken) {
        if self.cancellers.is_empty() {
            return;
        }
        while end.run_until_cancelled(tokio::time::sleep(POLL_INTERVAL)).await.is_some() {
            if let Err(error) = self.cancel_draining().await {
                tracing::warn!(error = chain(&error), "draining slots not read, retrying");
            }
        }
    }

    async fn cancel_draining(self: &Arc<Self>) -> Result<(), EngineError> {
        let draining = self.draining().await?;
        if draining.is_empty() {
            return Ok(());
        }
        let ids: Vec<JobId> = draining.iter().map(|orphan| orphan.job).collect();
        let limit = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let jobs = self.engine.ledger.jobs(JobQuery { ids, limit, ..JobQuery::default() }).await?;
        for kind in self.cancellers.keys() {
            let of_kind: HashSet<JobId> =
                jobs.iter().filter(|job| job.kind == *kind).map(|job| job.id).collect();
            let orphans = draining.iter().filter(|orphan| of_kind.contains(&orphan.job)).copied();
            self.cancel(kind, orphans.collect());
        }
        Ok(())
    }

    /// Returns the draining leases whose cancellation is not in progress here. A lease that belongs to no job
    /// has no canceller, and drains for its time.
    async fn draining(&self) -> Result<Vec<OrphanedQuery>, EngineError> {
        let mut draining = HashSet::new();
        for view in self.engine.slots.inspect(&PoolQuery::all()).await? {
            let name = &view.status.name;
            if view.status.draining == 0 || !self.pools.contains(name) {
                continue;
            }
            for view in self.engine.slots.inspect(&PoolQuery::of(name)).await? {
                let holders = view.holders.into_iter().filter(|holder| holder.draining);
                let orphans =
                    holders.map(|holder| OrphanedQuery { job: JobId(holder.lease.0), fence: holder.fence });
                draining.extend(orphans);
            }
        }
        let in_progress = self.in_progress();
        Ok(draining.into_iter().filter(|orphan| !in_progress.contains(orphan)).collect())
    }

    /// Returns the queries whose end the backend has confirmed.
    async fn call_canceller(
        &self,
        kind: &Kind,
        canceller: &dyn Canceller,
        orphans: &[OrphanedQuery],
    ) -> Vec<OrphanedQuery> {
        let ended = match timeout(CANCELLER_TIMEOUT, canceller.end(orphans)).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => {
                let error = chain(error.as_ref());
                tracing::warn!(%kind, error, "orphaned queries not cancelled; their slots keep draining");
                Vec::new()
            }
            Err(_) => {
                tracing::warn!(
                    %kind,
                    timeout = ?CANCELLER_TIMEOUT,
                    "canceller timed out; slots of orphaned queries keep draining"
                );
                Vec::new()
            }
        };
        // A canceller may return queries that it was not asked for. Only these are known to drain.
        let ended: Vec<OrphanedQuery> =
            orphans.iter().filter(|orphan| ended.contains(orphan)).copied().collect();
        telemetry::orphaned_queries(kind, ended.len(), orphans.len() - ended.len());
        tracing::info!(%kind, asked = orphans.len(), ended = ended.len(), "cancelled orphaned backend queries");
        ended
    }

    async fn release(&self, ended: &[OrphanedQuery]) {
        let released = ended.iter().map(|orphan| self.slots.orphan_ended(orphan));
        for result in futures_util::future::join_all(released).await {
            if let Err(error) = result {
                tracing::warn!(
                    error = chain(error.as_ref()),
                    "slots of ended queries not released, retrying"
                );
            }
        }
    }

    /// Returns whether no canceller is working.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_progress().is_empty()
    }

    fn in_progress(&self) -> MutexGuard<'_, HashSet<OrphanedQuery>> {
        self.in_progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Orphaned queries whose cancellation is in progress. When this is dropped, even by a canceller that panics,
/// the next search may find them again.
struct InProgress {
    all: Arc<Orphans>,
    orphans: Vec<OrphanedQuery>,
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.all.in_progress().retain(|orphan| !self.orphans.contains(orphan));
    }
}
