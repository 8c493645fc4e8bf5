//! Orphaned queries: backend work that outlives its attempt. A canceller ends it, and its slot is free only
//! after that is confirmed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lockgate_core::ledger::RunCommand;
use lockgate_core::{EngineError, JobState};
use lockgate_runtime::WorkerState;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::faults::FaultySlots;
use crate::scenario::{Act, Backend, Scenario};

/// The probes' own.
const BACKEND_TIME: Duration = Duration::from_secs(20);

fn after(secs: u64) -> Act {
    Act::Succeed { after: Duration::from_secs(secs) }
}

async fn with(backend: Backend, slots: u32, acts: impl IntoIterator<Item = Act>) -> Scenario {
    let mut scenario = Scenario::new(slots, acts).await;
    scenario.backend = Some(Arc::new(backend));
    scenario
}

fn asked(scenario: &Scenario) -> usize {
    scenario.backend.as_ref().unwrap().asked.lock().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_free_when_the_end_of_its_work_is_confirmed_and_not_before() {
    let takes = Duration::from_secs(5);
    let scenario = with(Backend { takes, ..Backend::default() }, 1, [Act::Hang, after(1)]).await;
    let (_stop, _tasks) = scenario.start();
    scenario.until_running(1).await;
    scenario.until("its time is up", async |scenario| scenario.pool().await.draining == 1).await;
    let drains_since = Instant::now();
    scenario.until_running(1).await;
    let waited = drains_since.elapsed();
    assert!(waited + Duration::from_millis(100) > takes && waited < takes * 2, "{waited:?}");
    let asked = scenario.backend.as_ref().unwrap().asked.lock().unwrap().clone();
    let fences = scenario.seen.fences.lock().unwrap().clone();
    assert_eq!(asked.iter().map(|left| left.fence.0).collect::<Vec<_>>(), fences[..1]);
}

#[tokio::test(start_paused = true)]
async fn work_that_is_not_confirmed_to_have_ended_keeps_its_slot_and_is_asked_for_again() {
    let scenario = with(Backend { denials: 3.into(), ..Backend::default() }, 1, [Act::Hang]).await;
    let (_stop, _tasks) = scenario.start();
    scenario.until("its time is up", async |scenario| scenario.pool().await.draining == 1).await;
    let drains_since = Instant::now();
    scenario.until("it is free", async |scenario| scenario.pool().await.in_use() == 0).await;
    let took = drains_since.elapsed();
    assert!(took > Duration::from_secs(4) && took < BACKEND_TIME / 2, "{took:?}");
    assert_eq!(asked(&scenario), 4);
}

#[tokio::test(start_paused = true)]
async fn a_canceller_that_panics_is_asked_again() {
    let scenario = with(Backend { panics: 1.into(), ..Backend::default() }, 1, [Act::Hang]).await;
    let (_stop, _tasks) = scenario.start();
    scenario.until("its time is up", async |scenario| scenario.pool().await.draining == 1).await;
    let drains_since = Instant::now();
    scenario.until("it is free", async |scenario| scenario.pool().await.draining == 0).await;
    assert!(drains_since.elapsed() < BACKEND_TIME / 2, "{:?}", drains_since.elapsed());
    assert_eq!(asked(&scenario), 2);
}

#[tokio::test(start_paused = true)]
async fn a_canceller_that_never_confirms_keeps_the_slot_no_longer_than_the_backend_works() {
    let takes = Duration::from_secs(3_600);
    let scenario = with(Backend { takes, ..Backend::default() }, 1, [Act::Hang]).await;
    let (_stop, _tasks) = scenario.start();
    scenario.until("its time is up", async |scenario| scenario.pool().await.draining == 1).await;
    let drains_since = Instant::now();
    scenario.until("it is free", async |scenario| scenario.pool().await.draining == 0).await;
    assert!(drains_since.elapsed().as_secs().abs_diff(BACKEND_TIME.as_secs()) <= 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_process_left_is_ended_by_another() {
    let mut dying = Scenario::new(1, [Act::Hang]).await;
    let engine = dying.engine.clone();
    let faults = FaultySlots::around(&mut dying.engine);
    let (_stop, _tasks) = dying.start();
    dying.until_running(1).await;
    faults.cut();
    let cut_at = Instant::now();

    let mut other = with(Backend::default(), 1, []).await;
    other.engine = engine;
    other.options.until_idle = false;
    let (_stop_other, _others) = other.start();
    other.until("the slot drains", async |other| other.pool().await.draining == 1 || asked(other) > 0).await;
    other.until("it is free", async |other| other.pool().await.in_use() == 0).await;
    assert_eq!(asked(&other), 1);
    // Not its ttl and its backend time, one after the other.
    assert!(cut_at.elapsed() < BACKEND_TIME + Duration::from_secs(2), "{:?}", cut_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_jobs_work_is_ended() {
    let scenario = with(Backend::default(), 1, [Act::Hang]).await;
    let (_stop, _tasks) = scenario.start();
    scenario.until_running(1).await;
    scenario.command(RunCommand::Cancel { run: scenario.run, reason: "enough".to_owned() }).await;
    scenario.until("it is free", async |scenario| scenario.pool().await.in_use() == 0).await;
    assert_eq!((asked(&scenario), scenario.job().await.state), (1, JobState::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stops_ends_the_work_of_what_it_hands_back() {
    let takes = Duration::from_secs(2);
    let scenario = with(Backend { takes, ..Backend::default() }, 2, [Act::Hang, Act::Hang]).await;
    let (stop, mut tasks) = scenario.start();
    scenario.until_running(2).await;
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(asked(&scenario), 2);
    assert_eq!(scenario.pool().await.in_use(), 0, "both are free before the worker is gone");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ends_by_itself_leaves_nothing() {
    let scenario = with(Backend::default(), 1, [after(1), Act::Skip, Act::Permanent]).await;
    scenario.work().await;
    assert_eq!((asked(&scenario), scenario.seen.running.load(Ordering::SeqCst)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_loses_its_store_stops_its_jobs_has_their_queries_ended_and_fails() {
    let mut scenario = with(Backend::default(), 2, [Act::Hang, Act::Hang, after(1)]).await;
    let slots = FaultySlots::around(&mut scenario.engine);
    let mut tasks = JoinSet::new();
    tasks.spawn(scenario.worker().run(CancellationToken::new()));
    scenario.until_running(2).await;
    slots.lose();
    let lost_at = Instant::now();
    let ended = tasks.join_next().await.unwrap().unwrap();
    assert!(matches!(ended, Err(EngineError::StoreLost { .. })), "{ended:?}");
    assert!(lost_at.elapsed() < Duration::from_secs(5), "{:?}", lost_at.elapsed());
    assert_eq!(scenario.seen.running.load(Ordering::SeqCst), 0);
    assert_eq!(asked(&scenario), 2);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_loses_its_store_while_it_drains_does_not_wait_for_the_grace() {
    let mut scenario = with(Backend::default(), 1, [Act::Hang]).await;
    let slots = FaultySlots::around(&mut scenario.engine);
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    tasks.spawn(scenario.worker().run(stop.clone()));
    scenario.until_running(1).await;
    stop.cancel();
    slots.lose();
    let lost_at = Instant::now();
    let ended = tasks.join_next().await.unwrap().unwrap();
    assert!(matches!(ended, Err(EngineError::StoreLost { .. })), "{ended:?}");
    assert!(lost_at.elapsed() < scenario.options.grace / 2, "{:?}", lost_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_store_was_lost_at_the_very_end_does_not_report_success() {
    let mut scenario = with(Backend::default(), 1, []).await;
    scenario.options.until_idle = false;
    let slots = FaultySlots::around(&mut scenario.engine);
    let worker = scenario.worker();
    let (mut worker_state, stop, mut tasks) = (worker.state(), CancellationToken::new(), JoinSet::new());
    tasks.spawn(worker.run(stop.clone()));
    worker_state.wait_for(|worker_state| *worker_state == WorkerState::Running).await.unwrap();
    slots.lose();
    stop.cancel();
    let ended = tasks.join_next().await.unwrap().unwrap();
    assert!(matches!(ended, Err(EngineError::StoreLost { .. })), "{ended:?}");
}
