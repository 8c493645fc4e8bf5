//! Dispatching: batches follow their cadence, retries are due at their time, and no job is lost between claim
//! and publication.

use std::time::Duration;

use lockgate_core::cadence::Cadence;
use lockgate_core::job::JobState;
use lockgate_core::ledger::{JobQuery, Settled};
use lockgate_core::run::RunSpec;
use lockgate_core::{Envelope, RunId};
use tokio::time::Instant;

use super::super::Fixture;
use super::super::ledger_driver::{LedgerDriver, retry};
use super::super::samples::{LONG, spec};
use super::super::waiting::{ROUNDING, eventually};

fn in_batches(name: &str, batch_size: u32, batch_delay: Duration) -> RunSpec {
    RunSpec { cadence: Cadence { batch_size, batch_delay }, ..spec(name) }
}

fn keys(envelopes: &[Envelope]) -> Vec<&str> {
    envelopes.iter().map(|envelope| envelope.key.as_str()).collect()
}

async fn batches(driver: &LedgerDriver, run: RunId) -> Vec<Option<u32>> {
    driver
        .jobs(JobQuery { run: Some(run), ..JobQuery::default() })
        .await
        .iter()
        .map(|job| job.batch)
        .collect()
}

/// An envelope carries the job's data. The first dispatch has number 1, and the batch number is stored in the
/// job's row.
pub async fn batch_is_claimed_in_planning_order(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(in_batches("r", 2, LONG), 5).await;
    let claimed = driver.claim().await;
    assert_eq!(keys(&claimed), ["k0", "k1"]);
    let job = driver.job(claimed[0].job).await;
    let wanted = Envelope {
        job: job.id,
        kind: job.kind,
        key: job.key,
        tenant: job.tenant,
        run: Some(run),
        queue: spec("r").queue,
        dispatch: 1,
        payload: job.payload,
    };
    assert_eq!(claimed[0], wanted);
    assert_eq!(batches(&driver, run).await, [Some(1), Some(1), None, None, None]);
    assert_eq!(driver.summary(run).await.run.batches, 1);
}

/// A batch is due when its delay has passed, and not before. After the last batch nothing is due.
pub async fn batches_follow_cadence(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let delay = fixture.timing().heartbeat * 4;
    let began = Instant::now();
    let run = driver.plan(in_batches("r", 2, delay), 5).await;
    for (gaps, wanted) in [(0, ["k0", "k1"].as_slice()), (1, &["k2", "k3"]), (2, &["k4"])] {
        let due = async || Some(driver.claim().await).filter(|claimed| !claimed.is_empty());
        assert_eq!(keys(&eventually(fixture, "the next batch is due", due).await), wanted);
        assert!(began.elapsed() + ROUNDING >= delay * gaps, "batch {} is early", gaps + 1);
    }
    assert_eq!(batches(&driver, run).await, [Some(1), Some(1), Some(2), Some(2), Some(3)]);
    let after = driver.summary(run).await.run;
    assert_eq!((after.batches, after.next_due), (3, None));
}

/// The next due time that a claim returns is not late, and not much too early.
pub async fn claim_returns_next_due_time(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let nothing = driver.ledger.claim(10, LONG).await.unwrap();
    assert_eq!(nothing.next_due, None, "no job will become due");
    driver.plan(in_batches("r", 2, Duration::from_secs(60)), 3).await;
    let claimed = driver.ledger.claim(2, LONG).await.unwrap();
    let next = claimed.next_due.unwrap();
    assert!(next > Duration::from_secs(50) && next <= Duration::from_secs(60), "{next:?}");
}

/// After an outage, at most one missed batch is dispatched at once.
pub async fn missed_batches_are_not_dispatched_together(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let delay = fixture.timing().heartbeat * 2;
    driver.plan(in_batches("r", 1, delay), 20).await;
    driver.claim().await;
    fixture.elapse(delay * 5).await;
    let at_once = driver.claim().await.len() + driver.claim().await.len() + driver.claim().await.len();
    assert!((1..=3).contains(&at_once), "{at_once} batches at once, after an outage of five");
    if fixture.capabilities().virtual_time {
        assert_eq!(at_once, 2);
    }
}

/// A run is not due before its start time.
pub async fn run_starts_at_its_start_time(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let now = driver.plan(spec("now"), 0).await;
    let start = driver.summary(now).await.run.created_at.plus(Duration::from_secs(3_600));
    let run = driver.plan(RunSpec { start_at: Some(start), ..spec("later") }, 1).await;
    assert!(driver.claim().await.is_empty());
    assert_eq!(driver.summary(run).await.run.next_due, Some(start));
}

/// A claimed job is not claimed again while its publication may be in progress.
pub async fn two_dispatchers_never_claim_the_same_job(fixture: &dyn Fixture) {
    let (driver, other) = (LedgerDriver::new(fixture), fixture.second().await.ledger);
    driver.plan(in_batches("r", 7, Duration::ZERO), 50).await;
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let (one, two) = tokio::join!(driver.ledger.claim(7, LONG), other.claim(7, LONG));
        let claimed: Vec<Envelope> = [one.unwrap().envelopes, two.unwrap().envelopes].concat();
        if claimed.is_empty() {
            break;
        }
        for envelope in claimed {
            assert!(seen.insert(envelope.key.clone()), "{} was claimed twice", envelope.key);
        }
    }
    assert_eq!(seen.len(), 50);
}

/// A claim that is not reported as published, because its dispatcher died, is due again with a new dispatch
/// number.
pub async fn unpublished_claim_is_due_again(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    let run = driver.plan(spec("r"), 1).await;
    let lost = driver.claim_for(fixture.timing().heartbeat).await.remove(0);
    let due = async || driver.claim().await.pop();
    let again = eventually(fixture, "the claim is due again", due).await;
    assert_eq!((again.job, again.dispatch), (lost.job, 2));
    assert_eq!(driver.published(&lost).await, Settled::Stale, "a report for the earlier dispatch");
    assert_eq!(driver.summary(run).await.counts.scheduled, 1);
    assert_eq!(driver.published(&again).await, Settled::Recorded(JobState::Enqueued));
    assert_eq!(driver.published(&again).await, Settled::Stale, "a repeated report");
    assert_eq!(driver.summary(run).await.run.batches, 1, "a second dispatch does not count as a batch");
}

/// A job that is reported as published is not due again.
pub async fn published_job_is_not_due_again(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let hold = fixture.timing().heartbeat;
    let claimed = driver.claim_for(hold).await.remove(0);
    driver.published(&claimed).await;
    fixture.elapse(hold * 2).await;
    assert!(driver.claim().await.is_empty());
    let job = driver.job(claimed.job).await;
    assert_eq!((job.state, job.due_at), (JobState::Enqueued, None));
}

/// A retry is due when its wait has passed, and not before.
pub async fn retry_is_due_after_its_wait(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 1).await;
    let wait = fixture.timing().heartbeat * 2;
    let before = Instant::now();
    let (first, settled) = driver.work(retry(wait)).await;
    assert_eq!(settled, Settled::Recorded(JobState::Scheduled));
    let due = async || driver.claim().await.pop();
    let second = eventually(fixture, "the retry is due", due).await;
    assert!(before.elapsed() + ROUNDING >= wait, "early");
    assert_eq!((second.job, second.dispatch), (first.job, 2));
}

/// A claim returns at most the requested number of retries. The next claim returns the rest.
pub async fn claim_size_bounds_retries(fixture: &dyn Fixture) {
    let driver = LedgerDriver::new(fixture);
    driver.plan(spec("r"), 10).await;
    driver.claim_for(Duration::ZERO).await;
    fixture.elapse(Duration::from_millis(5)).await;
    let mut claimed = Vec::new();
    for most in [4, 4, 4] {
        let some = driver.ledger.claim(most, LONG).await.unwrap().envelopes;
        assert!(some.len() <= 4, "{}", some.len());
        claimed.extend(some);
    }
    assert_eq!(claimed.len(), 10);
}
