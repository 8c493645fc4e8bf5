//! Planning: each step is durable, planning can continue after an interruption, and a sealed run does not
//! change.

use std::time::Duration;

use lockgate_core::cadence::{Cadence, MAX_BATCH_SIZE};
use lockgate_core::ledger::{JobQuery, PlanStep, PlannedJob, RunCommand};
use lockgate_core::run::{RunSpec, RunStatus};
use lockgate_core::{EngineError, JobId, Kind, RunId, Timestamp};

use super::super::Fixture;
use super::super::ledger_driver::LedgerDriver;
use super::super::samples::{LONG, id, manifest, spec};

/// A run that is opened, filled and sealed contains all its jobs, scheduled, in order and with their data.
pub async fn manifest_is_planned_unchanged(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let wanted = spec("r");
    let opened = driver.step(PlanStep::Open(wanted.clone())).await;
    assert_eq!((opened.existed, opened.added, opened.run.status), (false, 0, RunStatus::Planning));
    assert_eq!((opened.run.id, &opened.run.name, &opened.run.kind), (wanted.id, &wanted.name, &wanted.kind));
    let run = wanted.id;
    let jobs = manifest(0..5);
    assert_eq!(driver.step(PlanStep::Append { run, jobs: jobs.clone() }).await.added, 5);
    let sealed = driver.step(PlanStep::Seal { run }).await.run;
    assert_eq!((sealed.status, sealed.planned, sealed.batches), (RunStatus::Active, 5, 0));
    assert!(sealed.next_due.is_some());
    let planned = driver.jobs(JobQuery { run: Some(run), ..JobQuery::default() }).await;
    let as_given = |job: &PlannedJob| (job.id, job.key.clone(), job.tenant.clone(), job.payload.clone());
    let read: Vec<_> =
        planned.iter().map(|j| (j.id, j.key.clone(), j.tenant.clone(), j.payload.clone())).collect();
    assert_eq!(read, jobs.iter().map(as_given).collect::<Vec<_>>());
    for job in planned {
        assert_eq!((job.attempt, job.executions, job.deferrals, job.batch), (0, 0, 0, None));
        assert_eq!((job.run, &job.kind), (Some(run), &wanted.kind));
    }
}

/// No job is dispatched before the manifest is complete.
pub async fn nothing_is_dispatched_before_run_is_sealed(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.step(PlanStep::Open(spec("r"))).await.run.id;
    driver.step(PlanStep::Append { run, jobs: manifest(0..3) }).await;
    assert!(driver.claim().await.is_empty());
    driver.step(PlanStep::Seal { run }).await;
    assert_eq!(driver.claim().await.len(), 3);
}

/// Interrupted planning continues under the name of the run. Keys that the run already has are skipped.
pub async fn interrupted_planning_can_continue(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let first = driver.step(PlanStep::Open(spec("r"))).await.run.id;
    let cut_off = manifest(0..3);
    driver.step(PlanStep::Append { run: first, jobs: cut_off.clone() }).await;
    let again = driver.step(PlanStep::Open(RunSpec { id: RunId(id()), ..spec("r") })).await;
    assert_eq!((again.run.id, again.existed, again.run.status), (first, true, RunStatus::Planning));
    let whole = driver.step(PlanStep::Append { run: first, jobs: manifest(0..5) }).await;
    assert_eq!(whole.added, 2);
    let sealed = driver.step(PlanStep::Seal { run: first }).await.run;
    assert_eq!(sealed.planned, 5);
    let planned = driver.jobs(JobQuery { run: Some(first), ..JobQuery::default() }).await;
    let ids: Vec<JobId> = planned.iter().take(3).map(|job| job.id).collect();
    assert_eq!(
        ids,
        cut_off.iter().map(|job| job.id).collect::<Vec<_>>(),
        "an id is stored only if its key is new"
    );
}

/// A key that appears twice in one call creates one job.
pub async fn key_is_planned_once_per_run(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.step(PlanStep::Open(spec("r"))).await.run.id;
    let jobs: Vec<PlannedJob> = manifest(0..3).into_iter().chain(manifest(0..4)).collect();
    assert_eq!(driver.step(PlanStep::Append { run, jobs: jobs.clone() }).await.added, 4);
    assert_eq!(driver.step(PlanStep::Append { run, jobs }).await.added, 0);
    assert_eq!(driver.step(PlanStep::Seal { run }).await.run.planned, 4);
}

/// Two runs may contain the same key.
pub async fn runs_may_share_keys(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let (one, two) = (driver.plan(spec("one"), 3).await, driver.plan(spec("two"), 3).await);
    assert_ne!(one, two);
    assert_eq!(driver.summary(two).await.counts.scheduled, 3);
}

/// Planning steps return a sealed run unchanged and add no job.
pub async fn sealed_run_accepts_no_more_jobs(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 3).await;
    let sealed = driver.summary(run).await.run;
    let again = driver.step(PlanStep::Open(RunSpec { id: RunId(id()), ..spec("r") })).await;
    assert_eq!((&again.run, again.existed, again.added), (&sealed, true, 0));
    let late = driver.step(PlanStep::Append { run, jobs: manifest(3..6) }).await;
    assert_eq!((&late.run, late.added), (&sealed, 0));
    assert_eq!(driver.step(PlanStep::Seal { run }).await.run, sealed);
    assert_eq!(driver.summary(run).await.counts.total(), 3);
}

/// A second seal neither restarts a run that has begun nor extends its deadline.
pub async fn second_seal_changes_nothing(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(RunSpec { deadline: Some(LONG), ..spec("r") }, 3).await;
    assert_eq!(driver.claim().await.len(), 3);
    let begun = driver.summary(run).await;
    fixture.elapse(fixture.timing().heartbeat / 10).await;
    driver.step(PlanStep::Seal { run }).await;
    assert_eq!(driver.summary(run).await, begun);
    assert!(driver.claim().await.is_empty());
}

/// A run name that is used for another kind or another hour is refused.
pub async fn run_name_cannot_be_reused_for_other_kind_or_hour(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let other_kind = RunSpec { id: RunId(id()), kind: Kind::new("other").unwrap(), ..spec("r") };
    let other_hour = RunSpec { id: RunId(id()), as_of: Timestamp(0), ..spec("r") };
    for other in [other_kind, other_hour] {
        let answer = driver.ledger.plan(PlanStep::Open(other)).await;
        assert!(matches!(answer, Err(EngineError::Conflict { .. })), "{answer:?}");
    }
}

/// Planning steps for a run that was never opened return `NotFound`.
pub async fn unopened_run_is_not_found(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = RunId(id());
    for step in [PlanStep::Append { run, jobs: manifest(0..1) }, PlanStep::Seal { run }] {
        let answer = driver.ledger.plan(step).await;
        assert!(matches!(answer, Err(EngineError::NotFound { .. })), "{answer:?}");
    }
}

/// A sealed run without jobs is finished.
pub async fn empty_run_is_finished_at_once(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 0).await;
    assert!(driver.claim().await.is_empty());
    let summary = driver.summary(run).await;
    assert_eq!((summary.run.planned, summary.status()), (0, RunStatus::Finished));
}

/// A run that is cancelled during planning is balanced and accepts no more jobs.
pub async fn planning_can_be_cancelled(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.step(PlanStep::Open(spec("r"))).await.run.id;
    driver.step(PlanStep::Append { run, jobs: manifest(0..3) }).await;
    let cancelled = driver.command(RunCommand::Cancel { run, reason: "wrong file".to_owned() }).await;
    assert_eq!(cancelled.unwrap(), 3);
    assert_eq!(driver.step(PlanStep::Append { run, jobs: manifest(3..6) }).await.added, 0);
    driver.step(PlanStep::Seal { run }).await;
    assert!(driver.claim().await.is_empty());
    let summary = driver.summary(run).await;
    assert_eq!((summary.run.status, summary.counts.cancelled), (RunStatus::Cancelled, 3));
    assert!(summary.balanced(), "{summary:?}");
}

/// An out-of-range cadence is refused, and the previous one stays.
pub async fn out_of_range_batch_size_is_refused(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("good"), 1).await;
    for batch_size in [0, MAX_BATCH_SIZE + 1] {
        let cadence = Cadence { batch_size, batch_delay: Duration::ZERO };
        let answer = driver.command(RunCommand::SetCadence { run, cadence }).await;
        assert!(matches!(answer, Err(EngineError::Conflict { .. })), "{answer:?}");
        assert_eq!(driver.summary(run).await.run.cadence, spec("good").cadence);
    }
}
