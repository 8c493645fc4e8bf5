//! Rates, in virtual time: starts keep them, slots are not kept for who would wait too long, and a change is
//! learned.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockgate_core::JobState;
use lockgate_limits::{
    AcquireRequest, Acquired, Changed, LimitChange, LimitStatus, MemoryTokenStore, Quota, SampleReport,
    StoreFuture, TokenBatchId, TokenStore,
};
use lockgate_runtime::{ExecutionTimes, Observer, PoolPolicy, RateOptions};
use tokio::time::Instant;

use super::scenario::{Act, Scenario};

pub(crate) const POOL: &str = "pool:backend";

/// When jobs started.
#[derive(Debug)]
pub(crate) struct Starts {
    begun: Instant,
    at: Mutex<Vec<Duration>>,
}

impl Observer for Starts {
    fn executed(&self, steps: &ExecutionTimes) {
        self.at.lock().unwrap().push(steps.started_at - self.begun);
    }
}

impl Starts {
    pub(crate) fn seen(scenario: &mut Scenario) -> Arc<Self> {
        let starts = Arc::new(Self { begun: Instant::now(), at: Mutex::default() });
        scenario.options.observer = Some(starts.clone());
        starts
    }

    pub(crate) fn sorted(&self) -> Vec<Duration> {
        let mut at = self.at.lock().unwrap().clone();
        at.sort_unstable();
        at
    }

    /// R1: in every window no more than a burst and what the rate brings; the first starts are among them.
    fn check(&self, rate: u32, burst: u32) {
        let at = self.sorted();
        for (n, from) in at.iter().enumerate() {
            for (many, to) in at[n..].iter().enumerate() {
                let most = f64::from(burst) + f64::from(rate) * (*to - *from).as_secs_f64();
                let many = u32::try_from(many + 1).unwrap();
                assert!(f64::from(many) <= most + 1e-6, "{many} from {from:?} to {to:?}, at most {most}");
            }
        }
    }
}

pub(crate) fn quick(jobs: usize) -> impl Iterator<Item = Act> {
    std::iter::repeat_n(Act::Succeed { after: Duration::from_millis(5) }, jobs)
}

pub(crate) fn rates(token_store: Arc<dyn TokenStore>, limits: &[(&str, u32, u32)]) -> Option<RateOptions> {
    let quota = |rate, burst| Quota::per_second(rate, burst).unwrap();
    let quotas =
        limits.iter().map(|(name, rate, burst)| ((*name).to_owned(), quota(*rate, *burst))).collect();
    Some(RateOptions { token_store, quotas, ramp: BTreeMap::new() })
}

#[tokio::test(start_paused = true)]
async fn starts_keep_the_rate_of_their_pool_and_use_it() {
    let mut scenario = Scenario::new(100, quick(120)).await;
    scenario.options.rates = rates(Arc::new(MemoryTokenStore::new()), &[(POOL, 10, 20)]);
    let starts = Starts::seen(&mut scenario);
    assert_eq!(scenario.work().await.succeeded, 120);
    starts.check(10, 20);
    let took = *starts.sorted().last().unwrap();
    assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(11), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_kind_has_a_rate_of_its_own_and_the_strictest_holds() {
    let mut scenario = Scenario::new(100, quick(60)).await;
    scenario.options.rates = rates(
        Arc::new(MemoryTokenStore::new()),
        &[(POOL, 100, 100), ("kind:probe", 10, 10), ("kind:other", 1, 1)],
    );
    let starts = Starts::seen(&mut scenario);
    assert_eq!(scenario.work().await.succeeded, 60);
    starts.check(10, 10);
    assert!(*starts.sorted().last().unwrap() < Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn tokens_are_acquired_after_slots_so_that_starts_do_not_bunch() {
    // One slot, held for 2 s each time: tokens that were drawn before it came would all be there by then.
    let mut scenario = Scenario::new(1, (0..3).map(|_| Act::Succeed { after: Duration::from_secs(2) })).await;
    let token_store = Arc::new(MemoryTokenStore::new());
    let quotas = [(POOL.to_owned(), Quota::new("1/h".parse().unwrap(), 20).unwrap())].into();
    scenario.options.rates =
        Some(RateOptions { token_store: token_store.clone(), quotas, ramp: BTreeMap::new() });
    let (stop, mut tasks) = scenario.start();
    tokio::time::sleep(Duration::from_secs(1)).await; // virtual time
    let there = token_store.list().await.unwrap()[0].tokens;
    assert_eq!(there, 19, "only the one that runs has taken a token");
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn job_that_would_wait_too_long_for_a_token_is_deferred_without_an_attempt() {
    let policy = PoolPolicy { max_wait: Duration::from_secs(3), ..PoolPolicy::default() };
    let mut scenario = Scenario::new(100, quick(8)).await.policy(policy);
    let quota = Quota::new("1/10s".parse().unwrap(), 2).unwrap();
    let quotas = [(POOL.to_owned(), quota)].into();
    scenario.options.rates =
        Some(RateOptions { token_store: Arc::new(MemoryTokenStore::new()), quotas, ramp: BTreeMap::new() });
    let starts = Starts::seen(&mut scenario);
    let (stop, mut tasks) = scenario.start();
    tokio::time::sleep(Duration::from_secs(4)).await; // virtual time
    assert_eq!(starts.sorted().len(), 2);
    assert_eq!(scenario.pool().await.held, 0, "nobody holds a slot for a token");
    let jobs = scenario.jobs().await;
    let waiting: Vec<_> = jobs.iter().filter(|job| job.state == JobState::Scheduled).collect();
    assert_eq!(waiting.len(), 6);
    for job in waiting {
        assert_eq!(job.attempt, 0, "{job:?}");
        assert!(
            job.reason.as_deref().unwrap_or_default().contains("above the rate of pool:backend"),
            "{job:?}"
        );
    }
    tasks.join_next().await.unwrap().unwrap();
    drop(stop);
    assert_eq!(starts.sorted().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_an_operator_makes_or_changes_holds_without_a_restart() {
    let mut scenario = Scenario::new(100, quick(100)).await;
    let token_store = Arc::new(MemoryTokenStore::new());
    scenario.options.concurrency = 1;
    scenario.options.rates = rates(token_store.clone(), &[(POOL, 10, 1)]);
    let starts = Starts::seen(&mut scenario);
    let (_stop, mut tasks) = scenario.start();
    tokio::time::sleep(Duration::from_secs(2)).await; // virtual time
    let slow = starts.sorted().len();
    assert!((15..=21).contains(&slow), "{slow}");
    let faster = LimitChange { quota: Some(Quota::per_second(20, 1).unwrap()), note: None, version: Some(1) };
    assert!(matches!(token_store.set(POOL, faster).await.unwrap(), Changed::Applied(_)));
    tokio::time::sleep(Duration::from_secs(1)).await; // virtual time
    let fast = starts.sorted().len() - slow;
    assert!((18..=21).contains(&fast), "{fast}");
    let other = LimitChange { quota: Some(Quota::per_second(1, 1).unwrap()), note: None, version: None };
    token_store.set("kind:probe", other).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await; // virtual time
    let before = starts.sorted().len();
    tokio::time::sleep(Duration::from_secs(10)).await; // virtual time
    let after = starts.sorted().len() - before;
    assert!((9..=11).contains(&after), "{after}");
    tasks.abort_all();
}

pub(crate) async fn set(token_store: &dyn TokenStore, limit: &str, rate: &str, burst: u32) {
    let quota = Quota::new(rate.parse().unwrap(), burst).unwrap();
    let change = LimitChange { quota: Some(quota), note: None, version: None };
    assert!(matches!(token_store.set(limit, change).await.unwrap(), Changed::Applied(_)));
}

/// A worker on 100 slots without configured rates, whose jobs may wait for two minutes.
pub(crate) async fn patient(jobs: usize, token_store: &Arc<MemoryTokenStore>) -> Scenario {
    let policy = PoolPolicy { max_wait: Duration::from_secs(120), ..PoolPolicy::default() };
    let mut scenario = Scenario::new(100, quick(jobs)).await.policy(policy);
    scenario.options.rates = rates(token_store.clone(), &[]);
    scenario
}

#[tokio::test(start_paused = true)]
async fn limit_that_only_the_store_knows_holds_for_the_first_jobs_of_a_worker() {
    let token_store = Arc::new(MemoryTokenStore::new());
    let mut scenario = patient(100, &token_store).await;
    set(token_store.as_ref(), POOL, "5/s", 5).await;
    let starts = Starts::seen(&mut scenario);
    assert_eq!(scenario.work().await.succeeded, 100);
    starts.check(5, 5);
}

#[tokio::test(start_paused = true)]
async fn raised_rate_reaches_jobs_that_wait_by_the_old_one_within_two_seconds() {
    let token_store = Arc::new(MemoryTokenStore::new());
    let mut scenario = patient(10, &token_store).await;
    set(token_store.as_ref(), POOL, "1/min", 1).await;
    scenario.options.concurrency = 2;
    let starts = Starts::seen(&mut scenario);
    let (_stop, mut tasks) = scenario.start();
    tokio::time::sleep(Duration::from_secs(5)).await; // virtual time
    assert_eq!(starts.sorted().len(), 1, "the next one waits for a minute");
    set(token_store.as_ref(), POOL, "10/s", 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await; // virtual time
    assert!(starts.sorted().len() >= 2, "{:?}", starts.sorted());
    tokio::time::sleep(Duration::from_secs(1)).await; // virtual time
    assert_eq!(starts.sorted().len(), 10);
    tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn lowered_rate_holds_within_two_seconds_for_a_worker_that_has_tokens_in_hand() {
    let token_store = Arc::new(MemoryTokenStore::new());
    let slow = std::iter::repeat_n(Act::Succeed { after: Duration::from_millis(500) }, 40);
    let mut scenario = Scenario::new(100, slow).await;
    scenario.options.concurrency = 1;
    scenario.options.rates = rates(token_store.clone(), &[]);
    set(token_store.as_ref(), POOL, "80/s", 80).await;
    let starts = Starts::seen(&mut scenario);
    let (_stop, mut tasks) = scenario.start();
    scenario
        .until("a batch was drawn", async |_| token_store.list().await.unwrap()[0].outstanding == 8)
        .await;
    set(token_store.as_ref(), POOL, "1/h", 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await; // virtual time
    let before = starts.sorted().len();
    tokio::time::sleep(Duration::from_secs(60)).await; // virtual time
    let more = starts.sorted().len() - before;
    assert!(more <= 1, "{more} starts by a rate of one an hour");
    tasks.abort_all();
}

#[tokio::test(start_paused = true)]
async fn limit_set_during_the_wait_for_another_one_holds_for_the_job_that_waits() {
    let token_store = Arc::new(MemoryTokenStore::new());
    let mut scenario = patient(20, &token_store).await;
    set(token_store.as_ref(), POOL, "1/10s", 1).await;
    let starts = Starts::seen(&mut scenario);
    let (_stop, mut tasks) = scenario.start();
    tokio::time::sleep(Duration::from_secs(5)).await; // virtual time
    assert_eq!(starts.sorted().len(), 1);
    set(token_store.as_ref(), "kind:probe", "1/h", 1).await;
    set(token_store.as_ref(), POOL, "100/s", 100).await;
    tokio::time::sleep(Duration::from_secs(60)).await; // virtual time
    assert!(starts.sorted().len() <= 2, "the kind starts once an hour: {:?}", starts.sorted());
    tasks.abort_all();
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_before_the_limits_are_known_however_long_their_store_is_away() {
    let mut scenario = Scenario::new(100, quick(50)).await;
    let away = Arc::new(Away::default());
    set(&away.token_store, POOL, "5/s", 5).await;
    scenario.options.rates = rates(away.clone(), &[]);
    let starts = Starts::seen(&mut scenario);
    let (_stop, mut tasks) = scenario.start();
    tokio::time::sleep(Duration::from_secs(180)).await; // virtual time
    assert_eq!(starts.sorted().len(), 0);
    away.back.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(tasks.join_next().await.unwrap().unwrap().succeeded, 50);
    starts.check(5, 5);
}

#[tokio::test(start_paused = true)]
async fn rate_that_is_unset_stops_nobody_who_waits_for_it() {
    let token_store = Arc::new(MemoryTokenStore::new());
    let mut scenario = patient(10, &token_store).await;
    set(token_store.as_ref(), POOL, "1/min", 1).await;
    let starts = Starts::seen(&mut scenario);
    let (_stop, mut tasks) = scenario.start();
    tokio::time::sleep(Duration::from_secs(5)).await; // virtual time
    assert_eq!(starts.sorted().len(), 1);
    let unset = LimitChange { quota: None, note: Some(String::new()), version: Some(1) };
    token_store.set(POOL, unset).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await; // virtual time
    assert!(starts.sorted().len() >= 3, "those that wait for a token start: {:?}", starts.sorted());
    assert!(token_store.list().await.unwrap()[0].is_unset(), "no worker brings it back");
    tasks.abort_all();
}

/// A store that is unavailable until a test makes it available.
#[derive(Debug, Default)]
struct Away {
    token_store: MemoryTokenStore,
    back: std::sync::atomic::AtomicBool,
}

impl Away {
    fn is_back(&self) -> Result<(), lockgate_limits::StoreError> {
        if self.back.load(std::sync::atomic::Ordering::SeqCst) { Ok(()) } else { Err("away".into()) }
    }
}

impl TokenStore for Away {
    fn acquire<'a>(&'a self, limit: &'a str, request: AcquireRequest) -> StoreFuture<'a, Acquired> {
        Box::pin(async move {
            self.is_back()?;
            self.token_store.acquire(limit, request).await
        })
    }

    fn give_back<'a>(&'a self, limit: &'a str, batch: TokenBatchId, unspent: u32) -> StoreFuture<'a, ()> {
        self.token_store.give_back(limit, batch, unspent)
    }

    fn list(&self) -> StoreFuture<'_, Vec<LimitStatus>> {
        Box::pin(async move {
            self.is_back()?;
            self.token_store.list().await
        })
    }

    fn set<'a>(&'a self, limit: &'a str, change: LimitChange) -> StoreFuture<'a, Changed> {
        self.token_store.set(limit, change)
    }

    fn report<'a>(&'a self, limit: &'a str, report: SampleReport) -> StoreFuture<'a, Changed> {
        self.token_store.report(limit, report)
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_nothing_starts_and_nothing_fails() {
    let mut scenario = Scenario::new(100, quick(5)).await;
    let away = Arc::new(Away::default());
    scenario.options.rates = rates(away.clone(), &[(POOL, 10, 20)]);
    let starts = Starts::seen(&mut scenario);
    let (_stop, mut tasks) = scenario.start();
    tokio::time::sleep(Duration::from_secs(180)).await; // virtual time
    assert_eq!(starts.sorted().len(), 0);
    away.back.store(true, std::sync::atomic::Ordering::SeqCst);
    let read = tasks.join_next().await.unwrap().unwrap();
    assert_eq!((read.succeeded, read.failed), (5, 0));
    assert!(scenario.jobs().await.iter().all(|job| job.attempt == 1));
}

#[tokio::test(start_paused = true)]
async fn job_waiting_for_a_token_is_returned_when_worker_drains() {
    let mut scenario = Scenario::new(100, quick(5)).await;
    scenario.options.until_idle = false;
    scenario.options.rates = rates(Arc::new(MemoryTokenStore::new()), &[(POOL, 1, 1)]);
    let (stop, mut tasks) = scenario.start();
    tokio::time::sleep(Duration::from_millis(500)).await; // virtual time
    let begun = Instant::now();
    stop.cancel();
    let read = tasks.join_next().await.unwrap().unwrap();
    assert_eq!(read.succeeded, 1);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(scenario.pool().await.held, 0);
    assert!(scenario.jobs().await.iter().all(|job| job.state != JobState::Failed));
}
