//! Compares the bucket with an exact model in virtual time: every decision, and the properties R1 to R6 over
//! random histories.
//!
//! R1: in any window at most burst + rate * t tokens are admitted. R2: the spent, burned, held and available
//! tokens together never exceed what was refilled. R3: a reservation is executed once, in its window. R4:
//! reservations are ready in the order of their charges. R5: a denial's `not_before` is the first nanosecond
//! that admits the call. R6: a change of the rate creates no token.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test: small numbers, and a panic is a failure"
)]

mod history;

use std::time::Duration;

use lockgate_limits::{DenialReason, NotExecuted, Quota, Rate, Reservation, TokenBucket};
use proptest::prelude::*;
use proptest::test_runner::Config;
use tokio::time::Instant;

fn config() -> Config {
    Config { cases: 10_000, failure_persistence: None, ..Config::default() }
}

/// A bucket in exact fractions: `level` is in tokens times the nanoseconds of the rate.
struct Model {
    tokens: u128,
    nanos: u128,
    burst: u128,
    level: u128,
    at: u128,
}

impl Model {
    fn new(tokens: u32, per: Duration, burst: u32) -> Self {
        let nanos = per.as_nanos();
        Self {
            tokens: u128::from(tokens),
            nanos,
            burst: u128::from(burst),
            level: u128::from(burst) * nanos,
            at: 0,
        }
    }

    fn fill(&mut self, now: u128) {
        let came = (now - self.at) * self.tokens;
        self.level = (self.level + came).min(self.burst * self.nanos);
        self.at = now;
    }

    /// Takes `n` tokens. On denial, returns the first moment that would admit them; `None` for never.
    fn take(&mut self, now: u128, n: u32) -> Result<(), Option<u128>> {
        self.fill(now);
        let need = u128::from(n) * self.nanos;
        if u128::from(n) > self.burst {
            return Err(None);
        }
        if need <= self.level {
            self.level -= need;
            return Ok(());
        }
        Err(Some(now + (need - self.level).div_ceil(self.tokens)))
    }
}

fn rates() -> impl Strategy<Value = (u32, Duration)> {
    prop_oneof![
        (1u32..100, 1u64..5).prop_map(|(n, s)| (n, Duration::from_secs(s))),
        (1u32..50_000).prop_map(|n| (n, Duration::from_secs(1))),
        Just((1, Duration::from_secs(86_400))),
        Just((1_000_000_000, Duration::from_secs(1))),
        Just((3, Duration::from_secs(7))),
    ]
}

/// Random steps to the next call; their gaps are about the time in which the rate yields some tokens.
fn steps() -> impl Strategy<Value = (u32, u32, bool)> {
    (0u32..1_000, 1u32..12, any::<bool>())
}

fn gap(per_token: f64, thousandths: u32) -> Duration {
    // Up to the time of four tokens, and often 0.
    let part = f64::from(thousandths.saturating_sub(300)) / 175.0;
    Duration::from_nanos((per_token * part) as u64)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn decisions_equal_the_exact_model_and_denials_are_tight(
        (n, per) in rates(),
        burst in 1u32..10,
        calls in prop::collection::vec(steps(), 1..30),
    ) {
        let quota = Quota::new(Rate::new(n, per).unwrap(), burst).unwrap();
        let start = Instant::now();
        let bucket = TokenBucket::starting_at(quota, start);
        let mut model = Model::new(n, per, burst);
        let mut now = Duration::ZERO;
        for (thousandths, tokens, follow) in calls {
            now += gap(per.as_nanos() as f64 / f64::from(n), thousandths);
            let wanted = model.take(now.as_nanos(), tokens);
            let result = bucket.try_acquire_at(tokens, start + now);
            match wanted {
                Ok(()) => prop_assert_eq!(result, Ok(())),
                Err(None) => prop_assert_eq!(result.unwrap_err().reason(), DenialReason::TooLarge),
                Err(Some(at)) => {
                    let at = Duration::from_nanos(u64::try_from(at).unwrap());
                    let denied = result.unwrap_err();
                    prop_assert_eq!(denied.not_before(), Some(start + at));
                    prop_assert_eq!(denied.retry_after(), Some(at - now));
                    if follow {
                        let early = start + at - Duration::from_nanos(1);
                        prop_assert!(bucket.try_acquire_at(tokens, early).is_err());
                        prop_assert_eq!(bucket.try_acquire_at(tokens, start + at), Ok(()));
                        prop_assert_eq!(model.take(at.as_nanos(), tokens), Ok(()));
                        now = at;
                    }
                }
            }
            let status = bucket.status_at(start + now);
            prop_assert_eq!(u128::from(status.remaining), model.level / model.nanos);
        }
    }

    #[test]
    fn window_admits_at_most_burst_and_rate(
        (n, per) in rates(),
        burst in 1u32..10,
        at_once in any::<bool>(),
        steps in prop::collection::vec((0u32..1_000, 1u32..6, 0u32..8, any::<prop::sample::Index>()), 1..30),
    ) {
        let mut history = history::History::new(n, per, burst, at_once);
        for (thousandths, tokens, what, which) in steps {
            history.step(thousandths, tokens, what, which)?;
        }
        history.check_windows()?;
    }

    #[test]
    fn change_of_quota_creates_no_token_and_loses_less_than_one(
        first in rates(),
        burst in 1u32..10,
        changes in prop::collection::vec((0u32..1_000, 1u32..6, prop::option::of((rates(), 1u32..10))), 1..30),
    ) {
        let start = Instant::now();
        let quota = |(n, per): (u32, Duration), burst| Quota::new(Rate::new(n, per).unwrap(), burst).unwrap();
        let bucket = TokenBucket::starting_at(quota(first, burst), start);
        let (mut rate, mut now) = (first, Duration::ZERO);
        // Levels as fractions of tokens, because models of different rates have no common unit.
        let (mut level, mut most) = (f64::from(burst), f64::from(burst));
        for (thousandths, tokens, change) in changes {
            let gap = gap(rate.1.as_nanos() as f64 / f64::from(rate.0), thousandths);
            now += gap;
            level = (level + f64::from(rate.0) * gap.as_nanos() as f64 / rate.1.as_nanos() as f64).min(most);
            if bucket.try_acquire_at(tokens, start + now).is_ok() {
                level -= f64::from(tokens);
                prop_assert!(level > -1e-3, "more than available: {level}");
            }
            if let Some((next, burst)) = change {
                rate = next;
                most = f64::from(burst);
                level = level.min(most);
                bucket.set_quota_at(quota(next, burst), start + now);
            }
            let left = bucket.status_at(start + now).remaining as f64;
            prop_assert!(left <= level + 1e-3 && left > level - 1.001, "{left} left of {level}");
        }
    }
}

#[test]
fn two_cancellations_alongside_a_reservation_are_not_returned_in_full() {
    let start = Instant::now();
    let bucket = TokenBucket::starting_at(Quota::per_second(1, 4).unwrap(), start);
    let reserve = |n| bucket.reserve_at(n, Duration::from_secs(60), start).unwrap();
    let (first, second, promised) = (reserve(2), reserve(2), reserve(1));
    assert_eq!(promised.ready_at(), start + Duration::from_secs(1));
    assert_eq!(first.cancel_at(start).returned, 2);
    // With both, four could coincide with the reserved one: five of a burst of four.
    assert_eq!(second.cancel_at(start).returned, 1);
    assert!(reserve(4).ready_at() > start + Duration::from_secs(2));
}
