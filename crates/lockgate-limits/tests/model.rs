//! The bucket against a model in virtual time: every decision of it, and the bounds R1 to R6 over random lives.
//!
//! R1: in any window at most burst + rate * t is admitted. R2: what was spent, burned, held and is left is never more
//! than what came in. R3: a reservation executes once, in its window. R4: ready times follow the order of charges.
//! R5: a denial's `not_before` is the first nanosecond that admits. R6: a change of rate creates nothing.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test: small numbers, and a panic is a failure"
)]

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

    /// `Ok`, or the first moment that would admit, `None` for never.
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

/// A time to the next call, near what the rate needs for some tokens.
fn steps() -> impl Strategy<Value = (u32, u32, bool)> {
    (0u32..1_000, 1u32..12, any::<bool>())
}

fn gap(per_token: f64, thousandths: u32) -> Duration {
    // Up to four tokens' time, and often nothing.
    let part = f64::from(thousandths.saturating_sub(300)) / 175.0;
    Duration::from_nanos((per_token * part) as u64)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn each_decision_is_that_of_the_exact_model_and_a_denial_is_tight(
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
            let told = bucket.try_acquire_at(tokens, start + now);
            match wanted {
                Ok(()) => prop_assert_eq!(told, Ok(())),
                Err(None) => prop_assert_eq!(told.unwrap_err().reason(), DenialReason::TooLarge),
                Err(Some(at)) => {
                    let at = Duration::from_nanos(u64::try_from(at).unwrap());
                    let denied = told.unwrap_err();
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
    fn no_window_admits_more_than_its_burst_and_rate(
        (n, per) in rates(),
        burst in 1u32..10,
        at_once in any::<bool>(),
        steps in prop::collection::vec((0u32..1_000, 1u32..6, 0u32..8, any::<prop::sample::Index>()), 1..30),
    ) {
        let mut life = Life::new(n, per, burst, at_once);
        for (thousandths, tokens, what, which) in steps {
            life.step(thousandths, tokens, what, which)?;
        }
        life.check_windows()?;
    }

    #[test]
    fn a_change_of_quota_creates_no_token_and_loses_less_than_one(
        first in rates(),
        burst in 1u32..10,
        changes in prop::collection::vec((0u32..1_000, 1u32..6, prop::option::of((rates(), 1u32..10))), 1..30),
    ) {
        let start = Instant::now();
        let quota = |(n, per): (u32, Duration), burst| Quota::new(Rate::new(n, per).unwrap(), burst).unwrap();
        let bucket = TokenBucket::starting_at(quota(first, burst), start);
        let (mut rate, mut now) = (first, Duration::ZERO);
        // Tokens as a fraction of themselves: the models of different rates have no common unit.
        let (mut level, mut most) = (f64::from(burst), f64::from(burst));
        for (thousandths, tokens, change) in changes {
            let gap = gap(rate.1.as_nanos() as f64 / f64::from(rate.0), thousandths);
            now += gap;
            level = (level + f64::from(rate.0) * gap.as_nanos() as f64 / rate.1.as_nanos() as f64).min(most);
            if bucket.try_acquire_at(tokens, start + now).is_ok() {
                level -= f64::from(tokens);
                prop_assert!(level > -1e-3, "more than there is: {level}");
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
fn two_that_are_cancelled_beside_a_promise_do_not_come_back_whole() {
    let start = Instant::now();
    let bucket = TokenBucket::starting_at(Quota::per_second(1, 4).unwrap(), start);
    let reserve = |n| bucket.reserve_at(n, Duration::from_secs(60), start).unwrap();
    let (first, second, promised) = (reserve(2), reserve(2), reserve(1));
    assert_eq!(promised.ready_at(), start + Duration::from_secs(1));
    assert_eq!(first.cancel_at(start).returned, 2);
    // With both, four could come together with the promised one: five of a burst of four.
    assert_eq!(second.cancel_at(start).returned, 1);
    assert!(reserve(4).ready_at() > start + Duration::from_secs(2));
}

/// A random life of one bucket with reservations.
struct Life {
    bucket: TokenBucket,
    start: Instant,
    now: Duration,
    rate: (u32, Duration),
    burst: u32,
    // Whether only what is there is reserved: then a reservation counts at its execution, however late.
    at_once: bool,
    held: Vec<(Reservation, u32)>,
    // When, and how many.
    admitted: Vec<(Duration, u32)>,
    last_ready: Option<Instant>,
}

impl Life {
    fn new(n: u32, per: Duration, burst: u32, at_once: bool) -> Self {
        let start = Instant::now();
        let quota = Quota::new(Rate::new(n, per).unwrap(), burst).unwrap();
        let bucket = TokenBucket::with_window(quota, start, per * 3 / n);
        Self {
            bucket,
            start,
            now: Duration::ZERO,
            rate: (n, per),
            burst,
            at_once,
            held: Vec::new(),
            admitted: Vec::new(),
            last_ready: None,
        }
    }

    fn step(
        &mut self,
        gap_of: u32,
        tokens: u32,
        what: u32,
        which: prop::sample::Index,
    ) -> Result<(), TestCaseError> {
        let per_token = self.rate.1.as_nanos() as f64 / f64::from(self.rate.0);
        self.now += gap(per_token, gap_of);
        let at = self.start + self.now;
        match what {
            0..=1 => {
                if self.bucket.try_acquire_at(tokens, at).is_ok() {
                    self.admitted.push((self.now, tokens));
                }
            }
            2..=4 => self.reserve(
                tokens,
                Duration::from_nanos(if self.at_once { 0 } else { (per_token * 6.0) as u64 }),
                at,
            )?,
            _ if self.held.is_empty() => {}
            5..=6 => self.execute(which.index(self.held.len()), at)?,
            _ => {
                let (reservation, _) = self.held.remove(which.index(self.held.len()));
                let before = self.bucket.status_at(at);
                let refund = reservation.cancel_at(at);
                let after = self.bucket.status_at(at);
                prop_assert_eq!(before.held - after.held, refund.returned + refund.burned);
                self.last_ready = None;
            }
        }
        self.conserve(at)
    }

    fn reserve(&mut self, tokens: u32, max_wait: Duration, at: Instant) -> Result<(), TestCaseError> {
        // Whoever has expired gives back now, which is like a cancelling.
        let expired = self.held.iter().any(|(r, _)| r.expires_at() < at);
        if let Ok(reservation) = self.bucket.reserve_at(tokens, max_wait, at) {
            let ready = reservation.ready_at();
            prop_assert!(ready >= at && ready <= at + max_wait);
            if let Some(last) = self.last_ready.filter(|_| !expired) {
                prop_assert!(ready >= last, "ready before one that was charged earlier");
            }
            self.last_ready = Some(ready);
            self.held.push((reservation, tokens));
        }
        Ok(())
    }

    fn execute(&mut self, index: usize, at: Instant) -> Result<(), TestCaseError> {
        let (reservation, tokens) = &mut self.held[index];
        let (ready, expires) = (reservation.ready_at(), reservation.expires_at());
        match reservation.execute_at(at) {
            Err(NotExecuted::Early) => prop_assert!(at < ready),
            Err(NotExecuted::Ended) => prop_assert!(at > expires),
            Ok(()) => {
                prop_assert!(at >= ready && at <= expires);
                prop_assert_eq!(reservation.execute_at(at), Err(NotExecuted::Ended));
                self.admitted.push((if self.at_once { self.now } else { ready - self.start }, *tokens));
            }
        }
        if at >= ready {
            drop(self.held.remove(index));
            self.last_ready = self.last_ready.filter(|_| at <= expires);
        }
        Ok(())
    }

    /// R2 as far as it shows: spent, burned, held and left are not more than what came in.
    fn conserve(&self, at: Instant) -> Result<(), TestCaseError> {
        let status = self.bucket.status_at(at);
        let spent: u64 = self.admitted.iter().map(|(_, n)| u64::from(*n)).sum();
        prop_assert_eq!(status.allowed, spent);
        let held: u64 =
            self.held.iter().filter(|(r, _)| r.expires_at() >= at).map(|(_, n)| u64::from(*n)).sum();
        prop_assert_eq!(status.held, held);
        let ahead = self.held.iter().map(|(r, _)| r.ready_at()).max().map_or(at, |last| last.max(at));
        let came = self.most(ahead - self.start);
        prop_assert!(u128::from(spent + status.burned + held) <= came);
        let now = self.most(self.now);
        let waiting: u64 =
            self.held.iter().filter(|(r, _)| r.ready_at() > at).map(|(_, n)| u64::from(*n)).sum();
        prop_assert!(u128::from(spent + held + status.remaining - waiting.min(spent + held)) <= now);
        Ok(())
    }

    fn most(&self, window: Duration) -> u128 {
        let (n, per) = self.rate;
        u128::from(self.burst) + u128::from(n) * window.as_nanos() / per.as_nanos()
    }

    fn check_windows(&mut self) -> Result<(), TestCaseError> {
        // Whatever is still held would be executed, too.
        for (reservation, tokens) in &mut self.held {
            let ready = reservation.ready_at();
            if reservation.execute_at(ready.max(self.start + self.now)).is_ok() {
                self.admitted.push((if self.at_once { self.now } else { ready - self.start }, *tokens));
            }
        }
        self.admitted.sort_unstable();
        for (i, (from, _)) in self.admitted.iter().enumerate() {
            let mut sum = 0u128;
            for (to, tokens) in &self.admitted[i..] {
                sum += u128::from(*tokens);
                let most = self.most(*to - *from);
                prop_assert!(sum <= most, "{sum} from {from:?} to {to:?}, at most {most}");
            }
        }
        Ok(())
    }
}
