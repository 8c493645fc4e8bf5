//! The ledger in PostgreSQL under several processes at once. What every engine does is in `conformance.rs`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests, their helpers included")]

#[path = "servers/database.rs"]
mod servers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockgate_core::cadence::Cadence;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{
    Execution, Ingestion, JobQuery, Ledger, PlanStep, PlannedJob, Report, RunCommand, RunQuery, Settled,
    Settlement, SettlementToken, Start, StartDurability, Started, Sweep,
};
use lockgate_core::run::RunSpec;
use lockgate_core::{Envelope, JobId, Key, Kind, QueueName, RunId, RunName, Tenant, Timestamp};
use lockgate_distributed::{Database, DatabaseOptions, LOCKGATE, PostgresLedger};
use sqlx::Row;
use tokio::task::JoinSet;
use uuid::Uuid;

use servers::OwnDatabase;

struct Store {
    url: OwnDatabase,
    ledger: Arc<PostgresLedger>,
}

/// A process with a ledger on a database.
async fn process(url: &str) -> Arc<PostgresLedger> {
    let database = Database::connect(DatabaseOptions::new(url)).await.unwrap();
    database.migrate(&LOCKGATE).await.unwrap();
    Arc::new(PostgresLedger::new(database))
}

/// `None`: there are no servers on this machine.
async fn fresh() -> Option<Store> {
    let url = servers::database()?;
    let ledger = process(&url).await;
    Some(Store { url, ledger })
}

const HOLD: Duration = Duration::from_secs(60);

fn manifest(jobs: u32) -> Vec<PlannedJob> {
    let job = |n| {
        let key = format!("k{n}");
        PlannedJob {
            id: JobId(Uuid::now_v7()),
            tenant: Tenant::new(&key).unwrap(),
            key: Key::new(key).unwrap(),
            payload: "{}".to_owned(),
        }
    };
    (0..jobs).map(job).collect()
}

async fn plan(ledger: &dyn Ledger, name: &str, jobs: u32) -> RunId {
    let id = RunId(Uuid::now_v7());
    let spec = RunSpec {
        id,
        name: RunName::new(name).unwrap(),
        kind: Kind::new("kind").unwrap(),
        queue: QueueName::new("q").unwrap(),
        as_of: Timestamp(0),
        start_at: None,
        cadence: Cadence { batch_size: 25, batch_delay: Duration::ZERO },
        deadline: None,
    };
    ledger.plan(PlanStep::Open(spec)).await.unwrap();
    ledger.plan(PlanStep::Append { run: id, jobs: manifest(jobs) }).await.unwrap();
    ledger.plan(PlanStep::Seal { run: id }).await.unwrap();
    id
}

fn settled(job: JobId, by: SettlementToken, outcome: Outcome) -> Report {
    Report::Settled(Settlement { job, token: by, outcome, waited: Duration::ZERO, ran: Duration::ZERO })
}

fn published(envelope: &Envelope) -> Report {
    Report::Published { job: envelope.job, dispatch: envelope.dispatch }
}

fn start(envelope: &Envelope, token: i64) -> Start {
    Start { job: envelope.job, dispatch: envelope.dispatch, token, durability: StartDurability::Now }
}

/// What the counts say, and what a look at every job says.
async fn both_counts(url: &str) -> [BTreeMap<(i32, String), (i64, i64)>; 2] {
    let told = "select run, state::text as state, jobs, deferrals from lockgate.tallies where jobs <> 0 or deferrals <> 0";
    let seen = "select run, state::text as state, count(*) as jobs, sum(deferrals) as deferrals
        from lockgate.standings group by run, state";
    let mut connection = servers::raw(url).await;
    let mut both = [BTreeMap::new(), BTreeMap::new()];
    for (counts, statement) in both.iter_mut().zip([told, seen]) {
        for row in sqlx::query(statement).fetch_all(&mut connection).await.unwrap() {
            counts.insert((row.get("run"), row.get("state")), (row.get("jobs"), row.get("deferrals")));
        }
    }
    both
}

/// A draw that is the same each time: the test tells the same story twice.
struct AcquireRequest(u64);

impl AcquireRequest {
    fn of(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn outcome(&mut self) -> Outcome {
        let (after, text) = (Duration::ZERO, "drawn".to_owned());
        match self.of(6) {
            0 => Outcome::Retry { after, error: text },
            1 => Outcome::Deferred { after, reason: text },
            2 => Outcome::Skipped { reason: text },
            3 => Outcome::Failed { error: text },
            4 => Outcome::Cancelled { reason: text },
            _ => Outcome::Succeeded,
        }
    }
}

async fn muddle(ledger: &dyn Ledger, runs: &[RunId], seed: u64) {
    let mut draw = AcquireRequest(seed);
    for _ in 0..40 {
        let claimed = ledger.claim(40, HOLD).await.unwrap().envelopes;
        let mut reports = Vec::new();
        for envelope in &claimed {
            if draw.of(4) > 0 {
                reports.push(published(envelope));
            }
            let record = if draw.of(2) == 0 { StartDurability::Now } else { StartDurability::Later };
            let start = Start { durability: record, ..start(envelope, 1) };
            if let [Started::Run(execution)] = ledger.start(vec![start]).await.unwrap()[..] {
                let Execution { number, recorded, .. } = execution;
                let unrecorded = SettlementToken::Unrecorded { dispatch: envelope.dispatch, number };
                let by = if recorded { SettlementToken::Execution(number) } else { unrecorded };
                reports.push(settled(envelope.job, by, draw.outcome()));
            } else if draw.of(2) == 0 {
                reports.push(settled(
                    envelope.job,
                    SettlementToken::Delivery(envelope.dispatch),
                    draw.outcome(),
                ));
            }
        }
        ledger.settle(reports).await.unwrap();
        let run = runs[usize::try_from(draw.of(runs.len() as u64)).unwrap()];
        let states = vec![JobState::Failed, JobState::Skipped, JobState::Cancelled];
        let command = match draw.of(12) {
            0 => RunCommand::Cancel { run, reason: "drawn".to_owned() },
            1 | 2 => RunCommand::Retry { run, states },
            3 => RunCommand::Pause(run),
            _ => RunCommand::Resume(run),
        };
        // That it makes no sense as the run stands is an answer too.
        ledger.control(command).await.ok();
        if draw.of(4) == 0 {
            let queue = QueueName::new("q").unwrap();
            ledger.sweep(Sweep::Lost { queue, silent_for: Duration::ZERO }, 30).await.unwrap();
            ledger.sweep(Sweep::Overdue, 30).await.unwrap();
        }
        for summary in ledger.runs(RunQuery::default()).await.unwrap() {
            assert!(summary.balanced(), "{summary:?}");
        }
    }
}

/// Invariant 1, by another way: whatever three processes do at once, the sums are what a count of all jobs gives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_counts_are_those_of_the_jobs_whatever_happens() {
    let Some(Store { url, ledger }) = fresh().await else { return };
    let mut runs = Vec::new();
    for name in ["a", "b", "c"] {
        runs.push(plan(&*ledger, name, 60).await);
    }
    let mut processes = JoinSet::new();
    for seed in 1..=3 {
        let (ledger, runs) = (process(&url).await, runs.clone());
        processes.spawn(async move { muddle(&*ledger, &runs, seed).await });
    }
    processes.join_all().await;
    let [told, seen] = both_counts(&url).await;
    assert_eq!(told, seen);
    let deferrals: i64 = seen.values().map(|(_, deferrals)| deferrals).sum();
    assert!(seen.len() > 3 && deferrals > 0, "the story was too dull to tell anything: {seen:?}");
    // Folding changes nothing, nor does forgetting, step by step.
    let forget = Sweep::Finished { keep: Duration::ZERO };
    for sweep in [Sweep::Overdue, forget.clone(), forget.clone(), forget] {
        ledger.sweep(sweep.clone(), 25).await.unwrap();
        let [told, seen] = both_counts(&url).await;
        assert_eq!(told, seen, "{sweep:?}");
    }
}

/// Invariants 8 and 9: dispatchers and workers of several processes share a run, and each job is started once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_a_run_without_overlap() {
    let Some(Store { url, ledger }) = fresh().await else { return };
    let run = plan(&*ledger, "r", 1_000).await;
    let mut processes = JoinSet::new();
    for _ in 0..3 {
        let ledger = process(&url).await;
        processes.spawn(async move {
            let mut started = 0;
            loop {
                let claimed = ledger.claim(60, HOLD).await.unwrap();
                if claimed.envelopes.is_empty() {
                    // Another one may be at the batch that is due.
                    match claimed.next_due {
                        Some(Duration::ZERO) => continue,
                        _ => return started,
                    }
                }
                ledger.settle(claimed.envelopes.iter().map(published).collect()).await.unwrap();
                let starts = claimed.envelopes.iter().map(|envelope| start(envelope, 1)).collect();
                for answer in ledger.start(starts).await.unwrap() {
                    assert!(matches!(answer, Started::Run(execution) if execution.number == 1), "{answer:?}");
                    started += 1;
                }
                let ended = |e: &Envelope| settled(e.job, SettlementToken::Execution(1), Outcome::Succeeded);
                ledger.settle(claimed.envelopes.iter().map(ended).collect()).await.unwrap();
            }
        });
    }
    assert_eq!(processes.join_all().await.iter().sum::<u32>(), 1_000);
    let query = RunQuery { run: Some(RunName::new(run.to_string()).unwrap()), ..RunQuery::default() };
    let summary = ledger.runs(query).await.unwrap().remove(0);
    assert_eq!((summary.counts.succeeded, summary.counts.total()), (1_000, 1_000));
    assert_eq!(summary.run.batches, 40, "no batch was cut, none went out twice");
}

/// A call that says several things of one job means them in their order.
#[tokio::test]
async fn a_call_may_say_several_things_of_one_job() {
    let Some(Store { url: _url, ledger }) = fresh().await else { return };
    let ledger = &*ledger;
    plan(ledger, "r", 2).await;
    let claimed = ledger.claim(10, HOLD).await.unwrap().envelopes;
    let [one, two] = &claimed[..] else { panic!("{claimed:?}") };
    let starts = vec![start(one, 7), start(two, 7), start(one, 7), start(one, 8)];
    let numbers: Vec<u32> = ledger
        .start(starts)
        .await
        .unwrap()
        .into_iter()
        .map(|answer| match answer {
            Started::Run(execution) => execution.number,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(numbers, [1, 1, 1, 2], "the same token is the same start");
    let again = || Outcome::Retry { after: HOLD, error: "a zero \0 in it".to_owned() };
    let reports = vec![
        settled(one.job, SettlementToken::Execution(1), Outcome::Succeeded),
        settled(one.job, SettlementToken::Execution(2), again()),
        published(two),
        settled(one.job, SettlementToken::Execution(2), Outcome::Succeeded),
        settled(two.job, SettlementToken::Execution(1), Outcome::Succeeded),
    ];
    let wanted = [
        Settled::Stale,
        Settled::Recorded(JobState::Scheduled),
        Settled::Stale,
        Settled::Stale,
        Settled::Recorded(JobState::Succeeded),
    ];
    assert_eq!(ledger.settle(reports).await.unwrap(), wanted);
    let read = ledger.jobs(JobQuery { ids: vec![one.job], ..JobQuery::default() }).await.unwrap();
    assert_eq!(read[0].reason.as_deref(), Some("a zero \u{fffd} in it"));
    assert_eq!(ledger.start(Vec::new()).await.unwrap(), []);
    assert_eq!(ledger.settle(Vec::new()).await.unwrap(), []);
}

/// A message that two workers get at once is one job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_adopted_by_several_processes_at_once_is_one() {
    let Some(Store { url, ledger }) = fresh().await else { return };
    let jobs = manifest(50);
    let mut processes = JoinSet::new();
    for _ in 0..4 {
        let (ledger, mut jobs) = (process(&url).await, jobs.clone());
        processes.spawn(async move {
            jobs.reverse();
            let (kind, queue) = (Kind::new("kind").unwrap(), QueueName::new("q").unwrap());
            let ingestion = Ingestion { external_run: RunId(Uuid::now_v7()), kind, queue, jobs };
            ledger.plan(PlanStep::Ingest(ingestion)).await.unwrap().added
        });
    }
    assert_eq!(processes.join_all().await.iter().sum::<u64>(), 50);
    let summary = ledger.runs(RunQuery::default()).await.unwrap().remove(0);
    assert_eq!((summary.run.planned, summary.counts.enqueued), (50, 50));
}

/// A run is forgotten step by step, balanced at each of them, with all that was noted of it.
#[tokio::test]
async fn a_run_that_is_forgotten_leaves_nothing_behind() {
    let Some(Store { url, ledger }) = fresh().await else { return };
    let ledger = &*ledger;
    let run = plan(ledger, "r", 50).await;
    ledger.claim(50, HOLD).await.unwrap();
    ledger.control(RunCommand::Cancel { run, reason: "done with".to_owned() }).await.unwrap();
    let mut pruned = 0;
    for _ in 0..20 {
        let swept = ledger.sweep(Sweep::Finished { keep: Duration::ZERO }, 20).await.unwrap();
        assert!(swept.jobs <= 20, "{swept:?}");
        pruned += swept.jobs;
        for summary in ledger.runs(RunQuery::default()).await.unwrap() {
            assert!(summary.balanced(), "{summary:?}");
        }
    }
    assert_eq!(pruned, 50);
    let mut connection = servers::raw(&url).await;
    for table in ["runs", "jobs", "standings", "claims", "publications", "counts", "count_changes"] {
        let rows = sqlx::AssertSqlSafe(format!("select count(*) from lockgate.{table}"));
        let left: i64 = sqlx::query_scalar(rows).fetch_one(&mut connection).await.unwrap();
        assert_eq!(left, 0, "{table}");
    }
}
