//! Reading runs and jobs: filters, order, pages, and balanced counts.

use std::time::Duration;

use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{JobQuery, Report, RunQuery, Settlement, SettlementToken};
use lockgate_core::run::{RunSpec, RunStatus};
use lockgate_core::{JobId, Key, RunId, RunName};

use super::super::Fixture;
use super::super::ledger_driver::{LedgerDriver, failed};
use super::super::samples::{id, manifest, spec};

fn keys(jobs: &[lockgate_core::job::JobRow]) -> Vec<&str> {
    jobs.iter().map(|job| job.key.as_str()).collect()
}

/// Runs are returned newest first, filtered by name or id, up to the page size.
pub async fn runs_are_read_newest_first(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(driver.plan(spec(&format!("r{n}")), n).await);
        fixture.elapse(Duration::from_millis(2)).await;
    }
    let read =
        |runs: Vec<lockgate_core::run::RunSummary>| runs.iter().map(|r| r.run.id).collect::<Vec<RunId>>();
    assert_eq!(read(driver.runs(RunQuery::default()).await), [ids[2], ids[1], ids[0]]);
    assert_eq!(read(driver.runs(RunQuery { limit: 2, ..RunQuery::default() }).await), [ids[2], ids[1]]);
    for name in ["r1".to_owned(), ids[1].to_string()] {
        let query = RunQuery { run: Some(RunName::new(name).unwrap()), ..RunQuery::default() };
        assert_eq!(read(driver.runs(query).await), [ids[1]]);
    }
    let nobody = RunQuery { run: Some(RunName::new("r").unwrap()), ..RunQuery::default() };
    assert!(driver.runs(nobody).await.is_empty());
}

/// Each filter of a query selects jobs alone and together with the others.
pub async fn jobs_are_filtered_by_run_state_key_and_id(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let (one, two) = (driver.plan(spec("one"), 3).await, driver.plan(spec("two"), 2).await);
    let envelope = driver.claim().await.remove(1);
    driver.settle(envelope.job, SettlementToken::Delivery(1), failed()).await;
    let of = |run| JobQuery { run: Some(run), ..JobQuery::default() };
    assert_eq!(keys(&driver.jobs(of(one)).await), ["k0", "k1", "k2"]);
    assert_eq!(keys(&driver.jobs(of(two)).await), ["k0", "k1"]);
    let failed = driver.jobs(JobQuery { states: vec![JobState::Failed, JobState::Skipped], ..of(one) }).await;
    assert_eq!(keys(&failed), ["k1"]);
    let key = Some(Key::new("k1").unwrap());
    assert_eq!(driver.jobs(JobQuery { key, ..JobQuery::default() }).await.len(), 2);
    let ids = vec![envelope.job, JobId(id())];
    assert_eq!(keys(&driver.jobs(JobQuery { ids, ..JobQuery::default() }).await), ["k1"]);
}

/// The pages together return every job once, in planning order.
pub async fn pages_cover_every_job_once(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("before"), 3).await;
    let run = driver.plan(spec("r"), 25).await;
    let mut read = Vec::new();
    let mut after = None;
    for _ in 0..4 {
        let page = driver.jobs(JobQuery { run: Some(run), after, limit: 10, ..JobQuery::default() }).await;
        assert!(page.len() <= 10);
        after = page.last().map(|last| last.id).or(after);
        read.extend(page);
    }
    let wanted: Vec<String> = (0..25).map(|n| format!("k{n}")).collect();
    assert_eq!(keys(&read), wanted.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The default page size is 100.
pub async fn default_page_has_a_hundred_jobs(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 120).await;
    assert_eq!(driver.jobs(JobQuery { run: Some(run), ..JobQuery::default() }).await.len(), 100);
    let more = JobQuery { run: Some(run), limit: 1_000, ..JobQuery::default() };
    assert_eq!(driver.jobs(more).await.len(), 120);
}

/// A query can return the keys that one run has and another lacks, in both directions.
pub async fn runs_are_compared_by_key(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let one = driver.plan(spec("one"), 5).await;
    let two = driver.step(lockgate_core::ledger::PlanStep::Open(spec("two"))).await.run.id;
    driver.step(lockgate_core::ledger::PlanStep::Append { run: two, jobs: manifest(3..8) }).await;
    driver.step(lockgate_core::ledger::PlanStep::Seal { run: two }).await;
    let absent = |run, from| JobQuery { run: Some(run), absent_from: Some(from), ..JobQuery::default() };
    assert_eq!(keys(&driver.jobs(absent(one, two)).await), ["k0", "k1", "k2"]);
    assert_eq!(keys(&driver.jobs(absent(two, one)).await), ["k5", "k6", "k7"]);
    assert!(driver.jobs(absent(one, one)).await.is_empty());
}

/// A run is finished as soon as every job is. The status is computed when it is read, not stored.
pub async fn run_is_finished_when_every_job_is_finished(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 2).await;
    for (n, envelope) in driver.claim().await.into_iter().enumerate() {
        assert_eq!(driver.summary(run).await.status(), RunStatus::Active, "{n} jobs are finished");
        driver.settle(envelope.job, SettlementToken::Delivery(1), Outcome::Succeeded).await;
    }
    let summary = driver.summary(run).await;
    assert_eq!((summary.status(), summary.run.status), (RunStatus::Finished, RunStatus::Active));
}

/// On request, a run shows when its jobs were settled and how long they waited.
pub async fn run_shows_timing_on_request(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 100).await;
    let query = RunQuery { timing: true, ..RunQuery::default() };
    assert_eq!(driver.runs(query.clone()).await[0].timing, None, "no job has run yet");
    let mut reports = Vec::new();
    for (n, envelope) in (1..).zip(driver.claim().await) {
        let by = SettlementToken::Execution(driver.run(&envelope).await.number);
        let (waited, ran) = (Duration::from_millis(n), Duration::from_millis(1));
        reports.push(Report::Settled(Settlement {
            job: envelope.job,
            token: by,
            outcome: Outcome::Succeeded,
            waited,
            ran,
        }));
    }
    driver.ledger.settle(reports).await.unwrap();
    assert_eq!(driver.summary(run).await.timing, None, "the query did not request it");
    let timing = driver.runs(query).await[0].timing.unwrap();
    assert!((49..=51).contains(&timing.wait_p50.as_millis()), "{timing:?}");
    assert!((98..=100).contains(&timing.wait_p99.as_millis()), "{timing:?}");
    assert!(timing.first <= timing.last);
}

/// Another process reads the same runs and jobs.
pub async fn all_processes_read_the_same(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(RunSpec { deadline: Some(Duration::from_secs(60)), ..spec("r") }, 3).await;
    driver.claim().await;
    let other = fixture.second().await.ledger;
    assert_eq!(other.runs(RunQuery::default()).await.unwrap(), driver.runs(RunQuery::default()).await);
    let query = JobQuery { run: Some(run), ..JobQuery::default() };
    assert_eq!(other.jobs(query.clone()).await.unwrap(), driver.jobs(query).await);
}
