//! Bounds: no duration and no text is stored that is out of range, whoever gives it.

use std::time::Duration;

use lockgate_core::bounds::{MAX_DURATION, MAX_TEXT_BYTES};
use lockgate_core::cadence::Cadence;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{PlanStep, RunCommand, Settled};
use lockgate_core::run::RunSpec;
use lockgate_core::{EngineError, RunId, Timestamp};

use super::super::Fixture;
use super::super::desk::Desk;
use super::super::stage::{LONG, id, spec};

/// A text longer than any that is stored.
fn long() -> String {
    format!("head {} tail", "x".repeat(1_000_000))
}

fn assert_is_cut(text: Option<String>) {
    let text = text.unwrap();
    assert!(text.len() <= MAX_TEXT_BYTES, "{} bytes were stored", text.len());
    assert!(text.starts_with("head ") && text.ends_with(" tail") && text.contains("bytes cut"), "{text}");
}

/// A backend may ask for any wait, and a kind may have any backoff: the settlement is recorded, and the job comes back.
pub async fn wait_of_a_job_is_cut_to_the_longest(fixture: &dyn Fixture) {
    let (after, desk) = (Duration::MAX, Desk::new(fixture));
    for (n, outcome) in [
        Outcome::Retry { after, error: "boom".to_owned() },
        Outcome::Deferred { after, reason: "busy".to_owned() },
    ]
    .into_iter()
    .enumerate()
    {
        desk.plan(spec(&format!("r{n}")), 1).await;
        let (envelope, settled) = desk.work(outcome).await;
        assert_eq!(settled, Settled::Recorded(JobState::Scheduled));
        let job = desk.job(envelope.job).await;
        assert_eq!(job.due_at, Some(job.updated_at.plus(MAX_DURATION)));
        assert!(desk.claim().await.is_empty());
    }
}

/// A run whose deadline, batch delay or start is out of range is refused by name, and nothing is planned.
pub async fn run_with_a_duration_out_of_range_is_refused(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let too_long = MAX_DURATION + Duration::from_millis(1);
    let delayed = |batch_delay| Cadence { batch_size: 1, batch_delay };
    for (what, bad) in [
        ("deadline", RunSpec { deadline: Some(too_long), ..spec("r") }),
        ("deadline", RunSpec { deadline: Some(Duration::MAX), ..spec("r") }),
        ("batch_delay", RunSpec { cadence: delayed(too_long), ..spec("r") }),
        ("start_at", RunSpec { start_at: Some(Timestamp(i64::MAX)), ..spec("r") }),
    ] {
        let answer = desk.ledger.plan(PlanStep::Open(bad)).await;
        let Err(EngineError::Conflict { reason }) = answer else { panic!("{what}: {answer:?}") };
        assert!(reason.contains(what) && reason.contains("366 days"), "{reason}");
    }
    let longest = RunSpec { deadline: Some(MAX_DURATION), cadence: delayed(MAX_DURATION), ..spec("r") };
    let run = desk.plan(RunSpec { id: RunId(id()), ..longest }, 2).await;
    assert_eq!(desk.claim().await.len(), 1);
    let answer = desk.command(RunCommand::SetCadence { run, cadence: delayed(Duration::MAX) }).await;
    assert!(matches!(answer, Err(EngineError::Conflict { .. })), "{answer:?}");
    assert_eq!(desk.summary(run).await.run.cadence, delayed(MAX_DURATION));
}

/// Reasons and errors are stored with their head and their tail.
pub async fn long_reason_is_cut(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    for (n, outcome) in [
        Outcome::Retry { after: LONG, error: long() },
        Outcome::Deferred { after: LONG, reason: long() },
        Outcome::Skipped { reason: long() },
        Outcome::Failed { error: long() },
        Outcome::Cancelled { reason: long() },
    ]
    .into_iter()
    .enumerate()
    {
        desk.plan(spec(&format!("r{n}")), 1).await;
        let (envelope, _) = desk.work(outcome).await;
        assert_is_cut(desk.job(envelope.job).await.reason);
    }
    let run = desk.plan(spec("cancelled"), 2).await;
    let jobs = desk.claim().await;
    desk.command(RunCommand::CancelJob { job: jobs[0].job, reason: long() }).await.unwrap();
    desk.command(RunCommand::Cancel { run, reason: long() }).await.unwrap();
    for envelope in jobs {
        assert_is_cut(desk.job(envelope.job).await.reason);
    }
}
