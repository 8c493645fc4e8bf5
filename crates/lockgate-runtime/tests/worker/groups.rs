//! Jobs that share an execution: one slot for all, and an outcome for each.

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::lease::{Admission, Refusal, SlotRequest};
use lockgate_core::ledger::RunCommand;
use lockgate_core::pool::PoolCommand;
use lockgate_core::{JobState, Tenant};

use crate::scenario::{Act, Backend, Scenario, backend, state_of};

const SHORT: Act = Act::Succeed { after: Duration::from_millis(50) };

async fn groups_of(group: u32, slots: u32, acts: impl IntoIterator<Item = Act>) -> Scenario {
    let mut scenario = Scenario::new(slots, acts).await;
    scenario.group = group;
    scenario
}

fn groups(scenario: &Scenario) -> Vec<usize> {
    scenario.seen.groups.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn jobs_in_flight_share_an_execution_and_one_slot() {
    let scenario = groups_of(4, 5, vec![SHORT; 10]).await;
    let counters = scenario.work().await;
    assert_eq!((counters.succeeded, counters.deferred, counters.retry), (10, 0, 0));
    assert_eq!(groups(&scenario), [4, 4, 2]);
    assert_eq!((scenario.pool().await.peak, scenario.pool().await.in_use()), (3, 0));
    assert!(scenario.jobs().await.iter().all(|job| job.attempt == 1 && job.executions == 1));
}

#[tokio::test(start_paused = true)]
async fn each_of_a_group_is_settled_on_its_own_and_comes_again_alone() {
    let scenario = groups_of(4, 5, [SHORT, Act::Fail, Act::Skip, Act::OverloadedOnce]).await;
    scenario.work().await;
    let jobs = scenario.jobs().await;
    let told: Vec<_> = jobs.iter().map(|job| (job.state, job.attempt, job.executions)).collect();
    let expected = [
        (JobState::Succeeded, 1, 1),
        (JobState::Failed, 3, 3),
        (JobState::Skipped, 1, 1),
        (JobState::Succeeded, 1, 2),
    ];
    assert_eq!((told.as_slice(), groups(&scenario)), (&expected[..], vec![4]));
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_its_group_down_fails_alone_in_the_end() {
    for bad in [Act::Panic, Act::Hang] {
        let scenario = groups_of(3, 5, [SHORT, bad, SHORT]).await;
        scenario.work().await;
        let jobs = scenario.jobs().await;
        assert_eq!(
            (state_of(&jobs, JobState::Succeeded), state_of(&jobs, JobState::Failed)),
            (2, 1),
            "{jobs:?}"
        );
        assert_eq!(groups(&scenario), [3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_cannot_be_read_is_its_jobs_fault_alone() {
    let scenario = groups_of(2, 5, [Act::Broken, SHORT]).await;
    scenario.work().await;
    let states: Vec<JobState> = scenario.jobs().await.iter().map(|job| job.state).collect();
    assert_eq!(states, [JobState::Failed, JobState::Succeeded]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_cancelled_leaves_its_group_and_the_others_go_on() {
    for place in [0, 1] {
        let long = Act::Succeed { after: Duration::from_secs(10) };
        let scenario = groups_of(3, 1, [long, SHORT, SHORT]).await;
        let (_stop, mut tasks) = scenario.start();
        scenario.until_running(1).await;
        let job = scenario.jobs().await[place].id;
        scenario.command(RunCommand::CancelJob { job, reason: "enough".to_owned() }).await;
        let counters = tasks.join_next().await.unwrap().unwrap();
        assert_eq!((counters.succeeded, counters.cancelled), (2, 1));
        let jobs = scenario.jobs().await;
        assert_eq!(
            (jobs[place].state, state_of(&jobs, JobState::Succeeded)),
            (JobState::Cancelled, 2),
            "{jobs:?}"
        );
        assert_eq!(scenario.pool().await.in_use(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_of_cancelled_jobs_ends_at_once() {
    let scenario = groups_of(3, 1, [Act::Hang, SHORT, SHORT]).await;
    let (_stop, _tasks) = scenario.start();
    scenario.until_running(1).await;
    let since = tokio::time::Instant::now();
    scenario.command(RunCommand::Cancel { run: scenario.run, reason: "enough".to_owned() }).await;
    scenario.until_running(0).await;
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_a_group_leaves_at_the_backend_is_the_firsts() {
    let mut scenario = groups_of(2, 1, [Act::Hang, SHORT]).await;
    scenario.backend = Some(Arc::new(Backend::default()));
    let (_stop, _tasks) = scenario.start();
    scenario.until_running(1).await;
    scenario.until_running(0).await;
    scenario.until("its slot is free", async |scenario| scenario.pool().await.in_use() == 0).await;
    let asked = scenario.backend.as_ref().unwrap().asked.lock().unwrap().clone();
    let jobs = scenario.jobs().await;
    assert_eq!(asked.iter().map(|left| left.job).collect::<Vec<_>>(), [jobs[0].id]);
}

#[tokio::test(start_paused = true)]
async fn job_of_a_running_group_does_not_run_elsewhere() {
    let scenario = groups_of(2, 5, [Act::Hang, Act::Hang]).await;
    let (_stop, _tasks) = scenario.start();
    scenario.until_running(1).await;
    let session = scenario.engine.slots.open("other").await.unwrap();
    for job in scenario.jobs().await {
        let request = SlotRequest {
            lease: job.id.into(),
            tenant: Tenant::new("t").unwrap(),
            needs: Vec::new(),
            drain_for: Duration::ZERO,
            max_wait: Duration::from_secs(1),
        };
        let answer = scenario.engine.slots.acquire(&session, vec![request]).await.unwrap().remove(0);
        assert!(matches!(answer, Admission::Refused(Refusal::Held { .. })), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_loses_its_slots_stops_and_uses_no_attempt() {
    let scenario = groups_of(2, 1, [Act::Hang, SHORT]).await;
    let (_stop, _tasks) = scenario.start();
    scenario.until_running(1).await;
    scenario.engine.slots.control(PoolCommand::Reset { pool: backend() }).await.unwrap();
    scenario.until_running(0).await;
    scenario
        .until("both are deferred", async |scenario| {
            scenario.jobs().await.iter().all(|job| job.attempt == 0 && job.state == JobState::Scheduled)
        })
        .await;
}
