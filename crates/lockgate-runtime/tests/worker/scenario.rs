//! A scenario: a run of probe jobs, a worker for them, and queries for the results.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::{ErrorClass, Source};
use lockgate_core::job::JobRow;
use lockgate_core::ledger::{JobQuery, RunCommand, RunQuery};
use lockgate_core::pool::{PoolCommand, PoolSpec, PoolStatus};
use lockgate_core::run::RunSummary;
use lockgate_core::slots::PoolQuery;
use lockgate_core::timing::SlotTiming;
use lockgate_core::{Engine, Failure, JobOptions, JobState, Key, KindOptions, PoolName, RunId, RunName};
use lockgate_runtime::memory::Memory;
use lockgate_runtime::{
    Canceller, Context, HeartbeatOn, Job, OrphanedQuery, OutcomeCounts, PoolPolicy, Registry, State, Worker,
    WorkerOptions,
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::planning::plan;

/// What a probe does when it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Act {
    Succeed {
        after: Duration,
    },
    Fail,
    Panic,
    Skip,
    Permanent,
    OverloadedOnce,
    Hang,
    /// Fails with an error whose text cannot be had: asking for it panics, outside the job.
    Unprintable,
    /// A payload that is no probe.
    Broken,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Probe {
    pub(crate) act: Act,
}

/// What probes have seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) running: AtomicU32,
    pub(crate) peak: AtomicU32,
    pub(crate) starts: Mutex<BTreeMap<Key, u32>>,
    pub(crate) fences: Mutex<Vec<u64>>,
    /// The sizes of the groups that ran.
    pub(crate) groups: Mutex<Vec<usize>>,
}

/// A backend that keeps running the queries of ended probes until they are cancelled.
#[derive(Default)]
pub(crate) struct Backend {
    /// How long the cancellation takes.
    pub(crate) takes: Duration,
    /// How often the canceller reports that a query still runs.
    pub(crate) denials: AtomicU32,
    /// How often it panics instead.
    pub(crate) panics: AtomicU32,
    /// The queries that it was asked to cancel.
    pub(crate) asked: Mutex<Vec<OrphanedQuery>>,
}

#[async_trait]
impl Canceller for Backend {
    async fn end(&self, orphans: &[OrphanedQuery]) -> Result<Vec<OrphanedQuery>, Source> {
        self.asked.lock().unwrap().extend(orphans);
        let panics = self.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(panics.is_err(), "out of order");
        tokio::time::sleep(self.takes).await; // virtual time
        let denials =
            self.denials.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        Ok(if denials.is_ok() { Vec::new() } else { orphans.to_vec() })
    }
}

struct Inside<'a>(&'a Seen);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Job for Probe {
    const KIND: &'static str = "probe";

    fn options() -> JobOptions {
        JobOptions::queue("probes").pool("backend", 1).backend_time(Duration::from_secs(20))
    }

    async fn run_group(group: Vec<(Self, Context)>) -> Vec<Result<(), Failure>> {
        if let Some((_, ctx)) = group.first()
            && let Ok(seen) = ctx.state::<Arc<Seen>>()
        {
            seen.groups.lock().unwrap().push(group.len());
        }
        let mut answers = Vec::new();
        for (job, ctx) in group {
            answers.push(job.run(&ctx).await);
        }
        answers
    }

    fn canceller(state: &State) -> Option<Arc<dyn Canceller>> {
        state.get::<Arc<Backend>>().ok().map(|backend| Arc::clone(backend) as Arc<dyn Canceller>)
    }

    async fn run(self, ctx: &Context) -> Result<(), Failure> {
        let seen = ctx.state::<Arc<Seen>>()?;
        let now = seen.running.fetch_add(1, Ordering::SeqCst) + 1;
        seen.peak.fetch_max(now, Ordering::SeqCst);
        let _inside = Inside(seen);
        seen.fences.lock().unwrap().push(ctx.fence().0);
        let start = {
            let mut starts = seen.starts.lock().unwrap();
            let count = starts.entry(ctx.key().clone()).or_default();
            *count += 1;
            *count
        };
        match self.act {
            Act::Succeed { after } => tokio::time::sleep(after).await, // virtual time
            Act::Fail => return Err(Failure::retry("boom")),
            Act::Panic => panic!("out of cheese"),
            Act::Skip => return Err(Failure::skip("too little is known")),
            Act::Unprintable => return Err(Failure::retry(crate::panics::Unprintable)),
            Act::Permanent => return Err(Failure::permanent("no such table")),
            Act::OverloadedOnce if start == 1 => {
                let class = ErrorClass::Overloaded { retry_after: None };
                return Err(Failure::Error { class, error: "429".into(), backend_may_run: false });
            }
            Act::OverloadedOnce => {}
            Act::Hang | Act::Broken => std::future::pending().await,
        }
        Ok(())
    }
}

pub(crate) struct Scenario {
    pub(crate) memory: Memory,
    pub(crate) engine: Engine,
    pub(crate) seen: Arc<Seen>,
    /// Cancels the queries of ended probes. `None`: no canceller.
    pub(crate) backend: Option<Arc<Backend>>,
    /// How many jobs may share an execution.
    pub(crate) group: u32,
    /// Slots that a job takes.
    pub(crate) weight: u32,
    pub(crate) options: WorkerOptions,
    pub(crate) run: RunId,
}

impl Scenario {
    /// Creates a pool `backend` with this many slots, and a run with one probe for each act.
    pub(crate) async fn new(slots: u32, acts: impl IntoIterator<Item = Act>) -> Self {
        let memory = Memory::new(SlotTiming::default());
        let engine = memory.engine();
        let spec = PoolSpec { name: backend(), slots, per_tenant: None };
        engine.slots.control(PoolCommand::Ensure(spec)).await.unwrap();
        let run = plan(&engine, acts).await;
        let options = WorkerOptions {
            until_idle: true,
            concurrency: 16,
            heartbeat: HeartbeatOn::Task,
            ..WorkerOptions::default()
        };
        Self { memory, engine, seen: Arc::default(), backend: None, group: 1, weight: 1, options, run }
    }

    pub(crate) fn policy(mut self, policy: PoolPolicy) -> Self {
        self.options.policies.insert(backend(), policy);
        self
    }

    pub(crate) fn worker(&self) -> Worker {
        self.worker_with(|_| {})
    }

    fn worker_with(&self, change: impl FnOnce(&mut KindOptions)) -> Worker {
        let mut registry = Registry::default();
        registry.add::<Probe>().unwrap();
        registry.adjust(Probe::KIND, |options| {
            options.group = self.group;
            options.needs.iter_mut().for_each(|need| need.weight = self.weight);
            change(options);
        });
        let mut state = State::default().with(Arc::clone(&self.seen));
        if let Some(backend) = &self.backend {
            state = state.with(Arc::clone(backend));
        }
        Worker::new(self.engine.clone(), registry, state, self.options.clone())
    }

    /// Works until nothing is left.
    pub(crate) async fn work(&self) -> OutcomeCounts {
        self.worker().run(CancellationToken::new()).await.unwrap()
    }

    /// Works in the background until told to stop.
    pub(crate) fn start(&self) -> (CancellationToken, JoinSet<OutcomeCounts>) {
        self.start_with(|_| {})
    }

    /// The same with other options of the kind.
    pub(crate) fn start_with(
        &self,
        change: impl FnOnce(&mut KindOptions),
    ) -> (CancellationToken, JoinSet<OutcomeCounts>) {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (worker, token) = (self.worker_with(change), stop.clone());
        tasks.spawn(async move { worker.run(token).await.unwrap() });
        (stop, tasks)
    }

    pub(crate) async fn summary(&self) -> RunSummary {
        let name = RunName::new(self.run.to_string()).unwrap();
        let query = RunQuery { run: Some(name), ..RunQuery::default() };
        let summary = self.engine.ledger.runs(query).await.unwrap().remove(0);
        assert!(summary.balanced(), "{summary:?}");
        summary
    }

    pub(crate) async fn jobs(&self) -> Vec<JobRow> {
        let query = JobQuery { run: Some(self.run), limit: 1_000, ..JobQuery::default() };
        self.engine.ledger.jobs(query).await.unwrap()
    }

    /// The only job.
    pub(crate) async fn job(&self) -> JobRow {
        let mut jobs = self.jobs().await;
        assert_eq!(jobs.len(), 1);
        jobs.remove(0)
    }

    pub(crate) async fn pool(&self) -> PoolStatus {
        self.engine.slots.inspect(&PoolQuery::of(&backend())).await.unwrap().remove(0).status
    }

    pub(crate) async fn command(&self, command: RunCommand) {
        self.engine.ledger.control(command).await.unwrap();
    }

    /// Lets virtual time pass until the condition holds.
    pub(crate) async fn until(&self, what: &str, mut poll: impl AsyncFnMut(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(3_600);
        while !poll(self).await {
            assert!(tokio::time::Instant::now() < deadline, "not within an hour: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await; // eventually, in virtual time
        }
    }

    pub(crate) async fn until_running(&self, jobs: u32) {
        self.until("jobs run", async |scenario| scenario.seen.running.load(Ordering::SeqCst) == jobs).await;
    }
}

pub(crate) fn backend() -> PoolName {
    PoolName::new("backend").unwrap()
}

pub(crate) fn state_of(jobs: &[JobRow], state: JobState) -> usize {
    jobs.iter().filter(|job| job.state == state).count()
}
