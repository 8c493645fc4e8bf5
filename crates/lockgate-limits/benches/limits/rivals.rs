//! Other limiters, set to the same limit.
//!
//! It must never set one of them up to be slower than its own documentation would.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState as FastState;
use governor::clock::{Clock, FakeRelativeClock, MonotonicClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// The row that ratios are told from.
pub(crate) const DEFAULT: &str = "governor, default clock (TSC)";

/// How long after their making the stopped clocks stand: too short for another token.
pub(crate) const LATER: Duration = Duration::from_micros(1);

type Call<'a> = &'a (dyn Fn(usize) -> bool + Sync);

fn quota(rate: u32, burst: u32) -> Quota {
    Quota::per_second(NonZeroU32::new(rate).unwrap()).allow_burst(NonZeroU32::new(burst).unwrap())
}

/// Each of them with one limit.
pub(crate) fn direct(rate: u32, burst: u32, mut each: impl FnMut(&str, Call<'_>)) {
    let default = RateLimiter::direct(quota(rate, burst));
    each(DEFAULT, &|_| default.check().is_ok());
    let standard = RateLimiter::direct_with_clock(quota(rate, burst), MonotonicClock);
    each("governor, std clock", &|_| standard.check().is_ok());
    let other = ratelimit::Ratelimiter::builder(u64::from(rate))
        .max_tokens(u64::from(burst))
        .initial_available(u64::from(burst))
        .build()
        .unwrap();
    each("ratelimit", &|_| other.try_wait().is_ok());
    let (tokens, millis) = if rate >= 1_000 { (rate / 1_000, 1) } else { (rate, 1_000) };
    let leaky = leaky_bucket::RateLimiter::builder()
        .max(burst as usize)
        .initial(burst as usize)
        .refill(tokens as usize)
        .interval(Duration::from_millis(millis))
        .build();
    each("leaky-bucket", &|_| leaky.try_acquire(1));
    // No rate: what a bare semaphore costs, as a floor.
    let semaphore = tokio::sync::Semaphore::new(if rate == 1 { 0 } else { 1 });
    each("tokio Semaphore, no rate", &|_| semaphore.try_acquire().is_ok());
}

/// The one beside which ours are measured with `now` handed in: with clocks that cost nothing, since they stand still.
pub(crate) fn without_clock(rate: u32, burst: u32, mut each: impl FnMut(&str, Call<'_>)) {
    let clock = FakeRelativeClock::default();
    let nanos = RateLimiter::direct_with_clock(quota(rate, burst), clock.clone());
    clock.advance(LATER);
    each("governor, stopped clock (nanoseconds)", &|_| nanos.check().is_ok());
    let clock = Stopped { start: crate::now(), later: Arc::default() };
    let instant = RateLimiter::direct_with_clock(quota(rate, burst), clock.clone());
    clock.later.set(clock.start + LATER).unwrap();
    each("governor, stopped clock (std Instant)", &|_| instant.check().is_ok());
}

/// What a `now` that is handed in is for ours: the same type, and no reading.
#[derive(Debug, Clone)]
struct Stopped {
    start: Instant,
    // From when it has stopped; a difference of nothing would be spared the subtraction.
    later: Arc<OnceLock<Instant>>,
}

impl Clock for Stopped {
    type Instant = Instant;

    fn now(&self) -> Instant {
        *self.later.get().unwrap_or(&self.start)
    }
}

/// Those that know keys.
pub(crate) fn keyed(rate: u32, burst: u32, mut each: impl FnMut(&str, &(dyn Fn(u64) -> bool + Sync))) {
    let default: DefaultKeyedRateLimiter<u64> = RateLimiter::keyed(quota(rate, burst));
    each(DEFAULT, &|key| default.check_key(&key).is_ok());
    let standard = RateLimiter::dashmap_with_clock(quota(rate, burst), MonotonicClock);
    each("governor, std clock", &|key: u64| standard.check_key(&key).is_ok());
    let fast = RateLimiter::dashmap_with_hasher(quota(rate, burst), FastState::default());
    each("governor, default clock, foldhash", &|key: u64| fast.check_key(&key).is_ok());
}
