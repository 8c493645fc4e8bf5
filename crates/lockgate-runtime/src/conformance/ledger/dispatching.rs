//! Dispatching: batches in their rhythm, retries at their time, nothing lost between claim and publication.

use std::time::Duration;

use lockgate_core::cadence::Cadence;
use lockgate_core::job::JobState;
use lockgate_core::ledger::{JobQuery, Settled};
use lockgate_core::run::RunSpec;
use lockgate_core::{Envelope, RunId};
use tokio::time::Instant;

use super::super::Fixture;
use super::super::desk::{Desk, retry};
use super::super::stage::{LONG, ROUNDING, eventually, spec};

fn in_batches(name: &str, batch_size: u32, batch_delay: Duration) -> RunSpec {
    RunSpec { cadence: Cadence { batch_size, batch_delay }, ..spec(name) }
}

fn keys(envelopes: &[Envelope]) -> Vec<&str> {
    envelopes.iter().map(|envelope| envelope.key.as_str()).collect()
}

async fn batches(desk: &Desk, run: RunId) -> Vec<Option<u32>> {
    desk.jobs(JobQuery { run: Some(run), ..JobQuery::default() }).await.iter().map(|job| job.batch).collect()
}

/// A message carries the job; the first dispatch is number 1; the batch goes to the jobs' rows.
pub async fn a_claimed_batch_is_in_the_order_of_its_planning(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(in_batches("r", 2, LONG), 5).await;
    let claimed = desk.claim().await;
    assert_eq!(keys(&claimed), ["k0", "k1"]);
    let job = desk.job(claimed[0].job).await;
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
    assert_eq!(batches(&desk, run).await, [Some(1), Some(1), None, None, None]);
    assert_eq!(desk.summary(run).await.run.batches, 1);
}

/// A batch goes out when its delay has passed, not before, and the last one leaves nothing due.
pub async fn batches_go_out_in_their_rhythm(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let delay = fixture.timing().heartbeat * 4;
    let began = Instant::now();
    let run = desk.plan(in_batches("r", 2, delay), 5).await;
    for (gaps, wanted) in [(0, ["k0", "k1"].as_slice()), (1, &["k2", "k3"]), (2, &["k4"])] {
        let due = async || Some(desk.claim().await).filter(|claimed| !claimed.is_empty());
        assert_eq!(keys(&eventually(fixture, "the next batch", due).await), wanted);
        assert!(began.elapsed() + ROUNDING >= delay * gaps, "batch {} is early", gaps + 1);
    }
    assert_eq!(batches(&desk, run).await, [Some(1), Some(1), Some(2), Some(2), Some(3)]);
    let after = desk.summary(run).await.run;
    assert_eq!((after.batches, after.next_due), (3, None));
}

/// What the ledger says of the next thing due is neither late nor far too early.
pub async fn a_claim_says_when_to_come_again(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let nothing = desk.ledger.claim(10, LONG).await.unwrap();
    assert_eq!(nothing.next_due, None, "nothing will ever be due");
    desk.plan(in_batches("r", 2, Duration::from_secs(60)), 3).await;
    let claimed = desk.ledger.claim(2, LONG).await.unwrap();
    let next = claimed.next_due.unwrap();
    assert!(next > Duration::from_secs(50) && next <= Duration::from_secs(60), "{next:?}");
}

/// After an outage the missed batches do not burst out together: at most one is made up for at once.
pub async fn missed_batches_do_not_burst_out_together(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let delay = fixture.timing().heartbeat * 2;
    desk.plan(in_batches("r", 1, delay), 20).await;
    desk.claim().await;
    fixture.elapse(delay * 5).await;
    let at_once = desk.claim().await.len() + desk.claim().await.len() + desk.claim().await.len();
    assert!((1..=3).contains(&at_once), "{at_once} batches at once, after an outage of five");
    if fixture.capabilities().virtual_time {
        assert_eq!(at_once, 2);
    }
}

/// A run that starts later is not due before.
pub async fn a_run_starts_at_its_time(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let now = desk.plan(spec("now"), 0).await;
    let start = desk.summary(now).await.run.created_at.plus(Duration::from_secs(3_600));
    let run = desk.plan(RunSpec { start_at: Some(start), ..spec("later") }, 1).await;
    assert!(desk.claim().await.is_empty());
    assert_eq!(desk.summary(run).await.run.next_due, Some(start));
}

/// A claimed job is not claimed again while its publication may be under way.
pub async fn two_dispatchers_never_claim_the_same(fixture: &dyn Fixture) {
    let (desk, other) = (Desk::new(fixture), fixture.second().await.ledger);
    desk.plan(in_batches("r", 7, Duration::ZERO), 50).await;
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let (one, two) = tokio::join!(desk.ledger.claim(7, LONG), other.claim(7, LONG));
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

/// What was claimed and never reported as published, because its dispatcher died, is due again, as a new dispatch.
pub async fn a_claim_that_was_not_published_is_due_again(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 1).await;
    let lost = desk.claim_for(fixture.timing().heartbeat).await.remove(0);
    let due = async || desk.claim().await.pop();
    let again = eventually(fixture, "the claim is due again", due).await;
    assert_eq!((again.job, again.dispatch), (lost.job, 2));
    assert_eq!(desk.published(&lost).await, Settled::Stale, "a report of the dispatch before");
    assert_eq!(desk.summary(run).await.counts.scheduled, 1);
    assert_eq!(desk.published(&again).await, Settled::Recorded(JobState::Enqueued));
    assert_eq!(desk.published(&again).await, Settled::Stale, "said twice");
    assert_eq!(desk.summary(run).await.run.batches, 1, "a second dispatch is no second batch");
}

/// What is published is not due again.
pub async fn a_published_claim_is_not_due_again(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let hold = fixture.timing().heartbeat;
    let claimed = desk.claim_for(hold).await.remove(0);
    desk.published(&claimed).await;
    fixture.elapse(hold * 2).await;
    assert!(desk.claim().await.is_empty());
    let job = desk.job(claimed.job).await;
    assert_eq!((job.state, job.due_at), (JobState::Enqueued, None));
}

/// A retry is due when its wait has passed, and not before.
pub async fn a_retry_is_due_at_its_time(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 1).await;
    let wait = fixture.timing().heartbeat * 2;
    let before = Instant::now();
    let (first, settled) = desk.work(retry(wait)).await;
    assert_eq!(settled, Settled::Recorded(JobState::Scheduled));
    let due = async || desk.claim().await.pop();
    let second = eventually(fixture, "the retry is due", due).await;
    assert!(before.elapsed() + ROUNDING >= wait, "early");
    assert_eq!((second.job, second.dispatch), (first.job, 2));
}

/// Retries are claimed within the limit, the rest by the next claim.
pub async fn a_claim_keeps_its_limit_of_retries(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("r"), 10).await;
    desk.claim_for(Duration::ZERO).await;
    fixture.elapse(Duration::from_millis(5)).await;
    let mut claimed = Vec::new();
    for most in [4, 4, 4] {
        let some = desk.ledger.claim(most, LONG).await.unwrap().envelopes;
        assert!(some.len() <= 4, "{}", some.len());
        claimed.extend(some);
    }
    assert_eq!(claimed.len(), 10);
}
