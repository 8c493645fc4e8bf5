//! Jobs and their slots: no slot, a lost lease, a store that cannot be reached.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockgate_core::JobState;
use lockgate_core::pool::{OnBusy, PoolChange, PoolCommand, PoolSpec};
use lockgate_core::slots::PoolQuery;
use lockgate_runtime::{ExecutionTimes, Observer, PoolPolicy, WorkerState};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::faults::FaultySlots;
use crate::scenario::{Act, Scenario, backend};

fn impatient(on_busy: OnBusy) -> PoolPolicy {
    PoolPolicy { max_wait: Duration::from_secs(2), on_busy, ..PoolPolicy::default() }
}

#[tokio::test(start_paused = true)]
async fn no_slot_is_a_deferral_that_uses_no_attempt() {
    let acts = [Act::Succeed { after: Duration::from_secs(30) }, Act::Succeed { after: Duration::ZERO }];
    let scenario = Scenario::new(1, acts).await.policy(impatient(OnBusy::Defer));
    scenario.work().await;
    let jobs = scenario.jobs().await;
    assert!(jobs.iter().all(|job| job.state == JobState::Succeeded && job.attempt == 1), "{jobs:?}");
    assert!(jobs.iter().any(|job| job.deferrals >= 1), "{jobs:?}");
}

#[tokio::test(start_paused = true)]
async fn no_slot_is_a_counted_skip_where_the_pool_says_so() {
    let acts = [Act::Succeed { after: Duration::from_secs(30) }, Act::Succeed { after: Duration::ZERO }];
    let scenario = Scenario::new(1, acts).await.policy(impatient(OnBusy::Skip));
    scenario.work().await;
    let counts = scenario.summary().await.counts;
    assert_eq!((counts.succeeded, counts.skipped), (1, 1));
    let skipped = scenario.jobs().await.into_iter().find(|job| job.state == JobState::Skipped).unwrap();
    assert_eq!(skipped.reason.as_deref(), Some("no slot within 2s"));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_outstays_max_hold_is_stopped_and_says_so() {
    let policy = PoolPolicy { max_hold: Duration::from_secs(10), ..PoolPolicy::default() };
    let scenario = Scenario::new(1, [Act::Hang]).await.policy(policy);
    let (_stop, _tasks) = scenario.start();
    scenario.until("it is stopped", async |scenario| scenario.job().await.reason.is_some()).await;
    assert_eq!(scenario.job().await.reason.as_deref(), Some("held its slots longer than max_hold, 10s"));
}

#[tokio::test(start_paused = true)]
async fn lowered_slots_cancel_nothing_and_grant_nothing_until_below() {
    let scenario = Scenario::new(10, vec![Act::Succeed { after: Duration::from_secs(5) }; 40]).await;
    let (_stop, mut tasks) = scenario.start();
    scenario.until_running(10).await;
    let change = PoolChange { slots: Some(3), ..PoolChange::default() };
    scenario.engine.slots.control(PoolCommand::Set { pool: backend(), change, version: None }).await.unwrap();
    assert_eq!(scenario.pool().await.held, 10);
    scenario.until_running(3).await;
    let counters = tasks.join_next().await.unwrap().unwrap();
    assert_eq!((counters.succeeded, counters.deferred, counters.retry), (40, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn slots_lowered_below_a_jobs_weight_defer_it_with_the_numbers_and_fail_nothing() {
    let mut scenario = Scenario::new(10, vec![Act::Succeed { after: Duration::from_secs(5) }; 4]).await;
    scenario.weight = 8;
    let scenario = scenario.policy(impatient(OnBusy::Defer));
    let (_stop, mut tasks) = scenario.start();
    scenario.until_running(1).await;
    let set = async |slots| {
        let change = PoolChange { slots: Some(slots), ..PoolChange::default() };
        let command = PoolCommand::Set { pool: backend(), change, version: None };
        scenario.engine.slots.control(command).await.unwrap();
    };
    set(5).await;
    let reason =
        "pool backend allows one job at most 5 slots now, and this job needs 8; `slots set` raises them";
    scenario
        .until("one is done, and the others are deferred for their weight", async |scenario| {
            let jobs = scenario.jobs().await;
            let off = jobs.iter().filter(|job| {
                job.state == JobState::Scheduled && job.reason.as_deref() == Some(reason) && job.attempt == 0
            });
            off.count() == 3 && jobs.iter().any(|job| job.state == JobState::Succeeded)
        })
        .await;
    set(10).await;
    let counters = tasks.join_next().await.unwrap().unwrap();
    assert_eq!((counters.succeeded, counters.failed, counters.retry), (4, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_reset_pool_stops_its_holders_and_uses_no_attempt() {
    let scenario = Scenario::new(2, [Act::Hang, Act::Hang]).await;
    let (_stop, _tasks) = scenario.start();
    scenario.until_running(2).await;
    let reset_at = Instant::now();
    scenario.engine.slots.control(PoolCommand::Reset { pool: backend() }).await.unwrap();
    scenario.until_running(0).await;
    assert!(reset_at.elapsed() < Duration::from_secs(4), "{:?}", reset_at.elapsed());
    scenario
        .until("they are deferred", async |scenario| {
            scenario.jobs().await.iter().all(|job| job.attempt == 0 && job.state == JobState::Scheduled)
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_store_out_of_reach_stops_every_holder_before_it_could_give_the_slots_away() {
    let mut scenario = Scenario::new(1, [Act::Hang]).await;
    let faults = FaultySlots::around(&mut scenario.engine);
    let (_stop, _tasks) = scenario.start();
    scenario.until_running(1).await;
    let cut_at = Instant::now();
    faults.cut();
    scenario.until_running(0).await;
    // The last heartbeat went through at most 3 s before the cut; stop_after is 8 s.
    let took = cut_at.elapsed();
    assert!((5..=8).contains(&took.as_secs()), "{took:?}");
    assert_eq!(scenario.pool().await.held, 1, "the store still holds the slot when the job has stopped");
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_to_drain_is_not_freed_by_a_heartbeat_that_overtakes_its_release() {
    let mut scenario = Scenario::new(1, [Act::Hang]).await;
    FaultySlots::around(&mut scenario.engine).slow_releases();
    let (_stop, _tasks) = scenario.start();
    scenario.until_running(1).await;
    scenario.until_running(0).await;
    scenario.until("it is not held any more", async |scenario| scenario.pool().await.held == 0).await;
    tokio::time::sleep(Duration::from_secs(12)).await; // virtual time
    assert_eq!(scenario.pool().await.draining, 1, "its backend may work on");
}

#[tokio::test(start_paused = true)]
async fn a_store_out_of_reach_means_wait_and_nothing_is_failed() {
    let mut scenario = Scenario::new(1, [Act::Succeed { after: Duration::ZERO }]).await;
    let faults = FaultySlots::around(&mut scenario.engine);
    let (_stop, mut tasks) = scenario.start();
    faults.cut_acquires();
    tokio::time::sleep(Duration::from_secs(150)).await; // virtual time
    let job = scenario.job().await;
    assert!(!job.state.is_terminal() && job.attempt == 0, "{job:?}");
    faults.mend();
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(scenario.job().await.attempt, 1);
}

#[tokio::test(start_paused = true)]
async fn release_notifies_waiter_before_next_heartbeat() {
    let scenario = Scenario::new(1, vec![Act::Succeed { after: Duration::from_millis(50) }; 15]).await;
    let begun_at = Instant::now();
    scenario.work().await;
    assert_eq!(scenario.summary().await.counts.succeeded, 15);
    // 15 times 50 ms, and a look whether anything is left; a heartbeat is 3 s.
    assert!(begun_at.elapsed() < Duration::from_secs(2), "{:?}", begun_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lost_push_costs_at_most_a_heartbeat() {
    let mut scenario = Scenario::new(1, vec![Act::Succeed { after: Duration::from_millis(1) }; 2]).await;
    let faults = FaultySlots::around(&mut scenario.engine);
    faults.lose_pushes();
    let begun_at = Instant::now();
    scenario.work().await;
    assert_eq!(scenario.summary().await.counts.succeeded, 2);
    assert!(begun_at.elapsed() <= Duration::from_secs(4), "{:?}", begun_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn loss_of_store_state_does_not_affect_jobs() {
    let mut scenario = Scenario::new(2, vec![Act::Succeed { after: Duration::from_secs(20) }; 4]).await;
    scenario.options.pools = vec![PoolSpec { name: backend(), slots: 2, per_tenant: None }];
    let (_stop, mut tasks) = scenario.start();
    scenario.until_running(2).await;
    scenario.memory.lose_slots();
    let counters = tasks.join_next().await.unwrap().unwrap();
    assert_eq!((counters.succeeded, counters.retry, counters.failed), (4, 0, 0));
    assert_eq!(scenario.seen.peak.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_the_store_has_lost_is_made_again_for_the_first_job_that_misses_it() {
    let mut scenario = Scenario::new(1, vec![Act::Succeed { after: Duration::from_secs(1) }; 3]).await;
    scenario.options.pools = vec![PoolSpec { name: backend(), slots: 1, per_tenant: None }];
    scenario.options.concurrency = 1;
    let (_stop, mut tasks) = scenario.start();
    scenario.until_running(1).await;
    scenario.memory.lose_slots();
    let lost_at = Instant::now();
    let there = async |scenario: &Scenario| {
        !scenario.engine.slots.inspect(&PoolQuery::of(&backend())).await.unwrap().is_empty()
    };
    scenario.until("the pool is there", there).await;
    // The job that runs takes a second; the next one asks, and does not wait for the round of ten seconds.
    assert!(lost_at.elapsed() < Duration::from_secs(3), "{:?}", lost_at.elapsed());
    let counters = tasks.join_next().await.unwrap().unwrap();
    assert_eq!((counters.succeeded, counters.deferred), (3, 0), "no job is deferred for it");
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_slot_store_is_away_at_its_start_waits_for_it() {
    let mut scenario = Scenario::new(1, [Act::Succeed { after: Duration::ZERO }]).await;
    let faults = FaultySlots::around(&mut scenario.engine);
    faults.cut();
    let worker = scenario.worker();
    let worker_state = worker.state();
    let mut tasks = JoinSet::new();
    tasks.spawn(worker.run(CancellationToken::new()));
    scenario
        .until(
            "it waits and says why",
            async |_| matches!(&*worker_state.borrow(), WorkerState::Waiting(why) if why.contains("cut off")),
        )
        .await;
    faults.mend();
    let counters = tasks.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(counters.succeeded, 1);
    assert_eq!(*worker_state.borrow(), WorkerState::Draining);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_wait_for_a_store_at_once() {
    let mut scenario = Scenario::new(1, []).await;
    FaultySlots::around(&mut scenario.engine).cut();
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(scenario.worker().run(stop.clone()));
    tokio::time::sleep(Duration::from_secs(60)).await; // virtual time: it waits for long already
    let asked = Instant::now();
    stop.cancel();
    assert!(tasks.join_next().await.unwrap().unwrap().is_ok());
    assert_eq!(asked.elapsed(), Duration::ZERO);
}

#[derive(Debug, Default)]
struct Lookout(Mutex<Vec<ExecutionTimes>>);

impl Observer for Lookout {
    fn executed(&self, steps: &ExecutionTimes) {
        self.0.lock().unwrap().push(*steps);
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_the_steps_of_each_execution_in_their_order() {
    let mut scenario = Scenario::new(1, [Act::Succeed { after: Duration::from_secs(3) }, Act::Fail]).await;
    let lookout = Arc::new(Lookout::default());
    scenario.options.observer = Some(lookout.clone());
    scenario.work().await;
    let seen = lookout.0.lock().unwrap();
    assert_eq!(seen.len(), 4, "one and its three attempts: {seen:?}");
    for steps in seen.iter() {
        assert!(steps.asked_at <= steps.admitted_at && steps.started_at <= steps.ended_at, "{steps:?}");
    }
    let longest = seen.iter().map(|steps| steps.ended_at - steps.started_at).max();
    assert_eq!(longest, Some(Duration::from_secs(3)));
}
