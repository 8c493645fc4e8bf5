//! Cases of ingestion: jobs whose messages came from elsewhere than the dispatcher.

use std::time::Duration;

use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{
    Ingestion, JobQuery, PlanStep, Planned, PlannedJob, RunCommand, Settled, SettlementToken, Started,
};
use lockgate_core::run::RunStatus;
use lockgate_core::{EngineError, Envelope, Kind, RunId};

use super::super::Fixture;
use super::super::desk::{Desk, retry};
use super::super::stage::{id, manifest, queue, spec};

async fn ingest(desk: &Desk, jobs: Vec<PlannedJob>) -> Planned {
    let (kind, queue) = (Kind::new("kind").unwrap(), queue("q"));
    desk.step(PlanStep::Ingest(Ingestion { external_run: RunId(id()), kind, queue, jobs })).await
}

/// The message that the job came with.
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

/// It has a row, in the external_run of its kind and day, before it runs; its end is counted there.
pub async fn an_adopted_job_is_started_and_settled_like_any_other(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let jobs = manifest(0..2);
    let external_run = ingest(&desk, jobs.clone()).await;
    assert_eq!((external_run.existed, external_run.added, external_run.run.planned), (false, 2, 2));
    assert!(external_run.run.name.as_str().starts_with("external-"), "{:?}", external_run.run.name);
    assert!(desk.claim().await.is_empty(), "its message is out already");
    let counts = desk.summary(external_run.run.id).await.counts;
    assert_eq!((counts.enqueued, counts.total()), (2, 2));
    let execution = desk.run(&message(&external_run, &jobs[0])).await;
    let by = SettlementToken::Execution(execution.number);
    let settled = desk.settle(jobs[0].id, by, Outcome::Succeeded).await;
    assert_eq!(settled, Settled::Recorded(JobState::Succeeded));
    assert_eq!(desk.start(&message(&external_run, &jobs[0])).await, Started::Stale);
    let job = desk.job(jobs[0].id).await;
    assert_eq!(
        (job.run, job.kind.as_str(), job.payload.as_str()),
        (Some(external_run.run.id), "kind", "{\"n\":0}")
    );
    assert_eq!(desk.summary(external_run.run.id).await.counts.succeeded, 1);
}

/// A message that is delivered again, or twice in one call, is one job.
pub async fn an_adopted_job_is_adopted_once(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let jobs = manifest(0..2);
    let first = ingest(&desk, jobs.clone()).await;
    desk.run(&message(&first, &jobs[0])).await;
    let again = ingest(&desk, vec![jobs[0].clone(), jobs[1].clone(), jobs[0].clone()]).await;
    assert_eq!((again.run.id, again.existed, again.added, again.run.planned), (first.run.id, true, 0, 2));
    assert_eq!(desk.job(jobs[0].id).await.executions, 1);
}

/// Two messages about the same organization are two jobs: nothing is dropped silently.
pub async fn two_adopted_jobs_may_have_one_key(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let (mut jobs, other) = (manifest(0..1), manifest(0..2));
    jobs.extend(other.clone());
    let external_run = ingest(&desk, jobs.clone()).await;
    assert_eq!((external_run.added, external_run.run.planned), (3, 3));
    let key = desk.job(other[0].id).await.key;
    assert_eq!(key.as_str(), format!("k0/{}", other[0].id));
    assert_eq!(desk.job(jobs[0].id).await.key.as_str(), "k0");
    let all = desk.jobs(JobQuery { run: Some(external_run.run.id), ..JobQuery::default() }).await;
    assert_eq!(all.len(), 3);
}

/// Once it has a row, the ledger sends its messages.
pub async fn a_retry_of_an_adopted_job_goes_out_by_the_dispatcher(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let jobs = manifest(0..1);
    let external_run = ingest(&desk, jobs.clone()).await;
    let execution = desk.run(&message(&external_run, &jobs[0])).await;
    desk.settle(jobs[0].id, SettlementToken::Execution(execution.number), retry(Duration::ZERO)).await;
    let envelope = desk.dispatch_one().await;
    assert_eq!((envelope.job, envelope.dispatch, envelope.queue), (jobs[0].id, 2, queue("q")));
    assert_eq!(envelope.run, Some(external_run.run.id));
    assert_eq!(
        desk.start(&message(&external_run, &jobs[0])).await,
        Started::Stale,
        "the first message is old by now"
    );
}

/// A client's run that took the name of an external run would leave external messages without a run, until the day is over.
pub async fn name_of_an_external_run_is_reserved(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let external_run = ingest(&desk, manifest(0..1)).await.run.name;
    for name in [external_run.as_str(), "external-2999-12-31-kind", "external-"] {
        let answer = desk.ledger.plan(PlanStep::Open(spec(name))).await;
        let Err(EngineError::Conflict { reason }) = answer else { panic!("{name}: {answer:?}") };
        assert!(reason.contains(name) && reason.contains("choose another name"), "{reason}");
    }
    desk.plan(spec("external_run"), 1).await;
    assert_eq!(ingest(&desk, manifest(1..2)).await.added, 1);
}

/// An external_run is paused like any run; what comes meanwhile waits in the ledger.
pub async fn a_paused_inbox_starts_nothing(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let jobs = manifest(0..2);
    let external_run = ingest(&desk, jobs[..1].to_vec()).await;
    desk.command(RunCommand::Pause(external_run.run.id)).await.unwrap();
    let later = ingest(&desk, jobs[1..].to_vec()).await;
    assert_eq!((later.added, later.run.status), (1, RunStatus::Paused));
    for job in &jobs {
        assert_eq!(desk.start(&message(&external_run, job)).await, Started::Paused);
    }
    assert!(desk.claim().await.is_empty());
    desk.command(RunCommand::Resume(external_run.run.id)).await.unwrap();
    assert_eq!(desk.claim().await.len(), 2);
}

/// A cancelled external_run has ended what was in it, and nothing else.
pub async fn a_cancelled_inbox_is_open_for_what_comes_after(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let jobs = manifest(0..2);
    let external_run = ingest(&desk, jobs[..1].to_vec()).await;
    let cancel = RunCommand::Cancel { run: external_run.run.id, reason: "no".to_owned() };
    assert_eq!(desk.command(cancel).await.unwrap(), 1);
    let later = ingest(&desk, jobs[1..].to_vec()).await;
    assert_eq!(later.run.status, RunStatus::Active);
    assert_eq!(desk.start(&message(&external_run, &jobs[0])).await, Started::Stale);
    desk.run(&message(&external_run, &jobs[1])).await;
}
