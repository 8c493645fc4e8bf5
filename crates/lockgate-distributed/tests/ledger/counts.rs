//! The stored counts equal the jobs after random commands of several processes.

use std::collections::BTreeMap;
use std::time::Duration;

use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{
    Execution, Ledger, RunCommand, RunQuery, SettlementToken, Start, StartDurability, Started, Sweep,
};
use lockgate_core::{QueueName, RunId};
use sqlx::Row;
use tokio::task::JoinSet;

use super::{HOLD, Store, fresh, plan, process, published, servers, settled, start};

/// Returns the counts as stored, and as counted from all jobs.
async fn both_counts(url: &str) -> [BTreeMap<(i32, String), (i64, i64)>; 2] {
    let stored = "select run, state::text as state, jobs, deferrals from lockgate.tallies where jobs <> 0 or deferrals <> 0";
    let counted = "select run, state::text as state, count(*) as jobs, sum(deferrals) as deferrals
        from lockgate.standings group by run, state";
    let mut connection = servers::raw(url).await;
    let mut both = [BTreeMap::new(), BTreeMap::new()];
    for (counts, statement) in both.iter_mut().zip([stored, counted]) {
        for row in sqlx::query(statement).fetch_all(&mut connection).await.unwrap() {
            counts.insert((row.get("run"), row.get("state")), (row.get("jobs"), row.get("deferrals")));
        }
    }
    both
}

/// Pseudo-random numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn outcome(&mut self) -> Outcome {
        let (after, text) = (Duration::ZERO, "random".to_owned());
        match self.below(6) {
            0 => Outcome::Retry { after, error: text },
            1 => Outcome::Deferred { after, reason: text },
            2 => Outcome::Skipped { reason: text },
            3 => Outcome::Failed { error: text },
            4 => Outcome::Cancelled { reason: text },
            _ => Outcome::Succeeded,
        }
    }
}

async fn run_random_commands(ledger: &dyn Ledger, runs: &[RunId], seed: u64) {
    let mut random = Random(seed);
    for _ in 0..40 {
        let claimed = ledger.claim(40, HOLD).await.unwrap().envelopes;
        let mut reports = Vec::new();
        for envelope in &claimed {
            if random.below(4) > 0 {
                reports.push(published(envelope));
            }
            let durability = if random.below(2) == 0 { StartDurability::Now } else { StartDurability::Later };
            let start = Start { durability, ..start(envelope, 1) };
            if let [Started::Run(execution)] = ledger.start(vec![start]).await.unwrap()[..] {
                let Execution { number, recorded, .. } = execution;
                let unrecorded = SettlementToken::Unrecorded { dispatch: envelope.dispatch, number };
                let by = if recorded { SettlementToken::Execution(number) } else { unrecorded };
                reports.push(settled(envelope.job, by, random.outcome()));
            } else if random.below(2) == 0 {
                reports.push(settled(
                    envelope.job,
                    SettlementToken::Delivery(envelope.dispatch),
                    random.outcome(),
                ));
            }
        }
        ledger.settle(reports).await.unwrap();
        let run = runs[usize::try_from(random.below(runs.len() as u64)).unwrap()];
        let states = vec![JobState::Failed, JobState::Skipped, JobState::Cancelled];
        let command = match random.below(12) {
            0 => RunCommand::Cancel { run, reason: "random".to_owned() },
            1 | 2 => RunCommand::Retry { run, states },
            3 => RunCommand::Pause(run),
            _ => RunCommand::Resume(run),
        };
        // A command that the status of the run does not allow is refused, which is fine here.
        ledger.control(command).await.ok();
        if random.below(4) == 0 {
            let queue = QueueName::new("q").unwrap();
            ledger.sweep(Sweep::Lost { queue, silent_for: Duration::ZERO }, 30).await.unwrap();
            ledger.sweep(Sweep::Overdue, 30).await.unwrap();
        }
        for summary in ledger.runs(RunQuery::default()).await.unwrap() {
            assert!(summary.balanced(), "{summary:?}");
        }
    }
}

/// Invariant 1: whatever three processes do at once, the stored counts equal a count of all jobs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_counts_equal_counted_jobs_after_concurrent_commands() {
    let Some(Store { url, ledger }) = fresh().await else { return };
    let mut runs = Vec::new();
    for name in ["a", "b", "c"] {
        runs.push(plan(&*ledger, name, 60).await);
    }
    let mut processes = JoinSet::new();
    for seed in 1..=3 {
        let (ledger, runs) = (process(&url).await, runs.clone());
        processes.spawn(async move { run_random_commands(&*ledger, &runs, seed).await });
    }
    processes.join_all().await;
    let [stored, counted] = both_counts(&url).await;
    assert_eq!(stored, counted);
    let deferrals: i64 = counted.values().map(|(_, deferrals)| deferrals).sum();
    assert!(counted.len() > 3 && deferrals > 0, "too little happened for a meaningful test: {counted:?}");
    // Neither folding nor deleting runs in portions changes that.
    let delete = Sweep::Finished { keep: Duration::ZERO };
    for sweep in [Sweep::Overdue, delete.clone(), delete.clone(), delete] {
        ledger.sweep(sweep.clone(), 25).await.unwrap();
        let [stored, counted] = both_counts(&url).await;
        assert_eq!(stored, counted, "{sweep:?}");
    }
}
