//! Tests of the ledger in PostgreSQL with several processes at once. The suite of all engines is in
//! `conformance.rs`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests, their helpers included")]

mod counts;
#[path = "../servers/database.rs"]
mod servers;

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::cadence::Cadence;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{
    Ingestion, JobQuery, Ledger, PlanStep, PlannedJob, Report, RunCommand, RunQuery, Settled, Settlement,
    SettlementToken, Start, StartDurability, Started, Sweep,
};
use lockgate_core::run::RunSpec;
use lockgate_core::{Envelope, JobId, Key, Kind, QueueName, RunId, RunName, Tenant, Timestamp};
use lockgate_distributed::{Database, DatabaseOptions, LOCKGATE, PostgresLedger};
use tokio::task::JoinSet;
use uuid::Uuid;

use servers::OwnDatabase;

struct Store {
    url: OwnDatabase,
    ledger: Arc<PostgresLedger>,
}

/// Returns the ledger of a process.
async fn process(url: &str) -> Arc<PostgresLedger> {
    let database = Database::connect(DatabaseOptions::new(url)).await.unwrap();
    database.migrate(&LOCKGATE).await.unwrap();
    Arc::new(PostgresLedger::new(database))
}

/// Returns a new database with a ledger; `None` when this machine has no servers.
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

/// Invariants 8 and 9: dispatchers and workers of several processes share a run, and each job starts once.
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
                    // Another process may be claiming the due batch.
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
    assert_eq!(summary.run.batches, 40, "no batch may be split or dispatched twice");
}

/// Several reports of one call about one job are applied in their order.
#[tokio::test]
async fn several_reports_of_one_call_about_one_job_apply_in_order() {
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
    assert_eq!(numbers, [1, 1, 1, 2], "the same token must be the same start");
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

/// A message that several workers receive at once is one job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn job_ingested_by_several_processes_at_once_is_one_job() {
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

/// A run is deleted in portions. Its counts match its jobs after each portion, and nothing of it remains.
#[tokio::test]
async fn deleted_run_leaves_nothing_behind() {
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
