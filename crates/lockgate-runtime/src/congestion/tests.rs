//! The adaptive limit of a pool, driven by jobs on a backend that has a capacity, in virtual time.

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

/// A backend that refuses what is above its capacity.
struct Backend {
    capacity: AtomicU32,
    running: AtomicU32,
    /// When it refused, since the beginning.
    refused: Mutex<Vec<Duration>>,
    start: Instant,
}

impl Backend {
    async fn query(&self) -> Ended {
        let running = self.running.fetch_add(1, Ordering::SeqCst);
        let ended = if running < self.capacity.load(Ordering::SeqCst) {
            sleep(SERVICE).await; // virtual time
            Ended::Returned(Ok(()))
        } else {
            self.refused.lock().unwrap().push(self.start.elapsed());
            let class = ErrorClass::Overloaded { retry_after: None };
            Ended::Returned(Err(Failure::Error { class, error: "full".into(), backend_may_run: false }))
        };
        self.running.fetch_sub(1, Ordering::SeqCst);
        ended
    }

    fn refused_between(&self, from: u64, to: u64) -> usize {
        let within = |at: &&Duration| (from..to).contains(&at.as_secs());
        self.refused.lock().unwrap().iter().filter(within).count()
    }
}

/// Two processes with more jobs than slots, on one backend.
struct Scene {
    slots: Arc<dyn Slots>,
    backend: Arc<Backend>,
    side: TaskTracker,
    end: CancellationToken,
}

impl Scene {
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
        let scene = Self {
            slots,
            backend: Arc::new(backend),
            side: TaskTracker::new(),
            end: CancellationToken::new(),
        };
        for process in ["a", "b"] {
            scene.start(process, mode).await;
        }
        scene
    }

    async fn start(&self, process: &str, mode: AdaptiveMode) {
        let client = SlotClient::open(Arc::clone(&self.slots), process, HeartbeatOn::Task).await.unwrap();
        let policy = PoolPolicy { adaptive: mode, ..PoolPolicy::default() };
        let pools = [(name(), PoolWatch::new(policy))].into();
        let pools = if mode == AdaptiveMode::Off { BTreeMap::new() } else { pools };
        let watch = Watch { slots: Arc::clone(&self.slots), pools, looks: 0 };
        let congestion = watch.start(&self.side, self.end.clone());
        for _ in 0..30 {
            let work = work(client.clone(), congestion.clone(), Arc::clone(&self.backend));
            let end = self.end.clone();
            self.side.spawn(async move { end.run_until_cancelled(work).await });
        }
    }

    async fn status(&self) -> PoolStatus {
        self.slots.inspect(&PoolQuery::of(&name())).await.unwrap().remove(0).status
    }

    /// Lets seconds pass; answers what was advised at the end of each.
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
        self.side.close();
        timeout(Duration::from_secs(60), self.side.wait()).await.unwrap();
    }
}

/// Job after job; one that was refused comes again later.
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
        let ended = backend.query().await;
        congestion.hear(&kind, &needs, std::slice::from_ref(&ended), began.elapsed());
        hold.release().await;
        if signal_of(&ended).0 == Signal::Throttled {
            sleep(Duration::from_secs(2)).await; // virtual time
        }
    }
}

#[tokio::test(start_paused = true)]
async fn enforced_refusals_stop_within_seconds_and_the_pool_is_full_within_a_minute_afterwards() {
    let scene = Scene::new(AdaptiveMode::Enforce).await;
    scene.halve().await;
    let halved = scene.pass(60).await;
    let (first, settled) = (scene.backend.refused_between(10, 16), scene.backend.refused_between(20, 70));
    assert!(first > 0, "it was never refused");
    assert!(settled <= 10, "{settled} refusals after the limit had settled: {halved:?}");
    let (least, most) = (halved[10..].iter().min().unwrap(), halved[10..].iter().max().unwrap());
    assert!(*most - *least <= SLOTS / 2 / 5, "it oscillates: {halved:?}");
    assert_eq!(scene.status().await.slots, SLOTS, "what was configured stays");
    scene.restore();
    let after = scene.pass(60).await;
    assert_eq!(after.last(), Some(&SLOTS), "{after:?}");
    assert_eq!(scene.status().await.recommendation, None, "nothing is advised any more");
    scene.finish().await;
}

#[tokio::test(start_paused = true)]
async fn observing_recommends_and_changes_nothing_but_the_pause() {
    let scene = Scene::new(AdaptiveMode::Observe).await;
    scene.halve().await;
    let halved = scene.pass(60).await;
    assert!(halved.iter().any(|slots| *slots <= SLOTS * 7 / 10), "{halved:?}");
    let (least, most) = (halved[10..].iter().min().unwrap(), halved[10..].iter().max().unwrap());
    assert!(*most - *least <= SLOTS / 5 && *least >= SLOTS / 3, "it does not settle: {halved:?}");
    let status = scene.status().await;
    assert_eq!((status.slots, status.limit()), (SLOTS, SLOTS));
    let recommendation = status.recommendation.unwrap();
    assert!(!recommendation.enforced && !recommendation.why.is_empty(), "{recommendation:?}");
    scene.finish().await;
}

#[tokio::test(start_paused = true)]
async fn off_neither_advises_nor_pauses() {
    let scene = Scene::new(AdaptiveMode::Off).await;
    scene.halve().await;
    scene.pass(5).await;
    let status = scene.status().await;
    assert_eq!((status.recommendation, status.paused, status.version), (None, None, 1));
    assert!(scene.backend.refused_between(10, 15) > 0);
    scene.finish().await;
}

#[tokio::test(start_paused = true)]
async fn many_refusals_at_once_are_one_pause_and_one_change_for_all_processes() {
    let scene = Scene::new(AdaptiveMode::Enforce).await;
    scene.halve().await;
    let before = scene.status().await.version;
    while scene.status().await.version == before {
        sleep(Duration::from_millis(100)).await; // virtual time
    }
    sleep(Duration::from_millis(300)).await; // virtual time
    let status = scene.status().await;
    assert_eq!((status.version, status.limit()), (before + 1, SLOTS * 7 / 10), "{status:?}");
    assert!(scene.backend.refused_between(0, 60) > 1);
    scene.finish().await;
}

#[tokio::test(start_paused = true)]
async fn who_hears_of_a_congestion_second_lowers_nothing_even_without_experience() {
    let slots = memory::engine(SlotTiming::default()).slots;
    let spec = PoolSpec { name: name(), slots: SLOTS, per_tenant: None };
    slots.control(PoolCommand::Ensure(spec)).await.unwrap();
    let refused = Heard {
        kind: Kind::new("kind").unwrap(),
        pools: vec![name()],
        signal: Signal::Throttled,
        latency: Duration::ZERO,
        retry_after: Some(Duration::from_secs(3_600)),
    };
    for _ in 0..3 {
        let pools = [(name(), PoolWatch::new(PoolPolicy::default()))].into();
        let mut watch = Watch { slots: Arc::clone(&slots), pools, looks: 0 };
        watch.take_in(&refused).await;
        watch.take_in(&refused).await;
        watch.look().await.unwrap();
    }
    let status = slots.inspect(&PoolQuery::of(&name())).await.unwrap().remove(0).status;
    assert_eq!(status.recommendation.map(|recommendation| recommendation.slots), Some(SLOTS * 7 / 10));
    assert_eq!((status.version, status.paused), (2, Some(LONGEST_PAUSE)), "cut to its bound");
}

#[test]
fn when_another_process_has_restored_the_slots_nothing_is_advised_any_more() {
    let policy = PoolPolicy { adaptive: AdaptiveMode::Enforce, ..PoolPolicy::default() };
    let (mut pool, now) = (PoolWatch::new(policy), Instant::now());
    let recommendation =
        Recommendation { slots: 7, why: "refused".into(), enforced: true, age: Duration::ZERO };
    pool.catch_up(&PoolStatus { recommendation: Some(recommendation), version: 2, ..ten_slots() }, now);
    let restored = PoolStatus { version: 3, ..ten_slots() };
    pool.catch_up(&restored, now);
    assert_eq!(pool.decide(&restored, now), None);
}

#[test]
fn the_heaviest_job_still_fits_into_what_is_advised() {
    let mut pool = PoolWatch::new(PoolPolicy::default());
    pool.at_least(9);
    let heard = Heard {
        kind: Kind::new("kind").unwrap(),
        pools: vec![name()],
        signal: Signal::Throttled,
        latency: Duration::from_millis(1),
        retry_after: None,
    };
    let mut status = ten_slots();
    pool.catch_up(&status, Instant::now());
    assert!(pool.hear(&heard, Instant::now()), "the first refusal");
    pool.observe(&heard);
    let recommendation = pool.decide(&status, Instant::now()).flatten().unwrap();
    assert_eq!(recommendation.slots, 9);
    status.slots = 0;
    pool.catch_up(&status, Instant::now());
    assert_eq!(pool.decide(&status, Instant::now()), None, "a closed pool is not advised");
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
