//! Ramp of a limit, in virtual time: what the jobs of all workers came to moves the limit, and its slots with
//! it.

use std::sync::Arc;
use std::time::Duration;

use lockgate_limits::{Changed, MemoryTokenStore, Quota, Ramp, RampState, TokenStore};
use tokio::time::Instant;

use super::rates::{POOL, Starts, quick, rates};
use super::scenario::{Act, Scenario};

/// Puts the pool's limit on its first step, as `limits ramp start` does.
async fn begin(token_store: &dyn TokenStore, ramp: &Ramp, configured: Option<Quota>) {
    let note = RampState { step: 0, configured, reason: String::from("started") };
    assert!(matches!(token_store.set(POOL, note.change(ramp, 0)).await.unwrap(), Changed::Applied(_)));
}

async fn place(token_store: &dyn TokenStore) -> Option<(usize, String)> {
    let status = token_store.list().await.unwrap().remove(0);
    status.note.parse::<RampState>().ok().map(|note| (note.step, note.reason))
}

#[tokio::test(start_paused = true)]
async fn limit_follows_its_ramp_and_falls_back_when_threshold_is_exceeded() {
    // One job after another, each within the bound on latency, for more than two soak times; then jobs that
    // fail.
    let good = std::iter::repeat_n(Act::Succeed { after: Duration::from_millis(900) }, 1_400);
    let mut scenario = Scenario::new(50, good.chain(std::iter::repeat_n(Act::Permanent, 400))).await;
    scenario.options.concurrency = 1;
    let (token_store, ramp) = (Arc::new(MemoryTokenStore::new()), Ramp::default());
    scenario.options.rates = rates(token_store.clone(), &[(POOL, 100, 150)]);
    begin(token_store.as_ref(), &ramp, Some(Quota::per_second(100, 150).unwrap())).await;
    let begun = Instant::now();
    let (_stop, mut tasks) = scenario.start();
    let mut seen: Vec<(usize, String, u64)> = Vec::new();
    let mut slots = Vec::new();
    scenario
        .until("it fell back", async |scenario| {
            let (place, why) = place(token_store.as_ref()).await.unwrap();
            if seen.last().is_none_or(|(before, ..)| *before != place) {
                seen.push((place, why, begun.elapsed().as_secs()));
            }
            let pool = scenario.pool().await;
            assert_eq!(pool.slots, 50, "a ramp step does not change the slots of the pool");
            slots.push(pool.limit());
            slots.dedup();
            seen.len() == 4
        })
        .await;
    let told: Vec<_> = seen.iter().map(|(place, why, _)| (*place, why.as_str())).collect();
    let kept = "it kept within its thresholds";
    assert_eq!(told, [(0, "started"), (1, kept), (2, kept), (1, "too many jobs failed")]);
    assert!(seen[1].2 >= 600 && seen[2].2 >= 1_200, "no ramp step is shorter than its soak time: {seen:?}");
    let status = token_store.list().await.unwrap().remove(0);
    assert_eq!((status.quota, status.version), (Some(Quota::per_second(25, 37).unwrap()), 4));
    scenario.until("the slots fall back, too", async |scenario| scenario.pool().await.limit() == 12).await;
    // The ramp has a step, and the pool does not have its slots yet: the first worker sets them.
    slots.truncate(4);
    assert_eq!(slots, [50, 2, 12, 50]);
    tasks.abort_all();
}

#[tokio::test(start_paused = true)]
async fn three_workers_that_see_too_few_jobs_each_step_back_as_one() {
    // 210 jobs of which every third fails: no worker sees a hundred of them before all have ended.
    let acts = (0..210).map(|n| {
        if n % 3 == 0 { Act::Permanent } else { Act::Succeed { after: Duration::from_millis(100) } }
    });
    let mut scenario = Scenario::new(50, acts).await;
    scenario.options.concurrency = 1;
    scenario.options.until_idle = false;
    let (token_store, ramp) = (Arc::new(MemoryTokenStore::new()), Ramp::default());
    scenario.options.rates = rates(token_store.clone(), &[]);
    begin(token_store.as_ref(), &ramp, Some(Quota::per_second(200, 200).unwrap())).await;
    let note =
        RampState { step: 1, configured: Some(Quota::per_second(200, 200).unwrap()), reason: String::new() };
    token_store.set(POOL, note.change(&ramp, 1)).await.unwrap();
    let mut workers: Vec<_> = (0..3).map(|_| scenario.start()).collect();
    scenario.until("it stepped back", async |_| place(token_store.as_ref()).await.unwrap().0 == 0).await;
    assert_eq!(place(token_store.as_ref()).await.unwrap().1, "too many jobs failed");
    workers.iter_mut().for_each(|(_, tasks)| tasks.abort_all());
}

#[tokio::test(start_paused = true)]
async fn limit_without_configured_ramp_uses_its_configured_rate() {
    let mut scenario = Scenario::new(50, quick(5)).await;
    scenario.options.until_idle = false;
    let (token_store, configured) = (Arc::new(MemoryTokenStore::new()), Quota::per_second(100, 150).unwrap());
    begin(token_store.as_ref(), &Ramp::default(), Some(configured)).await;
    let none = Ramp { steps: Vec::new(), ..Ramp::default() };
    let mut options = rates(token_store.clone(), &[]).unwrap();
    options.ramp = [(POOL.to_owned(), none)].into();
    scenario.options.rates = Some(options);
    let (_stop, mut tasks) = scenario.start();
    scenario.until("the ramp end", async |_| place(token_store.as_ref()).await.is_none()).await;
    assert_eq!(token_store.list().await.unwrap()[0].quota, Some(configured));
    tasks.abort_all();
}

#[tokio::test(start_paused = true)]
async fn slots_of_ended_ramp_step_are_restored_by_another_worker() {
    let mut scenario = Scenario::new(50, quick(5)).await;
    scenario.options.until_idle = false;
    let token_store = Arc::new(MemoryTokenStore::new());
    scenario.options.rates = rates(token_store.clone(), &[]);
    begin(token_store.as_ref(), &Ramp::default(), None).await;
    let (_stop, mut tasks) = scenario.start();
    scenario
        .until("the slots are those of the stage", async |scenario| scenario.pool().await.limit() == 2)
        .await;
    let note = RampState { step: 0, configured: None, reason: String::new() };
    assert!(matches!(token_store.set(POOL, note.end(1)).await.unwrap(), Changed::Applied(_)));
    scenario
        .until("the pool has its own slots again", async |scenario| scenario.pool().await.limit() == 50)
        .await;
    tasks.abort_all();
}

#[tokio::test(start_paused = true)]
async fn ramp_without_rate_does_not_limit_starts() {
    let mut scenario = Scenario::new(50, quick(60)).await;
    let token_store = Arc::new(MemoryTokenStore::new());
    scenario.options.rates = rates(token_store.clone(), &[]);
    begin(token_store.as_ref(), &Ramp::default(), None).await;
    let starts = Starts::seen(&mut scenario);
    assert_eq!(scenario.work().await.succeeded, 60);
    assert!(*starts.sorted().last().unwrap() < Duration::from_secs(1), "{:?}", starts.sorted().last());
}
