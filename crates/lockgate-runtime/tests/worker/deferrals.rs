//! Deferrals: consecutive deferrals wait longer and longer.

use std::time::Duration;

use lockgate_core::JobState;
use lockgate_core::retry::LONGEST_DEFERRAL;
use lockgate_runtime::PoolPolicy;
use tokio::time::Instant;

use crate::scenario::{Act, Scenario};

/// The only slot is held for 250 s.
#[tokio::test(start_paused = true)]
async fn job_without_a_slot_is_deferred_with_growing_waits() {
    let held = Act::Succeed { after: Duration::from_secs(250) };
    let waiting = std::iter::repeat_n(Act::Succeed { after: Duration::from_millis(5) }, 8);
    let scenario = Scenario::new(1, std::iter::once(held.clone()).chain(waiting)).await;
    let policy = PoolPolicy { max_wait: Duration::from_millis(200), ..PoolPolicy::default() };
    let mut scenario = scenario.policy(policy);
    let begun = Instant::now();
    scenario.options.until_idle = false;
    // The deadline of an attempt would end the holder first.
    let (stop, mut tasks) = scenario.start_with(|options| options.deadline = Duration::from_secs(300));
    scenario.until_running(1).await;
    scenario
        .until("the holder is done", async |scenario| {
            scenario.jobs().await.iter().any(|job| job.state == JobState::Succeeded)
        })
        .await;
    let deferrals: Vec<u32> =
        scenario.jobs().await.iter().map(|job| job.deferrals).filter(|n| *n > 0).collect();
    // 5, 10, 20, 40 and then 60 s at most, half of it on average, is 12 in 250 s; without growth it is about
    // 90.
    assert!(deferrals.iter().all(|n| *n <= 30), "{deferrals:?}");
    assert!(deferrals.iter().sum::<u32>() <= 8 * 20, "{deferrals:?}");
    scenario
        .until("all have run", async |scenario| {
            scenario.jobs().await.iter().all(|job| job.state == JobState::Succeeded)
        })
        .await;
    let longest = Duration::from_secs(250) + LONGEST_DEFERRAL * 4;
    assert!(begun.elapsed() < longest, "they came back late: {:?}", begun.elapsed());
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
}
