//! Deliveries whose job will not run: they take no slots and no tokens, also when that turns out while they wait.

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
use crate::stage::{Act, Stage, state_of};

const QUICK: Act = Act::Succeed { after: Duration::from_millis(5) };

async fn dispatch(stage: &Stage) {
    while dispatch_due(&stage.engine, &CancellationToken::new()).await.unwrap().is_none() {}
}

fn one_start_a_second() -> RateOptions {
    let quotas = BTreeMap::from([("pool:backend".to_owned(), Quota::per_second(1, 1).unwrap())]);
    RateOptions { token_store: Arc::new(MemoryTokenStore::new()), quotas, ramp: BTreeMap::new() }
}

/// The rate lets one job start a second, so each token that is spent on a stale delivery delays the next run by one.
#[tokio::test(start_paused = true)]
async fn messages_of_a_cancelled_run_use_no_tokens() {
    let mut stage = Stage::new(4, std::iter::repeat_n(QUICK, 60)).await;
    dispatch(&stage).await;
    stage.command(RunCommand::Cancel { run: stage.run, reason: "wrong".to_owned() }).await;
    stage.options.rates = Some(one_start_a_second());
    stage.run = plan(&stage.engine, [QUICK, QUICK]).await;
    let begun = Instant::now();
    assert_eq!(stage.work().await.succeeded, 2);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(stage.engine.broker.depth(&queue()).await.unwrap(), Depth::default());
}

/// They wait behind a rate of one start a second, with slots, when their run is cancelled.
#[tokio::test(start_paused = true)]
async fn jobs_cancelled_while_they_wait_for_tokens_leave_them_to_others() {
    let mut stage = Stage::new(64, std::iter::repeat_n(QUICK, 40)).await;
    stage.options.rates = Some(one_start_a_second());
    stage.options.concurrency = 64;
    stage.options.until_idle = false;
    let (_stop, _tasks) = stage.start();
    stage.until("some have run", async |stage| state_of(&stage.jobs().await, JobState::Succeeded) >= 3).await;
    stage.command(RunCommand::Cancel { run: stage.run, reason: "wrong".to_owned() }).await;
    stage.run = plan(&stage.engine, [QUICK]).await;
    let begun = Instant::now();
    stage.until("the next run is over", async |stage| stage.summary().await.settled()).await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

/// Of a paused run and of a cancelled one, in turn: whoever waits for the only slot leaves its place.
#[tokio::test(start_paused = true)]
async fn jobs_that_will_not_run_stop_waiting_for_slots() {
    let mut stage = Stage::new(1, [Act::Hang]).await;
    let (_stop, _tasks) = stage.start();
    stage.until_running(1).await;
    for cancels in [false, true] {
        stage.run = plan(&stage.engine, [QUICK, QUICK, QUICK]).await;
        stage.until("they wait", async |stage| stage.pool().await.waiters == 3).await;
        let (run, reason) = (stage.run, "wrong".to_owned());
        stage
            .command(if cancels { RunCommand::Cancel { run, reason } } else { RunCommand::Pause(run) })
            .await;
        let begun = Instant::now();
        stage.until("nobody waits", async |stage| stage.pool().await.waiters == 0).await;
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        let (state, jobs) =
            (if cancels { JobState::Cancelled } else { JobState::Scheduled }, stage.jobs().await);
        assert_eq!(state_of(&jobs, state), 3, "{jobs:?}");
        assert!(jobs.iter().all(|job| job.attempt == 0 && job.deferrals == 0));
    }
}
