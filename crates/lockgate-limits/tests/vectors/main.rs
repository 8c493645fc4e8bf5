//! Test cases of other limiters, applied to the token bucket. Where both make the same promise, the results
//! must be equal.
//!
//! Sources:
//! - governor 0.10, `tests/direct.rs`: first cell, too many, one extra cell after a longer interval,
//!   all-or-nothing checks, insufficient capacity, wait times, threads, a billion a second. Its `check_only`
//!   and `consume` (spending without a check) do not apply: no call here overdraws the bucket without a
//!   reservation; `remaining` allows a look ahead.
//! - throttled, `rate_test.go`: the complete GCRA table, with its remaining, reset and retry columns. Its
//!   `-1` for "no retry needed" is `None` or 0 here, and a volume above the limit is `TooLarge`. Failures of
//!   its store do not apply.
//! - Go `x/time/rate`, `rate_test.go`: burst 1 and 3, truncation, simultaneous requests, reservations,
//!   cancelling, a maximal wait, waiting. Where it states that a case "should violate limit, burst" (time
//!   that jumps back, a limit that changes under a reservation) this bucket does not violate them, and the
//!   later moment is asserted. `CancelMulti` returns one token more (see `reservations.rs`: what is left fits
//!   into the burst), and `CancelTooLate` returns what was never executed: in Go a reservation is spent by
//!   waiting, here by `execute`. A limit of 0 or infinity is not a rate here.
//! - leaky-bucket 1.1: overflow, try_acquire under contention, idle, drop of a waiting acquire. Its buckets
//!   fill in steps of an interval and this one evenly, so the phases of the intervals do not apply, nor do
//!   acquires above the maximum.
//! - resilience4j `AtomicRateLimiterTest`: acquire and refresh, reserve and refresh, reserve few then skip
//!   cycles. Its cycles are windows; with one permission a cycle they are a bucket of burst 1. Cases with
//!   many permissions a cycle depend on the phase of the cycle and do not apply.

#![expect(clippy::unwrap_used, reason = "a test: a panic is a failure")]

mod go;
mod governor;
mod leaky_bucket;
mod resilience4j;
mod throttled;

use std::time::Duration;

use lockgate_limits::{DenialReason, Denied, NotExecuted, Quota, Rate, Reservation, TokenBucket};
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3_600);

fn bucket(rate: u32, burst: u32) -> (TokenBucket, Instant) {
    let start = Instant::now();
    (TokenBucket::starting_at(Quota::per_second(rate, burst).unwrap(), start), start)
}

/// A table of (moment, tokens, admitted).
fn run(bucket: &TokenBucket, start: Instant, unit: Duration, table: &[(u32, u32, bool)]) {
    for (step, (at, tokens, admitted)) in table.iter().enumerate() {
        let result = bucket.try_acquire_at(*tokens, start + unit * *at).is_ok();
        assert_eq!(result, *admitted, "step {step}: {tokens} at {at}");
    }
}
