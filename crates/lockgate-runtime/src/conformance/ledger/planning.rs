//! Planning: durable step by step, resumable, never changed once whole.

use std::time::Duration;

use lockgate_core::cadence::{Cadence, MAX_BATCH_SIZE};
use lockgate_core::ledger::{JobQuery, PlanStep, PlannedJob, RunCommand};
use lockgate_core::run::{RunSpec, RunStatus};
use lockgate_core::{EngineError, JobId, Kind, RunId, Timestamp};

use super::super::Fixture;
use super::super::desk::Desk;
use super::super::stage::{LONG, id, manifest, spec};

/// Opened, filled, sealed: all jobs are there, scheduled, in their order, with what was said of them.
pub async fn a_manifest_is_planned_as_it_was_given(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let wanted = spec("r");
    let opened = desk.step(PlanStep::Open(wanted.clone())).await;
    assert_eq!((opened.existed, opened.added, opened.run.status), (false, 0, RunStatus::Planning));
    assert_eq!((opened.run.id, &opened.run.name, &opened.run.kind), (wanted.id, &wanted.name, &wanted.kind));
    let run = wanted.id;
    let jobs = manifest(0..5);
    assert_eq!(desk.step(PlanStep::Append { run, jobs: jobs.clone() }).await.added, 5);
    let sealed = desk.step(PlanStep::Seal { run }).await.run;
    assert_eq!((sealed.status, sealed.planned, sealed.batches), (RunStatus::Active, 5, 0));
    assert!(sealed.next_due.is_some());
    let planned = desk.jobs(JobQuery { run: Some(run), ..JobQuery::default() }).await;
    let as_given = |job: &PlannedJob| (job.id, job.key.clone(), job.tenant.clone(), job.payload.clone());
    let read: Vec<_> =
        planned.iter().map(|j| (j.id, j.key.clone(), j.tenant.clone(), j.payload.clone())).collect();
    assert_eq!(read, jobs.iter().map(as_given).collect::<Vec<_>>());
    for job in planned {
        assert_eq!((job.attempt, job.executions, job.deferrals, job.batch), (0, 0, 0, None));
        assert_eq!((job.run, &job.kind), (Some(run), &wanted.kind));
    }
}

/// Nothing of a manifest goes out before it is whole.
pub async fn nothing_is_dispatched_before_the_manifest_is_whole(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.step(PlanStep::Open(spec("r"))).await.run.id;
    desk.step(PlanStep::Append { run, jobs: manifest(0..3) }).await;
    assert!(desk.claim().await.is_empty());
    desk.step(PlanStep::Seal { run }).await;
    assert_eq!(desk.claim().await.len(), 3);
}

/// A planning that was cut off is taken up under its name; keys that it has are passed over.
pub async fn a_planning_that_was_cut_off_is_taken_up_again(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let first = desk.step(PlanStep::Open(spec("r"))).await.run.id;
    let cut_off = manifest(0..3);
    desk.step(PlanStep::Append { run: first, jobs: cut_off.clone() }).await;
    let again = desk.step(PlanStep::Open(RunSpec { id: RunId(id()), ..spec("r") })).await;
    assert_eq!((again.run.id, again.existed, again.run.status), (first, true, RunStatus::Planning));
    let whole = desk.step(PlanStep::Append { run: first, jobs: manifest(0..5) }).await;
    assert_eq!(whole.added, 2);
    let sealed = desk.step(PlanStep::Seal { run: first }).await.run;
    assert_eq!(sealed.planned, 5);
    let planned = desk.jobs(JobQuery { run: Some(first), ..JobQuery::default() }).await;
    let ids: Vec<JobId> = planned.iter().take(3).map(|job| job.id).collect();
    assert_eq!(
        ids,
        cut_off.iter().map(|job| job.id).collect::<Vec<_>>(),
        "an id is used when its key is new"
    );
}

/// A key that is twice in one chunk is one job.
pub async fn a_key_is_planned_once(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.step(PlanStep::Open(spec("r"))).await.run.id;
    let jobs: Vec<PlannedJob> = manifest(0..3).into_iter().chain(manifest(0..4)).collect();
    assert_eq!(desk.step(PlanStep::Append { run, jobs: jobs.clone() }).await.added, 4);
    assert_eq!(desk.step(PlanStep::Append { run, jobs }).await.added, 0);
    assert_eq!(desk.step(PlanStep::Seal { run }).await.run.planned, 4);
}

/// The same key may be in another run.
pub async fn runs_have_their_own_keys(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let (one, two) = (desk.plan(spec("one"), 3).await, desk.plan(spec("two"), 3).await);
    assert_ne!(one, two);
    assert_eq!(desk.summary(two).await.counts.scheduled, 3);
}

/// A sealed run is answered as it stands: nothing is added, a second seal changes nothing.
pub async fn a_sealed_run_is_not_changed_by_planning(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 3).await;
    let sealed = desk.summary(run).await.run;
    let again = desk.step(PlanStep::Open(RunSpec { id: RunId(id()), ..spec("r") })).await;
    assert_eq!((&again.run, again.existed, again.added), (&sealed, true, 0));
    let late = desk.step(PlanStep::Append { run, jobs: manifest(3..6) }).await;
    assert_eq!((&late.run, late.added), (&sealed, 0));
    assert_eq!(desk.step(PlanStep::Seal { run }).await.run, sealed);
    assert_eq!(desk.summary(run).await.counts.total(), 3);
}

/// A second seal does not wind the run back when it has begun, nor put off its deadline.
pub async fn a_second_seal_changes_nothing(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(RunSpec { deadline: Some(LONG), ..spec("r") }, 3).await;
    assert_eq!(desk.claim().await.len(), 3);
    let begun = desk.summary(run).await;
    fixture.elapse(fixture.timing().heartbeat / 10).await;
    desk.step(PlanStep::Seal { run }).await;
    assert_eq!(desk.summary(run).await, begun);
    assert!(desk.claim().await.is_empty());
}

/// The name of a run of another kind, or for another hour, is taken.
pub async fn a_name_is_not_shared_by_two_kinds_or_hours(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let other_kind = RunSpec { id: RunId(id()), kind: Kind::new("other").unwrap(), ..spec("r") };
    let other_hour = RunSpec { id: RunId(id()), as_of: Timestamp(0), ..spec("r") };
    for other in [other_kind, other_hour] {
        let answer = desk.ledger.plan(PlanStep::Open(other)).await;
        assert!(matches!(answer, Err(EngineError::Conflict { .. })), "{answer:?}");
    }
}

/// A run that nobody opened is not there.
pub async fn a_run_that_was_never_opened_is_not_found(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = RunId(id());
    for step in [PlanStep::Append { run, jobs: manifest(0..1) }, PlanStep::Seal { run }] {
        let answer = desk.ledger.plan(step).await;
        assert!(matches!(answer, Err(EngineError::NotFound { .. })), "{answer:?}");
    }
}

/// An empty manifest is whole, and over.
pub async fn an_empty_run_is_over_at_once(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 0).await;
    assert!(desk.claim().await.is_empty());
    let summary = desk.summary(run).await;
    assert_eq!((summary.run.planned, summary.status()), (0, RunStatus::Finished));
}

/// A planning that is cancelled is balanced, and takes nothing more.
pub async fn a_planning_can_be_cancelled(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.step(PlanStep::Open(spec("r"))).await.run.id;
    desk.step(PlanStep::Append { run, jobs: manifest(0..3) }).await;
    let cancelled = desk.command(RunCommand::Cancel { run, reason: "wrong file".to_owned() }).await;
    assert_eq!(cancelled.unwrap(), 3);
    assert_eq!(desk.step(PlanStep::Append { run, jobs: manifest(3..6) }).await.added, 0);
    desk.step(PlanStep::Seal { run }).await;
    assert!(desk.claim().await.is_empty());
    let summary = desk.summary(run).await;
    assert_eq!((summary.run.status, summary.counts.cancelled), (RunStatus::Cancelled, 3));
    assert!(summary.balanced(), "{summary:?}");
}

/// A rhythm that cannot be kept is refused, and the one before stays.
pub async fn a_batch_size_out_of_range_is_refused(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("good"), 1).await;
    for batch_size in [0, MAX_BATCH_SIZE + 1] {
        let cadence = Cadence { batch_size, batch_delay: Duration::ZERO };
        let answer = desk.command(RunCommand::SetCadence { run, cadence }).await;
        assert!(matches!(answer, Err(EngineError::Conflict { .. })), "{answer:?}");
        assert_eq!(desk.summary(run).await.run.cadence, spec("good").cadence);
    }
}
