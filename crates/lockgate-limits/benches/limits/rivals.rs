//! Other limiters, configured with the same limit, and as fast as their own documentation suggests.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState as FastState;
use governor::clock::{Clock, FakeRelativeClock, MonotonicClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// The row that ratios refer to.
pub(crate) const DEFAULT: &str = "governor, default clock (TSC)";

/// How far the stopped clocks advance after their creation: too short for another token.
pub(crate) const LATER: Duration = Duration::from_micros(1);

type Call<'a> = &'a (dyn Fn(usize) -> bool + Sync);

fn quota(rate: u32, burst: u32) -> Quota {
    Quota::per_second(NonZeroU32::new(rate).unwrap()).allow_burst(NonZeroU32::new(burst).unwrap())
}

/// Each limiter with one limit.
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
    // No rate: the cost of a bare semaphore, as a lower bound.
    let semaphore = tokio::sync::Semaphore::new(if rate == 1 { 0 } else { 1 });
    each("tokio Semaphore, no rate", &|_| semaphore.try_acquire().is_ok());
}

/// Limiters to compare with our calls that pass `now`: their clocks stand still and cost nothing.
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

/// The equivalent of passing `now` to our limiters: the same type, and no clock reading.
#[derive(Debug, Clone)]
struct Stopped {
    start: Instant,
    // Set when the clock stops. A difference of 0 would skip the subtraction.
    later: Arc<OnceLock<Instant>>,
}

impl Clock for Stopped {
    type Instant = Instant;

    fn now(&self) -> Instant {
        *self.later.get().unwrap_or(&self.start)
    }
}

/// Limiters with keys.
pub(crate) fn keyed(rate: u32, burst: u32, mut each: impl FnMut(&str, &(dyn Fn(u64) -> bool + Sync))) {
    let default: DefaultKeyedRateLimiter<u64> = RateLimiter::keyed(quota(rate, burst));
    each(DEFAULT, &|key| default.check_key(&key).is_ok());
    let standard = RateLimiter::dashmap_with_clock(quota(rate, burst), MonotonicClock);
    each("governor, std clock", &|key: u64| standard.check_key(&key).is_ok());
    let fast = RateLimiter::dashmap_with_hasher(quota(rate, burst), FastState::default());
    each("governor, default clock, foldhash", &|key: u64| fast.check_key(&key).is_ok());
}
