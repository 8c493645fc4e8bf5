//! A worker: consumes its queues, executes a bounded number of jobs at once, and runs the dispatcher and
//! upkeep alongside.
//!
//! [`Worker::run`] connects, works until `stop` fires, and then drains: running jobs finish within the
//! grace period, or are handed back to their queue.

mod intake;
mod job_groups;
pub mod options;
pub mod reconnect;
mod shutdown;
mod startup;
pub mod state;

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::ledger::{JobQuery, Ledger};
use lockgate_core::{Engine, EngineError, JobState};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::congestion::CongestionMonitor;
use crate::dispatcher;
use crate::executor::Executor;
use crate::executor::admission::Admission;
use crate::executor::counters::{OutcomeCounters, OutcomeCounts};
use crate::executor::ledger_writer::LedgerWriter;
use crate::executor::prefetch::PrefetchShares;
use crate::executor::running_jobs::RunningJobs;
use crate::job::State;
use crate::job::registry::Registry;
use crate::orphans::Orphans;
use crate::rates::Rates;
use crate::slots::SlotClient;
use crate::upkeep::lost_messages::QueueWatch;
use crate::upkeep::{Upkeep, drain_times};
use options::WorkerOptions;
use state::WorkerState;

/// A worker that has not started yet.
#[derive(Debug)]
pub struct Worker {
    engine: Engine,
    registry: Registry,
    state: State,
    options: WorkerOptions,
    counters: OutcomeCounters,
    worker_state: watch::Sender<WorkerState>,
}

/// Time between two checks whether a worker with `until_idle` has work left.
const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(100);

impl Worker {
    /// Creates a worker for the registered kinds on this engine.
    #[must_use]
    pub fn new(engine: Engine, registry: Registry, state: State, options: WorkerOptions) -> Self {
        let worker_state = watch::Sender::new(WorkerState::Starting);
        Self { engine, registry, state, options, counters: OutcomeCounters::default(), worker_state }
    }

    /// Returns the worker's counters, which can be read while it runs.
    #[must_use]
    pub fn counters(&self) -> OutcomeCounters {
        self.counters.clone()
    }

    /// Returns the worker's state and its later changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<WorkerState> {
        self.worker_state.subscribe()
    }

    /// Works until `stop` fires, or until no work is left with [`WorkerOptions::until_idle`]. Then drains: no
    /// new job starts, jobs that wait for slots go back to their queue, and running jobs finish within the
    /// grace period or are handed back. Returns the counts of ended deliveries.
    ///
    /// # Errors
    /// When an option is out of range, when the slot store refuses the session, or when the store was deleted
    /// or replaced. In the last case every job is stopped and nothing more is recorded. An unreachable store
    /// is not an error: connecting is retried forever.
    pub async fn run(self, stop: CancellationToken) -> Result<OutcomeCounts, EngineError> {
        let Self { engine, registry, state, options, counters, worker_state } = self;
        options.check()?;
        registry.check().map_err(|error| EngineError::Conflict { reason: chain(&error) })?;
        let rates = Arc::new(Rates::new(options.rates.clone(), &registry));
        if !startup::read_limits(&rates, &worker_state, &stop).await? {
            return Ok(counters.snapshot());
        }
        let Some(slots) = startup::open_session(&engine, &options, &worker_state, &stop).await? else {
            return Ok(counters.snapshot());
        };
        let (jobs, background) = (TaskTracker::new(), TaskTracker::new());
        let (draining, end) = (stop.child_token(), CancellationToken::new());
        let setup = Setup {
            engine: &engine,
            options: &options,
            slots: &slots,
            background: &background,
            draining: &draining,
            end: &end,
        };
        let executor = setup.executor(registry, state, &rates, &counters).await;
        setup.start_background_tasks(&executor);
        intake::start(&engine, &executor, options.concurrency, &jobs);
        tracing::info!(engine = engine.name, concurrency = options.concurrency, "worker started");
        worker_state.send_replace(WorkerState::Running);

        let drained = async {
            draining.cancelled().await;
            worker_state.send_replace(WorkerState::Draining);
            shutdown::drain(&executor.running, &jobs, options.grace).await;
        };
        tokio::select! {
            biased;
            lost = slots.store_lost() => {
                worker_state.send_replace(WorkerState::Draining);
                shutdown::abandon(&executor).await;
                end.cancel();
                return Err(lost);
            }
            () = drained => {}
        }
        end.cancel();
        // The batchers end with the last handle of the executor.
        drop(executor);
        rates.return_tokens().await;
        shutdown::finish(&background, &slots).await?;
        Ok(counters.snapshot())
    }
}

/// What the executor and the background tasks of a worker are created from.
struct Setup<'a> {
    engine: &'a Engine,
    options: &'a WorkerOptions,
    slots: &'a SlotClient,
    /// Tracks the tasks that run alongside the jobs.
    background: &'a TaskTracker,
    /// Fires when the worker starts no new jobs.
    draining: &'a CancellationToken,
    /// Fires when the last job has ended. A running job can still be cancelled while the worker drains, so
    /// background tasks end later than the intake.
    end: &'a CancellationToken,
}

impl Setup<'_> {
    async fn executor(
        &self,
        mut registry: Registry,
        state: State,
        rates: &Arc<Rates>,
        counters: &OutcomeCounters,
    ) -> Arc<Executor> {
        let Self { engine, options, slots, background, draining, end } = *self;
        let orphans = Orphans::new(&mut registry, &state, engine, slots, background);
        drain_times::announce(engine, &registry).await;
        let monitor = CongestionMonitor::new(Arc::clone(&engine.slots), &options.policies, &registry);
        let ledger_writer = Arc::new(LedgerWriter::new(background, engine));
        let admission = Admission {
            slots: slots.clone(),
            rates: Arc::clone(rates),
            policies: options.policies.clone(),
            draining: draining.clone(),
            pools_lost: Arc::new(Notify::new()),
            ledger_writer: Arc::clone(&ledger_writer),
        };
        Arc::new(Executor {
            congestion: monitor.start(background, end.clone()),
            shares: PrefetchShares::new(&registry, options.concurrency),
            registry,
            state,
            admission,
            rates: Arc::clone(rates),
            ledger_writer,
            orphans,
            running: RunningJobs::default(),
            counters: counters.clone(),
            observer: options.observer.clone(),
        })
    }

    fn start_background_tasks(&self, executor: &Executor) {
        let Self { engine, options, background, draining, end, .. } = *self;
        if options.dispatch {
            background.spawn(dispatcher::dispatch(engine.clone(), draining.clone()));
        }
        if options.until_idle {
            let (ledger, writer) = (Arc::clone(&engine.ledger), Arc::clone(&executor.ledger_writer));
            background.spawn(stop_when_idle(ledger, writer, draining.clone()));
        }
        let upkeep = Upkeep {
            engine: engine.clone(),
            queues: QueueWatch::all(&executor.registry, &options.policies),
            pools_lost: Arc::clone(&executor.admission.pools_lost),
            pools: options.pools.clone(),
            keep: options.keep,
        };
        background.spawn(upkeep.run(end.clone()));
        background.spawn(Arc::clone(&executor.orphans).watch(end.clone()));
        background.spawn(Arc::clone(&executor.rates).watch(Arc::clone(&engine.slots), end.clone()));
        background.spawn(executor.running.clone().watch(Arc::clone(&engine.ledger), end.clone()));
    }
}

/// Fires `draining` when no job is scheduled or enqueued any more.
async fn stop_when_idle(ledger: Arc<dyn Ledger>, writer: Arc<LedgerWriter>, draining: CancellationToken) {
    let states = vec![JobState::Scheduled, JobState::Enqueued];
    let query = JobQuery { states, limit: 1, ..JobQuery::default() };
    while draining.run_until_cancelled(tokio::time::sleep(IDLE_POLL_INTERVAL)).await.is_some() {
        // The query scans all jobs, so a worker with a delivery in flight skips it.
        if !writer.is_idle() {
            continue;
        }
        match ledger.jobs(query.clone()).await {
            Ok(unfinished) if unfinished.is_empty() => draining.cancel(),
            Ok(_) => {}
            Err(error) => tracing::warn!(error = chain(&error), "unfinished jobs not read, retrying"),
        }
    }
}
