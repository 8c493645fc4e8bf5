//! A worker: takes deliveries, sees a bounded number of them through at once, dispatches and sweeps on the
//! side, and ends in an orderly way.

mod intake;
mod job_groups;
pub mod options;
pub mod reconnect;
pub mod state;

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::ledger::{JobQuery, Ledger};
use lockgate_core::{Engine, EngineError, JobState};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::executor::Executor;
use crate::executor::counters::{Tally, TallyReading};
use crate::executor::ledger_writer::Records;
use crate::executor::running::Running;
use crate::executor::shares::Shares;
use crate::job::State;
use crate::job::registry::Registry;
use crate::orphans::Leftovers;
use crate::rates::Rates;
use crate::slots::SlotClient;
use crate::stop::StopReason;
use crate::upkeep::Upkeep;
use crate::upkeep::drain_times;
use crate::upkeep::lost_messages::QueueWatch;
use crate::worker::options::WorkerOptions;
use crate::worker::reconnect::Patience;
use crate::worker::state::WorkerState;
use crate::{congestion, dispatcher};

/// A worker, ready to run.
#[derive(Debug)]
pub struct Worker {
    engine: Engine,
    registry: Registry,
    state: State,
    options: WorkerOptions,
    tally: Tally,
    worker_state: watch::Sender<WorkerState>,
}

/// How long the last reports may still be told after the last job has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How often a worker that ends when idle looks whether it is.
const IDLE_LOOK: Duration = Duration::from_millis(100);

impl Worker {
    /// A worker for these kinds on this engine.
    #[must_use]
    pub fn new(engine: Engine, registry: Registry, state: State, options: WorkerOptions) -> Self {
        let worker_state = watch::Sender::new(WorkerState::Starting);
        Self { engine, registry, state, options, tally: Tally::default(), worker_state }
    }

    /// Its counts, readable while it runs.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// How it stands, now and later.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<WorkerState> {
        self.worker_state.subscribe()
    }

    /// Works until `stop` fires, or until nothing is left when told so; then drains: nothing new is taken,
    /// who waits for slots goes back to the queue, running jobs finish within the grace or are handed back.
    ///
    /// # Errors
    /// When an option is out of range, when the slot store refuses the session, or when the store was deleted
    /// or replaced: then every job is stopped and nothing more is recorded. A store that is unreachable is
    /// retried forever.
    pub async fn run(self, stop: CancellationToken) -> Result<TallyReading, EngineError> {
        let Self { engine, mut registry, state, options, tally, worker_state } = self;
        options.check()?;
        registry.check().map_err(|error| EngineError::Conflict { reason: chain(&error) })?;
        let rates = Arc::new(Rates::new(options.rates.clone(), &registry));
        if !limits_are_known(&rates, &worker_state, &stop).await? {
            return Ok(tally.read());
        }
        let Some(slots) = open(&engine, &options, &worker_state, &stop).await? else {
            return Ok(tally.read());
        };
        let (jobs, side) = (TaskTracker::new(), TaskTracker::new());
        let draining = stop.child_token();
        let leftovers = Leftovers::of(&mut registry, &state, &engine, &slots, &side);
        drain_times::announce(&engine, &registry).await;
        // Outlives `draining`: a running job can still be cancelled while the worker drains.
        let end = CancellationToken::new();
        let watch = congestion::Watch::new(Arc::clone(&engine.slots), &options.policies, &registry);
        let executor = Arc::new(Executor {
            congestion: watch.start(&side, end.clone()),
            records: Arc::new(Records::start(&side, &engine)),
            shares: Shares::new(&registry, options.concurrency),
            registry,
            rates: Arc::clone(&rates),
            state,
            policies: options.policies.clone(),
            slots: slots.clone(),
            leftovers,
            running: Running::default(),
            tally: tally.clone(),
            observer: options.observer.clone(),
            pools_lost: Arc::default(),
            draining: draining.clone(),
        });
        start_side_tasks(&side, &engine, &executor, &options, &end);
        intake::start(&engine, &executor, options.concurrency, &jobs);
        tracing::info!(engine = engine.name, concurrency = options.concurrency, "worker started");
        worker_state.send_replace(WorkerState::Running);

        let drained = async {
            draining.cancelled().await;
            worker_state.send_replace(WorkerState::Draining);
            drain(&executor.running, &jobs, options.grace).await;
        };
        tokio::select! {
            biased;
            lost = slots.store_lost() => {
                worker_state.send_replace(WorkerState::Draining);
                abandon(&executor).await;
                end.cancel();
                return Err(lost);
            }
            () = drained => {}
        }
        end.cancel();
        // The groups of reports end with the last executor.
        drop(executor);
        rates.give_back().await;
        finish(&side, &slots).await?;
        Ok(tally.read())
    }
}

/// Reads the limits of rate that are in force, however long that takes: nothing is taken before they are
/// known. `false`:
/// `stop` fired first.
async fn limits_are_known(
    rates: &Rates,
    worker_state: &watch::Sender<WorkerState>,
    stop: &CancellationToken,
) -> Result<bool, EngineError> {
    let mut patience = Patience::default();
    loop {
        let error = match stop.run_until_cancelled(rates.refresh()).await {
            None => return Ok(false),
            Some(Ok(_)) => return Ok(true),
            Some(Err(error)) => error,
        };
        let why = match error.downcast::<EngineError>() {
            Ok(error) if !error.is_transient() => return Err(*error),
            Ok(error) => chain(error.as_ref()),
            Err(error) => chain(error.as_ref()),
        };
        worker_state.send_replace(WorkerState::Waiting(why.clone()));
        if !patience.wait(why, stop).await {
            return Ok(false);
        }
    }
}

/// Opens the session with the slot store, however long that takes; `None`: `stop` fired first.
async fn open(
    engine: &Engine,
    options: &WorkerOptions,
    worker_state: &watch::Sender<WorkerState>,
    stop: &CancellationToken,
) -> Result<Option<SlotClient>, EngineError> {
    let mut patience = Patience::default();
    loop {
        let opening = SlotClient::open(Arc::clone(&engine.slots), &options.process, options.heartbeat);
        match stop.run_until_cancelled(opening).await {
            None => return Ok(None),
            Some(Ok(slots)) => return Ok(Some(slots)),
            Some(Err(error)) if error.is_transient() => {
                let why = chain(&error);
                worker_state.send_replace(WorkerState::Waiting(why.clone()));
                if !patience.wait(why, stop).await {
                    return Ok(None);
                }
            }
            Some(Err(error)) => return Err(error),
        }
    }
}

fn start_side_tasks(
    side: &TaskTracker,
    engine: &Engine,
    executor: &Executor,
    options: &WorkerOptions,
    end: &CancellationToken,
) {
    let draining = &executor.draining;
    if options.dispatch {
        side.spawn(dispatcher::dispatch(engine.clone(), draining.clone()));
    }
    if options.until_idle {
        side.spawn(stop_when_idle(
            Arc::clone(&engine.ledger),
            Arc::clone(&executor.records),
            draining.clone(),
        ));
    }
    let upkeep = Upkeep {
        engine: engine.clone(),
        queues: QueueWatch::all(&executor.registry, &options.policies),
        pools_lost: Arc::clone(&executor.pools_lost),
        pools: options.pools.clone(),
        keep: options.keep,
    };
    side.spawn(upkeep.sweep(end.clone()));
    side.spawn(Arc::clone(&executor.leftovers).watch(end.clone()));
    side.spawn(Arc::clone(&executor.rates).watch(Arc::clone(&engine.slots), end.clone()));
    side.spawn(executor.running.clone().watch(Arc::clone(&engine.ledger), end.clone()));
}

async fn stop_when_idle(ledger: Arc<dyn Ledger>, records: Arc<Records>, draining: CancellationToken) {
    let states = vec![JobState::Scheduled, JobState::Enqueued];
    let query = JobQuery { states, limit: 1, ..JobQuery::default() };
    while draining.run_until_cancelled(tokio::time::sleep(IDLE_LOOK)).await.is_some() {
        // Who has work need not ask for it: that goes through all jobs.
        if !records.is_idle() {
            continue;
        }
        match ledger.jobs(query.clone()).await {
            Ok(left) if left.is_empty() => draining.cancel(),
            Ok(_) => {}
            Err(error) => tracing::warn!(error = chain(&error), "cannot see whether work is left"),
        }
    }
}

/// Lets running jobs finish within the grace, then stops them and waits until they are handed back.
async fn drain(running: &Running, jobs: &TaskTracker, grace: Duration) {
    jobs.close();
    if timeout(grace, jobs.wait()).await.is_ok() {
        return;
    }
    tracing::warn!(jobs = jobs.len(), "the grace is over; jobs that still run are handed back");
    running.stop_all(StopReason::WorkerStopped);
    if timeout(LAST_WORDS, jobs.wait()).await.is_err() {
        tracing::error!(jobs = jobs.len(), "jobs did not stop; their deliveries come again elsewhere");
    }
}

/// Stops every job at once, because the store was lost: nothing can be recorded any more. Returns when the
/// jobs have stopped and their cancellers were asked to end orphaned backend queries.
async fn abandon(executor: &Executor) {
    executor.draining.cancel();
    let stopped = async {
        loop {
            executor.running.stop_all(StopReason::StoreLost);
            // A job that has stopped hands its query to the canceller a moment later, so the first look comes
            // after a wait.
            tokio::time::sleep(IDLE_LOOK).await;
            if executor.running.is_empty() && executor.leftovers.is_idle() {
                return;
            }
        }
    };
    if timeout(LAST_WORDS, stopped).await.is_err() {
        tracing::error!("jobs did not stop, or their backend queries may still run");
    }
}

/// # Errors
/// When the store was lost: what was reported last is not in it.
async fn finish(side: &TaskTracker, slots: &SlotClient) -> Result<(), EngineError> {
    side.close();
    if timeout(LAST_WORDS, side.wait()).await.is_err() {
        tracing::warn!("the last reports did not get through; their jobs will be delivered again");
    }
    match slots.close().await {
        Ok(()) => {}
        Err(lost @ EngineError::StoreLost { .. }) => return Err(lost),
        Err(error) => {
            tracing::warn!(error = chain(&error), "session not closed; the store takes it for dead in time");
        }
    }
    tracing::info!("worker stopped");
    Ok(())
}
