//! What a worker writes and reads in its ledger: starts, which are recorded before the work, during it or
//! with its settlement; and whether work is left.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::job::JobRow;
use lockgate_core::ledger::{
    Claimed, JobQuery, Ledger, PlanStep, Planned, Report, RunCommand, RunQuery, Settled, Start,
    StartDurability, Started, Sweep, Swept,
};
use lockgate_core::run::RunSummary;
use lockgate_core::{EngineError, JobState};

use crate::scenario::{Act, Scenario};

/// A ledger that records the requested durability of each start and counts reads of jobs. It can fail to
/// record starts that are underway.
struct Watched {
    inner: Arc<dyn Ledger>,
    asked: Mutex<Vec<StartDurability>>,
    looks: AtomicU32,
    away: AtomicBool,
}

impl Watched {
    fn around(scenario: &mut Scenario) -> Arc<Self> {
        let inner = Arc::clone(&scenario.engine.ledger);
        let watched = Arc::new(Self {
            inner,
            asked: Mutex::default(),
            looks: AtomicU32::default(),
            away: AtomicBool::new(false),
        });
        scenario.engine.ledger = watched.clone();
        watched
    }

    /// Without the checks of deliveries that are not admitted yet.
    fn asked(&self) -> Vec<StartDurability> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|record| **record != StartDurability::Never).copied().collect()
    }
}

#[async_trait]
impl Ledger for Watched {
    async fn start(&self, starts: Vec<Start>) -> Result<Vec<Started>, EngineError> {
        self.asked.lock().unwrap().extend(starts.iter().map(|start| start.durability));
        let underway = |start: &Start| matches!(start.durability, StartDurability::Underway(_));
        if self.away.load(Ordering::SeqCst) && starts.iter().any(underway) {
            return Err(EngineError::Unavailable { doing: "testing".to_owned(), source: "away".into() });
        }
        self.inner.start(starts).await
    }

    async fn plan(&self, step: PlanStep) -> Result<Planned, EngineError> {
        self.inner.plan(step).await
    }

    async fn claim(&self, limit: u32, hold: Duration) -> Result<Claimed, EngineError> {
        self.inner.claim(limit, hold).await
    }

    async fn settle(&self, reports: Vec<Report>) -> Result<Vec<Settled>, EngineError> {
        self.inner.settle(reports).await
    }

    async fn runs(&self, query: RunQuery) -> Result<Vec<RunSummary>, EngineError> {
        self.inner.runs(query).await
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobRow>, EngineError> {
        // Those by id look after jobs that run.
        self.looks.fetch_add(u32::from(query.ids.is_empty()), Ordering::SeqCst);
        self.inner.jobs(query).await
    }

    async fn control(&self, command: RunCommand) -> Result<u64, EngineError> {
        self.inner.control(command).await
    }

    async fn sweep(&self, sweep: Sweep, limit: u32) -> Result<Swept, EngineError> {
        self.inner.sweep(sweep, limit).await
    }
}

#[tokio::test(start_paused = true)]
async fn the_start_of_a_short_job_is_recorded_with_its_settlement() {
    let mut scenario = Scenario::new(1, [Act::Succeed { after: Duration::from_millis(50) }]).await;
    let ledger = Watched::around(&mut scenario);
    let (_stop, _tasks) = scenario.start();
    scenario.until_running(1).await;
    assert_eq!(scenario.job().await.executions, 0);
    scenario.until("it is over", async |scenario| scenario.job().await.state == JobState::Succeeded).await;
    let job = scenario.job().await;
    assert_eq!((job.attempt, job.executions, ledger.asked()), (1, 1, vec![StartDurability::Later]));
}

#[tokio::test(start_paused = true)]
async fn start_of_long_job_is_recorded_while_it_runs() {
    let mut scenario = Scenario::new(1, [Act::Succeed { after: Duration::from_secs(5) }]).await;
    let ledger = Watched::around(&mut scenario);
    let (_stop, _tasks) = scenario.start();
    scenario.until_running(1).await;
    scenario.until("it is on record", async |scenario| scenario.job().await.executions == 1).await;
    scenario.until_running(1).await;
    scenario.until("it is over", async |scenario| scenario.job().await.state == JobState::Succeeded).await;
    assert_eq!(ledger.asked(), [StartDurability::Later, StartDurability::Underway(1)]);
    assert_eq!(scenario.job().await.executions, 1);
}

#[tokio::test(start_paused = true)]
async fn busy_worker_does_not_ask_whether_work_is_left() {
    let mut scenario = Scenario::new(1, [Act::Succeed { after: Duration::from_secs(60) }]).await;
    let ledger = Watched::around(&mut scenario);
    assert_eq!(scenario.work().await.succeeded, 1);
    // One before the job has come, and one that finds nothing; in a minute at work it would have asked 600
    // times.
    let looks = ledger.looks.load(Ordering::SeqCst);
    assert!((1..=3).contains(&looks), "{looks}");
}

#[tokio::test(start_paused = true)]
async fn unavailable_ledger_does_not_keep_slots() {
    let mut scenario = Scenario::new(1, [Act::Succeed { after: Duration::from_secs(1) }]).await;
    let ledger = Watched::around(&mut scenario);
    ledger.away.store(true, Ordering::SeqCst);
    let (_stop, _tasks) = scenario.start();
    scenario.until_running(1).await;
    scenario.until("its slot is free", async |scenario| scenario.pool().await.in_use() == 0).await;
    assert_eq!(scenario.job().await.state, JobState::Enqueued, "not settled before its start is known");
    ledger.away.store(false, Ordering::SeqCst);
    scenario.until("it is over", async |scenario| scenario.job().await.state == JobState::Succeeded).await;
    assert_eq!(scenario.job().await.executions, 1);
}

#[tokio::test(start_paused = true)]
async fn retry_is_recorded_before_it_runs() {
    let mut scenario = Scenario::new(1, [Act::Fail]).await;
    let ledger = Watched::around(&mut scenario);
    scenario.work().await;
    assert_eq!(ledger.asked(), [StartDurability::Later, StartDurability::Now, StartDurability::Now]);
    assert_eq!(scenario.job().await.executions, 3);
}

/// Also one that is quicker than any record of its start, and whose slots are held for a while by each
/// process that it killed.
#[tokio::test(start_paused = true)]
async fn a_job_that_kills_its_process_at_once_is_started_three_times_after_the_first() {
    let mut scenario = Scenario::new(1, [Act::Hang]).await;
    scenario.options.until_idle = false;
    // What a dead process would have recorded never gets there.
    Watched::around(&mut scenario).away.store(true, Ordering::SeqCst);
    let mut deaths = 0;
    let starts = || scenario.seen.starts.lock().unwrap().values().sum::<u32>();
    while scenario.job().await.state != JobState::Failed {
        let (_stop, mut tasks) = scenario.start();
        let stirs =
            async |scenario: &Scenario| starts() > deaths || scenario.job().await.state == JobState::Failed;
        scenario.until("it runs again, or is given up", stirs).await;
        deaths = starts();
        tasks.shutdown().await;
    }
    assert_eq!((deaths, scenario.job().await.executions), (4, 3));
}
