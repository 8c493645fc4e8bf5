//! Deliveries whose job will not run: they take no slots and no tokens, also when that turns out while they
//! wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockgate_core::JobState;
use lockgate_core::broker::Depth;
use lockgate_core::ledger::RunCommand;
use lockgate_limits::{MemoryTokenStore, Quota};
use lockgate_runtime::{RateOptions, dispatch_due};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::messages::queue;
use crate::planning::plan;
use crate::scenario::{Act, Scenario, state_of};

const QUICK: Act = Act::Succeed { after: Duration::from_millis(5) };

async fn dispatch(scenario: &Scenario) {
    while dispatch_due(&scenario.engine, &CancellationToken::new()).await.unwrap().is_none() {}
}

fn one_start_a_second() -> RateOptions {
    let quotas = BTreeMap::from([("pool:backend".to_owned(), Quota::per_second(1, 1).unwrap())]);
    RateOptions { token_store: Arc::new(MemoryTokenStore::new()), quotas, ramp: BTreeMap::new() }
}

/// The rate lets one job start a second, so each token that is spent on a stale delivery delays the next run
/// by one.
#[tokio::test(start_paused = true)]
async fn messages_of_a_cancelled_run_use_no_tokens() {
    let mut scenario = Scenario::new(4, std::iter::repeat_n(QUICK, 60)).await;
    dispatch(&scenario).await;
    scenario.command(RunCommand::Cancel { run: scenario.run, reason: "wrong".to_owned() }).await;
    scenario.options.rates = Some(one_start_a_second());
    scenario.run = plan(&scenario.engine, [QUICK, QUICK]).await;
    let begun = Instant::now();
    assert_eq!(scenario.work().await.succeeded, 2);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(scenario.engine.broker.depth(&queue()).await.unwrap(), Depth::default());
}

/// They wait behind a rate of one start a second, with slots, when their run is cancelled.
#[tokio::test(start_paused = true)]
async fn jobs_cancelled_while_they_wait_for_tokens_leave_them_to_others() {
    let mut scenario = Scenario::new(64, std::iter::repeat_n(QUICK, 40)).await;
    scenario.options.rates = Some(one_start_a_second());
    scenario.options.concurrency = 64;
    scenario.options.until_idle = false;
    let (_stop, _tasks) = scenario.start();
    scenario
        .until("some have run", async |scenario| state_of(&scenario.jobs().await, JobState::Succeeded) >= 3)
        .await;
    scenario.command(RunCommand::Cancel { run: scenario.run, reason: "wrong".to_owned() }).await;
    scenario.run = plan(&scenario.engine, [QUICK]).await;
    let begun = Instant::now();
    scenario.until("the next run is over", async |scenario| scenario.summary().await.settled()).await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

/// First with a paused run, then with a cancelled one: a job that waits for the only slot leaves the queue.
#[tokio::test(start_paused = true)]
async fn jobs_that_will_not_run_stop_waiting_for_slots() {
    let mut scenario = Scenario::new(1, [Act::Hang]).await;
    let (_stop, _tasks) = scenario.start();
    scenario.until_running(1).await;
    for cancels in [false, true] {
        scenario.run = plan(&scenario.engine, [QUICK, QUICK, QUICK]).await;
        scenario.until("they wait", async |scenario| scenario.pool().await.waiters == 3).await;
        let (run, reason) = (scenario.run, "wrong".to_owned());
        scenario
            .command(if cancels { RunCommand::Cancel { run, reason } } else { RunCommand::Pause(run) })
            .await;
        let begun = Instant::now();
        scenario.until("nobody waits", async |scenario| scenario.pool().await.waiters == 0).await;
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        let (state, jobs) =
            (if cancels { JobState::Cancelled } else { JobState::Scheduled }, scenario.jobs().await);
        assert_eq!(state_of(&jobs, state), 3, "{jobs:?}");
        assert!(jobs.iter().all(|job| job.attempt == 0 && job.deferrals == 0));
    }
}
