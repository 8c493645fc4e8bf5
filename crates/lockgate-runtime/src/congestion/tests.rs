//! Tests of the adaptive limit of a pool, with jobs on a backend of limited capacity, in virtual time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use lockgate_core::Tenant;
use lockgate_core::lease::SlotRequest;
use lockgate_core::pool::{Configured, PoolSpec, PoolStatus, Recommendation};
use lockgate_core::timing::SlotTiming;
use tokio::time::{sleep, timeout};

use super::*;
use crate::memory;
use crate::slots::{HeartbeatOn, SlotClient};

const SLOTS: u32 = 50;
const SERVICE: Duration = Duration::from_millis(400);

fn name() -> PoolName {
    PoolName::new("backend").unwrap()
}

/// A backend that refuses queries above its capacity.
struct Backend {
    capacity: AtomicU32,
    running: AtomicU32,
    /// When it refused queries, since `start`.
    refused: Mutex<Vec<Duration>>,
    start: Instant,
}

impl Backend {
    async fn query(&self) -> ExecutionResult {
        let running = self.running.fetch_add(1, Ordering::SeqCst);
        let result = if running < self.capacity.load(Ordering::SeqCst) {
            sleep(SERVICE).await; // virtual time
            ExecutionResult::Returned(Ok(()))
        } else {
            self.refused.lock().unwrap().push(self.start.elapsed());
            let class = ErrorClass::Overloaded { retry_after: None };
            ExecutionResult::Returned(Err(Failure::Error {
                class,
                error: "full".into(),
                backend_may_run: false,
            }))
        };
        self.running.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn refused_between(&self, from: u64, to: u64) -> usize {
        let within = |at: &&Duration| (from..to).contains(&at.as_secs());
        self.refused.lock().unwrap().iter().filter(within).count()
    }
}

/// Two processes with more jobs than slots, on one backend.
struct Fixture {
    slots: Arc<dyn Slots>,
    backend: Arc<Backend>,
    background: TaskTracker,
    end: CancellationToken,
}

impl Fixture {
    async fn new(mode: AdaptiveMode) -> Self {
        let slots = memory::engine(SlotTiming::default()).slots;
        let spec = PoolSpec { name: name(), slots: SLOTS, per_tenant: None };
        slots.control(PoolCommand::Ensure(spec)).await.unwrap();
        let backend = Backend {
            capacity: AtomicU32::new(SLOTS),
            running: AtomicU32::new(0),
            refused: Mutex::default(),
            start: Instant::now(),
        };
        let fixture = Self {
            slots,
            backend: Arc::new(backend),
            background: TaskTracker::new(),
            end: CancellationToken::new(),
        };
        for process in ["a", "b"] {
            fixture.start(process, mode).await;
        }
        fixture
    }

    async fn start(&self, process: &str, mode: AdaptiveMode) {
        let client = SlotClient::open(Arc::clone(&self.slots), process, HeartbeatOn::Task).await.unwrap();
        let policy = PoolPolicy { adaptive: mode, ..PoolPolicy::default() };
        let pools = [(name(), PoolMonitor::new(policy))].into();
        let pools = if mode == AdaptiveMode::Off { BTreeMap::new() } else { pools };
        let monitor = CongestionMonitor { slots: Arc::clone(&self.slots), pools, decisions: 0 };
        let congestion = monitor.start(&self.background, self.end.clone());
        for _ in 0..30 {
            let work = work(client.clone(), congestion.clone(), Arc::clone(&self.backend));
            let end = self.end.clone();
            self.background.spawn(async move { end.run_until_cancelled(work).await });
        }
    }

    async fn status(&self) -> PoolStatus {
        self.slots.inspect(&PoolQuery::of(&name())).await.unwrap().remove(0).status
    }

    /// Lets seconds pass. Returns the recommended slots at the end of each second.
    async fn pass(&self, seconds: u32) -> Vec<u32> {
        let mut seen = Vec::new();
        for _ in 0..seconds {
            sleep(Duration::from_secs(1)).await; // virtual time
            let status = self.status().await;
            seen.push(status.recommendation.map_or(status.slots, |recommendation| recommendation.slots));
        }
        seen
    }

    async fn halve(&self) {
        self.pass(10).await;
        self.backend.capacity.store(SLOTS / 2, Ordering::SeqCst);
    }

    fn restore(&self) {
        self.backend.capacity.store(SLOTS, Ordering::SeqCst);
    }

    async fn finish(self) {
        self.end.cancel();
        self.background.close();
        timeout(Duration::from_secs(60), self.background.wait()).await.unwrap();
    }
}

/// Runs one job after another. Pauses after a refused job.
async fn work(client: SlotClient, congestion: Congestion, backend: Arc<Backend>) {
    let kind = Kind::new("kind").unwrap();
    loop {
        let request = SlotRequest {
            lease: lockgate_core::LeaseId(uuid::Uuid::now_v7()),
            tenant: Tenant::new("t").unwrap(),
            needs: vec![Need { pool: name(), weight: 1 }],
            drain_for: Duration::ZERO,
            max_wait: Duration::from_secs(3_600),
        };
        let needs = request.needs.clone();
        let Ok(hold) = client.acquire(request).await else { continue };
        let began = Instant::now();
        let result = backend.query().await;
        congestion.report(&kind, &needs, std::slice::from_ref(&result), began.elapsed());
        hold.release().await;
        if signal_of(&result).0 == Signal::Throttled {
            sleep(Duration::from_secs(2)).await; // virtual time
        }
    }
}

#[tokio::test(start_paused = true)]
async fn enforced_limit_stops_refusals_within_seconds_and_is_restored_within_a_minute() {
    let fixture = Fixture::new(AdaptiveMode::Enforce).await;
    fixture.halve().await;
    let halved = fixture.pass(60).await;
    let (first, settled) = (fixture.backend.refused_between(10, 16), fixture.backend.refused_between(20, 70));
    assert!(first > 0, "no query was refused");
    assert!(settled <= 10, "{settled} refusals after the limit had settled: {halved:?}");
    let (least, most) = (halved[10..].iter().min().unwrap(), halved[10..].iter().max().unwrap());
    assert!(*most - *least <= SLOTS / 2 / 5, "the limit oscillates: {halved:?}");
    assert_eq!(fixture.status().await.slots, SLOTS, "the configured slots are unchanged");
    fixture.restore();
    let after = fixture.pass(60).await;
    assert_eq!(after.last(), Some(&SLOTS), "{after:?}");
    assert_eq!(fixture.status().await.recommendation, None, "the recommendation is removed");
    fixture.finish().await;
}

#[tokio::test(start_paused = true)]
async fn observe_mode_only_pauses_and_recommends() {
    let fixture = Fixture::new(AdaptiveMode::Observe).await;
    fixture.halve().await;
    let halved = fixture.pass(60).await;
    assert!(halved.iter().any(|slots| *slots <= SLOTS * 7 / 10), "{halved:?}");
    let (least, most) = (halved[10..].iter().min().unwrap(), halved[10..].iter().max().unwrap());
    assert!(
        *most - *least <= SLOTS / 5 && *least >= SLOTS / 3,
        "the recommendation does not settle: {halved:?}"
    );
    let status = fixture.status().await;
    assert_eq!((status.slots, status.limit()), (SLOTS, SLOTS));
    let recommendation = status.recommendation.unwrap();
    assert!(!recommendation.enforced && !recommendation.why.is_empty(), "{recommendation:?}");
    fixture.finish().await;
}

#[tokio::test(start_paused = true)]
async fn off_mode_neither_recommends_nor_pauses() {
    let fixture = Fixture::new(AdaptiveMode::Off).await;
    fixture.halve().await;
    fixture.pass(5).await;
    let status = fixture.status().await;
    assert_eq!((status.recommendation, status.paused, status.version), (None, None, 1));
    assert!(fixture.backend.refused_between(10, 15) > 0);
    fixture.finish().await;
}

#[tokio::test(start_paused = true)]
async fn concurrent_refusals_cause_one_pause_and_one_change_for_all_processes() {
    let fixture = Fixture::new(AdaptiveMode::Enforce).await;
    fixture.halve().await;
    let before = fixture.status().await.version;
    while fixture.status().await.version == before {
        sleep(Duration::from_millis(100)).await; // virtual time
    }
    sleep(Duration::from_millis(300)).await; // virtual time
    let status = fixture.status().await;
    assert_eq!((status.version, status.limit()), (before + 1, SLOTS * 7 / 10), "{status:?}");
    assert!(fixture.backend.refused_between(0, 60) > 1);
    fixture.finish().await;
}

#[tokio::test(start_paused = true)]
async fn second_process_does_not_lower_the_slots_for_the_same_congestion() {
    let slots = memory::engine(SlotTiming::default()).slots;
    let spec = PoolSpec { name: name(), slots: SLOTS, per_tenant: None };
    slots.control(PoolCommand::Ensure(spec)).await.unwrap();
    let refused = ExecutionReport {
        kind: Kind::new("kind").unwrap(),
        pools: vec![name()],
        signal: Signal::Throttled,
        latency: Duration::ZERO,
        retry_after: Some(Duration::from_secs(3_600)),
    };
    for _ in 0..3 {
        let pools = [(name(), PoolMonitor::new(PoolPolicy::default()))].into();
        let mut monitor = CongestionMonitor { slots: Arc::clone(&slots), pools, decisions: 0 };
        monitor.process(&refused).await;
        monitor.process(&refused).await;
        monitor.decide().await.unwrap();
    }
    let status = slots.inspect(&PoolQuery::of(&name())).await.unwrap().remove(0).status;
    assert_eq!(status.recommendation.map(|recommendation| recommendation.slots), Some(SLOTS * 7 / 10));
    assert_eq!((status.version, status.paused), (2, Some(LONGEST_PAUSE)), "the pause is bounded");
}

#[test]
fn slots_restored_by_another_process_need_no_recommendation() {
    let policy = PoolPolicy { adaptive: AdaptiveMode::Enforce, ..PoolPolicy::default() };
    let (mut pool, now) = (PoolMonitor::new(policy), Instant::now());
    let recommendation =
        Recommendation { slots: 7, why: "refused".into(), enforced: true, age: Duration::ZERO };
    pool.synchronize(&PoolStatus { recommendation: Some(recommendation), version: 2, ..ten_slots() }, now);
    let restored = PoolStatus { version: 3, ..ten_slots() };
    pool.synchronize(&restored, now);
    assert_eq!(pool.decide(&restored, now), None);
}

#[test]
fn recommendation_leaves_room_for_the_heaviest_job() {
    let mut pool = PoolMonitor::new(PoolPolicy::default());
    pool.recommend_at_least(9);
    let report = ExecutionReport {
        kind: Kind::new("kind").unwrap(),
        pools: vec![name()],
        signal: Signal::Throttled,
        latency: Duration::from_millis(1),
        retry_after: None,
    };
    let mut status = ten_slots();
    pool.synchronize(&status, Instant::now());
    assert!(pool.process(&report, Instant::now()), "the first refusal");
    pool.observe(&report);
    let recommendation = pool.decide(&status, Instant::now()).flatten().unwrap();
    assert_eq!(recommendation.slots, 9);
    status.slots = 0;
    pool.synchronize(&status, Instant::now());
    assert_eq!(pool.decide(&status, Instant::now()), None, "a closed pool gets no recommendation");
}

fn ten_slots() -> PoolStatus {
    PoolStatus {
        name: name(),
        configured: Configured { slots: 10, per_tenant: None },
        slots: 10,
        per_tenant: None,
        ramp: None,
        version: 1,
        epoch: 1,
        held: 10,
        draining: 0,
        peak: 10,
        waiters: 0,
        oldest_wait: None,
        recovering: None,
        paused: None,
        recommendation: None,
    }
}
