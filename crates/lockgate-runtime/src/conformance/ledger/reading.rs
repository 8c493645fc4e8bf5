//! Reading: what was asked for, in its order, page by page, balanced in itself.

use std::time::Duration;

use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{JobQuery, Report, RunQuery, Settlement, SettlementToken};
use lockgate_core::run::{RunSpec, RunStatus};
use lockgate_core::{JobId, Key, RunId, RunName};

use super::super::Fixture;
use super::super::desk::{Desk, failed};
use super::super::stage::{id, manifest, spec};

fn keys(jobs: &[lockgate_core::job::JobRow]) -> Vec<&str> {
    jobs.iter().map(|job| job.key.as_str()).collect()
}

/// The newest run first; by name, by id, at most so many.
pub async fn runs_are_read_newest_first(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(desk.plan(spec(&format!("r{n}")), n).await);
        fixture.elapse(Duration::from_millis(2)).await;
    }
    let read =
        |runs: Vec<lockgate_core::run::RunSummary>| runs.iter().map(|r| r.run.id).collect::<Vec<RunId>>();
    assert_eq!(read(desk.runs(RunQuery::default()).await), [ids[2], ids[1], ids[0]]);
    assert_eq!(read(desk.runs(RunQuery { limit: 2, ..RunQuery::default() }).await), [ids[2], ids[1]]);
    for name in ["r1".to_owned(), ids[1].to_string()] {
        let query = RunQuery { run: Some(RunName::new(name).unwrap()), ..RunQuery::default() };
        assert_eq!(read(desk.runs(query).await), [ids[1]]);
    }
    let nobody = RunQuery { run: Some(RunName::new("r").unwrap()), ..RunQuery::default() };
    assert!(desk.runs(nobody).await.is_empty());
}

/// Jobs by run, state, key and id.
pub async fn jobs_are_read_by_what_is_asked(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let (one, two) = (desk.plan(spec("one"), 3).await, desk.plan(spec("two"), 2).await);
    let envelope = desk.claim().await.remove(1);
    desk.settle(envelope.job, SettlementToken::Delivery(1), failed()).await;
    let of = |run| JobQuery { run: Some(run), ..JobQuery::default() };
    assert_eq!(keys(&desk.jobs(of(one)).await), ["k0", "k1", "k2"]);
    assert_eq!(keys(&desk.jobs(of(two)).await), ["k0", "k1"]);
    let failed = desk.jobs(JobQuery { states: vec![JobState::Failed, JobState::Skipped], ..of(one) }).await;
    assert_eq!(keys(&failed), ["k1"]);
    let key = Some(Key::new("k1").unwrap());
    assert_eq!(desk.jobs(JobQuery { key, ..JobQuery::default() }).await.len(), 2);
    let ids = vec![envelope.job, JobId(id())];
    assert_eq!(keys(&desk.jobs(JobQuery { ids, ..JobQuery::default() }).await), ["k1"]);
}

/// Page by page, every job once, in the order of planning.
pub async fn pages_cover_every_job_once(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    desk.plan(spec("before"), 3).await;
    let run = desk.plan(spec("r"), 25).await;
    let mut read = Vec::new();
    let mut after = None;
    for _ in 0..4 {
        let page = desk.jobs(JobQuery { run: Some(run), after, limit: 10, ..JobQuery::default() }).await;
        assert!(page.len() <= 10);
        after = page.last().map(|last| last.id).or(after);
        read.extend(page);
    }
    let wanted: Vec<String> = (0..25).map(|n| format!("k{n}")).collect();
    assert_eq!(keys(&read), wanted.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Without a limit a page has a hundred.
pub async fn a_page_has_a_hundred_jobs_by_default(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 120).await;
    assert_eq!(desk.jobs(JobQuery { run: Some(run), ..JobQuery::default() }).await.len(), 100);
    let more = JobQuery { run: Some(run), limit: 1_000, ..JobQuery::default() };
    assert_eq!(desk.jobs(more).await.len(), 120);
}

/// The organizations that one run has and the other lacks, both ways.
pub async fn two_runs_are_compared_by_their_keys(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let one = desk.plan(spec("one"), 5).await;
    let two = desk.step(lockgate_core::ledger::PlanStep::Open(spec("two"))).await.run.id;
    desk.step(lockgate_core::ledger::PlanStep::Append { run: two, jobs: manifest(3..8) }).await;
    desk.step(lockgate_core::ledger::PlanStep::Seal { run: two }).await;
    let absent = |run, from| JobQuery { run: Some(run), absent_from: Some(from), ..JobQuery::default() };
    assert_eq!(keys(&desk.jobs(absent(one, two)).await), ["k0", "k1", "k2"]);
    assert_eq!(keys(&desk.jobs(absent(two, one)).await), ["k5", "k6", "k7"]);
    assert!(desk.jobs(absent(one, one)).await.is_empty());
}

/// A run is finished when every job is over, and not before; that is read, not stored.
pub async fn a_run_is_finished_when_every_job_is_over(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 2).await;
    for (n, envelope) in desk.claim().await.into_iter().enumerate() {
        assert_eq!(desk.summary(run).await.status(), RunStatus::Active, "{n} are over");
        desk.settle(envelope.job, SettlementToken::Delivery(1), Outcome::Succeeded).await;
    }
    let summary = desk.summary(run).await;
    assert_eq!((summary.status(), summary.run.status), (RunStatus::Finished, RunStatus::Active));
}

/// When asked, a run says when its jobs were settled and how long they waited.
pub async fn a_run_tells_its_timing_when_asked(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(spec("r"), 100).await;
    let query = RunQuery { timing: true, ..RunQuery::default() };
    assert_eq!(desk.runs(query.clone()).await[0].timing, None, "nothing ran yet");
    let mut reports = Vec::new();
    for (n, envelope) in (1..).zip(desk.claim().await) {
        let by = SettlementToken::Execution(desk.run(&envelope).await.number);
        let (waited, ran) = (Duration::from_millis(n), Duration::from_millis(1));
        reports.push(Report::Settled(Settlement {
            job: envelope.job,
            token: by,
            outcome: Outcome::Succeeded,
            waited,
            ran,
        }));
    }
    desk.ledger.settle(reports).await.unwrap();
    assert_eq!(desk.summary(run).await.timing, None, "it was not asked for");
    let timing = desk.runs(query).await[0].timing.unwrap();
    assert!((49..=51).contains(&timing.wait_p50.as_millis()), "{timing:?}");
    assert!((98..=100).contains(&timing.wait_p99.as_millis()), "{timing:?}");
    assert!(timing.first <= timing.last);
}

/// Whatever process reads, it reads the same.
pub async fn another_process_reads_the_same(fixture: &dyn Fixture) {
    let desk = Desk::new(fixture);
    let run = desk.plan(RunSpec { deadline: Some(Duration::from_secs(60)), ..spec("r") }, 3).await;
    desk.claim().await;
    let other = fixture.second().await.ledger;
    assert_eq!(other.runs(RunQuery::default()).await.unwrap(), desk.runs(RunQuery::default()).await);
    let query = JobQuery { run: Some(run), ..JobQuery::default() };
    assert_eq!(other.jobs(query.clone()).await.unwrap(), desk.jobs(query).await);
}
