//! Ingestion: jobs whose messages were published by another client than the dispatcher.

use std::time::Duration;

use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{
    Ingestion, JobQuery, PlanStep, Planned, PlannedJob, RunCommand, Settled, SettlementToken, Started,
};
use lockgate_core::run::RunStatus;
use lockgate_core::{EngineError, Envelope, Kind, RunId};

use super::super::Fixture;
use super::super::ledger_driver::{LedgerDriver, retry};
use super::super::samples::{id, manifest, queue, spec};

async fn ingest(driver: &LedgerDriver, jobs: Vec<PlannedJob>) -> Planned {
    let (kind, queue) = (Kind::new("kind").unwrap(), queue("q"));
    driver.step(PlanStep::Ingest(Ingestion { external_run: RunId(id()), kind, queue, jobs })).await
}

/// The message that brought the job.
fn message(external_run: &Planned, job: &PlannedJob) -> Envelope {
    Envelope {
        job: job.id,
        kind: external_run.run.kind.clone(),
        key: job.key.clone(),
        tenant: job.tenant.clone(),
        run: None,
        queue: queue("q"),
        dispatch: 1,
        payload: job.payload.clone(),
    }
}

/// Before an ingested job starts, it gets a row in the external run of its kind and day. Its outcome counts
/// in that run.
pub async fn ingested_job_is_started_and_settled_like_any_other(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let jobs = manifest(0..2);
    let external_run = ingest(&driver, jobs.clone()).await;
    assert_eq!((external_run.existed, external_run.added, external_run.run.planned), (false, 2, 2));
    assert!(external_run.run.name.as_str().starts_with("external-"), "{:?}", external_run.run.name);
    assert!(driver.claim().await.is_empty(), "its message is already in the broker");
    let counts = driver.summary(external_run.run.id).await.counts;
    assert_eq!((counts.enqueued, counts.total()), (2, 2));
    let execution = driver.run(&message(&external_run, &jobs[0])).await;
    let by = SettlementToken::Execution(execution.number);
    let settled = driver.settle(jobs[0].id, by, Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
    assert_eq!(driver.start(&message(&external_run, &jobs[0])).await, Started::Stale);
    let job = driver.job(jobs[0].id).await;
    assert_eq!(
        (job.run, job.kind.as_str(), job.payload.as_str()),
        (Some(external_run.run.id), "kind", "{\"n\":0}")
    );
    assert_eq!(driver.summary(external_run.run.id).await.counts.succeeded, 1);
}

/// A message that is delivered again, or twice in one call, creates one job.
pub async fn redelivered_message_is_ingested_once(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let jobs = manifest(0..2);
    let first = ingest(&driver, jobs.clone()).await;
    driver.run(&message(&first, &jobs[0])).await;
    let again = ingest(&driver, vec![jobs[0].clone(), jobs[1].clone(), jobs[0].clone()]).await;
    assert_eq!((again.run.id, again.existed, again.added, again.run.planned), (first.run.id, true, 0, 2));
    assert_eq!(driver.job(jobs[0].id).await.executions, 1);
}

/// Two messages with the same key are two jobs: no message is dropped silently.
pub async fn ingested_jobs_may_share_a_key(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let (mut jobs, other) = (manifest(0..1), manifest(0..2));
    jobs.extend(other.clone());
    let external_run = ingest(&driver, jobs.clone()).await;
    assert_eq!((external_run.added, external_run.run.planned), (3, 3));
    let key = driver.job(other[0].id).await.key;
    assert_eq!(key.as_str(), format!("k0/{}", other[0].id));
    assert_eq!(driver.job(jobs[0].id).await.key.as_str(), "k0");
    let all = driver.jobs(JobQuery { run: Some(external_run.run.id), ..JobQuery::default() }).await;
    assert_eq!(all.len(), 3);
}

/// Once a job has a row, the dispatcher publishes its messages.
pub async fn retry_of_ingested_job_is_dispatched(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let jobs = manifest(0..1);
    let external_run = ingest(&driver, jobs.clone()).await;
    let execution = driver.run(&message(&external_run, &jobs[0])).await;
    driver.settle(jobs[0].id, SettlementToken::Execution(execution.number), retry(Duration::ZERO)).await;
    let envelope = driver.dispatch_one().await;
    assert_eq!((envelope.job, envelope.dispatch, envelope.queue), (jobs[0].id, 2, queue("q")));
    assert_eq!(envelope.run, Some(external_run.run.id));
    assert_eq!(
        driver.start(&message(&external_run, &jobs[0])).await,
        Started::Stale,
        "the first message is stale"
    );
}

/// The names of external runs are reserved. A client's run with such a name would leave external messages
/// without a run until the end of the day.
pub async fn name_of_an_external_run_is_reserved(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let external_run = ingest(&driver, manifest(0..1)).await.run.name;
    for name in [external_run.as_str(), "external-2999-12-31-kind", "external-"] {
        let answer = driver.ledger.plan(PlanStep::Open(spec(name))).await;
        let Err(EngineError::Conflict { reason }) = answer else { panic!("{name}: {answer:?}") };
        assert!(reason.contains(name) && reason.contains("choose another name"), "{reason}");
    }
    driver.plan(spec("external_run"), 1).await;
    assert_eq!(ingest(&driver, manifest(1..2)).await.added, 1);
}

/// An external run is paused like any other. Jobs that are ingested in the meantime wait in the ledger.
pub async fn paused_external_run_starts_nothing(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let jobs = manifest(0..2);
    let external_run = ingest(&driver, jobs[..1].to_vec()).await;
    driver.command(RunCommand::Pause(external_run.run.id)).await.unwrap();
    let later = ingest(&driver, jobs[1..].to_vec()).await;
    assert_eq!((later.added, later.run.status), (1, RunStatus::Paused));
    for job in &jobs {
        assert_eq!(driver.start(&message(&external_run, job)).await, Started::Paused);
    }
    assert!(driver.claim().await.is_empty());
    driver.command(RunCommand::Resume(external_run.run.id)).await.unwrap();
    assert_eq!(driver.claim().await.len(), 2);
}

/// Cancelling an external run cancels the jobs that it contains. Jobs that are ingested later run.
pub async fn cancelled_external_run_accepts_new_jobs(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let jobs = manifest(0..2);
    let external_run = ingest(&driver, jobs[..1].to_vec()).await;
    let cancel = RunCommand::Cancel { run: external_run.run.id, reason: "no".to_owned() };
    assert_eq!(driver.command(cancel).await.unwrap(), 1);
    let later = ingest(&driver, jobs[1..].to_vec()).await;
    assert_eq!(later.run.status, RunStatus::Active);
    assert_eq!(driver.start(&message(&external_run, &jobs[0])).await, Started::Stale);
    driver.run(&message(&external_run, &jobs[1])).await;
}
