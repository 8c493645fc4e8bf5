//! Bounds: the ledger stores no duration and no text that is out of range.

use std::time::Duration;

use lockgate_core::bounds::{MAX_DURATION, MAX_TEXT_BYTES};
use lockgate_core::cadence::Cadence;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{PlanStep, RunCommand, Settled};
use lockgate_core::run::RunSpec;
use lockgate_core::{EngineError, RunId, Timestamp};

use super::super::Fixture;
use super::super::ledger_driver::LedgerDriver;
use super::super::samples::{LONG, id, spec};

/// Returns a text longer than the longest that a ledger stores.
fn long() -> String {
    format!("head {} tail", "x".repeat(1_000_000))
}

fn assert_is_cut(text: Option<String>) {
    let text = text.unwrap();
    assert!(text.len() <= MAX_TEXT_BYTES, "{} bytes were stored", text.len());
    assert!(text.starts_with("head ") && text.ends_with(" tail") && text.contains("bytes cut"), "{text}");
}

/// A backend may request any wait, and a kind may have any backoff. The settlement is recorded with the
/// longest allowed wait.
pub async fn too_long_wait_is_shortened(fixture: &dyn Fixture) {
    let (after, driver) = (Duration::MAX, LedgerDriver::new(fixture));
    for (n, outcome) in [
        Outcome::Retry { after, error: "boom".to_owned() },
        Outcome::Deferred { after, reason: "busy".to_owned() },
    ]
    .into_iter()
    .enumerate()
    {
        driver.plan(spec(&format!("r{n}")), 1).await;
        let (envelope, settled) = driver.work(outcome).await;
        assert_eq!(settled, Settled::Recorded(JobState::Scheduled));
        let job = driver.job(envelope.job).await;
        assert_eq!(job.due_at, Some(job.updated_at.plus(MAX_DURATION)));
        assert!(driver.claim().await.is_empty());
    }
}

/// A run whose deadline, batch delay or start is out of range is refused. The error names the field, and no
/// run is created.
pub async fn run_with_out_of_range_duration_is_refused(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let too_long = MAX_DURATION + Duration::from_millis(1);
    let delayed = |batch_delay| Cadence { batch_size: 1, batch_delay };
    for (what, bad) in [
        ("deadline", RunSpec { deadline: Some(too_long), ..spec("r") }),
        ("deadline", RunSpec { deadline: Some(Duration::MAX), ..spec("r") }),
        ("batch_delay", RunSpec { cadence: delayed(too_long), ..spec("r") }),
        ("start_at", RunSpec { start_at: Some(Timestamp(i64::MAX)), ..spec("r") }),
    ] {
        let answer = driver.ledger.plan(PlanStep::Open(bad)).await;
        let Err(EngineError::Conflict { reason }) = answer else { panic!("{what}: {answer:?}") };
        assert!(reason.contains(what) && reason.contains("366 days"), "{reason}");
    }
    let longest = RunSpec { deadline: Some(MAX_DURATION), cadence: delayed(MAX_DURATION), ..spec("r") };
    let run = driver.plan(RunSpec { id: RunId(id()), ..longest }, 2).await;
    assert_eq!(driver.claim().await.len(), 1);
    let answer = driver.command(RunCommand::SetCadence { run, cadence: delayed(Duration::MAX) }).await;
    assert!(matches!(answer, Err(EngineError::Conflict { .. })), "{answer:?}");
    assert_eq!(driver.summary(run).await.run.cadence, delayed(MAX_DURATION));
}

/// Long reasons and errors are stored with their beginning and their end.
pub async fn long_reason_is_truncated(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
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
        driver.plan(spec(&format!("r{n}")), 1).await;
        let (envelope, _) = driver.work(outcome).await;
        assert_is_cut(driver.job(envelope.job).await.reason);
    }
    let run = driver.plan(spec("cancelled"), 2).await;
    let jobs = driver.claim().await;
    driver.command(RunCommand::CancelJob { job: jobs[0].job, reason: long() }).await.unwrap();
    driver.command(RunCommand::Cancel { run, reason: long() }).await.unwrap();
    for envelope in jobs {
        assert_is_cut(driver.job(envelope.job).await.reason);
    }
}
