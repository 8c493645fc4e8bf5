//! Arithmetic of a rate limit: the tokens issued so far, compared with a schedule, in whole units.
//!
//! `issued` counts the units charged so far. The *full schedule* is a straight line that rises by the rate. A
//! bucket is full when `issued` is on that line, and empty when it is a burst above it. A charge of n tokens
//! first lifts `issued` to the full schedule, so that no more than the burst is saved up. It is admitted if
//! `issued + n` is not above full schedule + burst (the generic cell rate algorithm, ITU-T I.371, expressed
//! in tokens).
//!
//! A nanosecond and a token are both a whole number of units, so there is no rounding error. If the rate is
//! not a fraction of such small numbers, a token is rounded up. The effective rate is then below the
//! requested one by at most 16 millionths, and never above it.
//!
//! All functions are pure: they read no clock and touch no shared state.

use crate::quota::Quota;
use crate::span::Span;

/// The most units per nanosecond. It bounds how far ahead a reservation can lie: 2^54 units, at least 4.5
/// minutes.
const MAX_UNITS_PER_NANO: u64 = 1 << 16;

/// A third of what a word can hold: a schedule up to here, a burst and the reserved tokens fit into it
/// together.
pub(crate) const REACH: u64 = 1 << 54;

/// The schedule of one quota, starting at `anchor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Units per nanosecond.
    pub(crate) per_nano: u64,
    /// Units per token.
    pub(crate) per_token: u64,
    /// Tokens of a full bucket.
    pub(crate) burst: u64,
    /// When the full schedule is at 0, in nanoseconds of the limiter's time.
    pub(crate) anchor: u64,
}

/// The result of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Admitted: the number to store.
    Admit(u64),
    /// Denied at this moment.
    Deny(Wait),
    /// The schedule has gone beyond [`REACH`]: rebase the numbers and charge again.
    Rebase,
}

/// The result of a charge in 64-bit arithmetic. Small enough to be returned in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FastDecision {
    /// Admitted: the number to store.
    Admit(u64),
    /// Denied: this many units are missing.
    Short(u64),
    /// As [`Wait::Held`].
    Held,
    /// 64 bits are not enough; use the wide arithmetic.
    Overflow,
}

/// What a denied charge waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Time, counted from the moment of the charge.
    In(Span),
    /// Unspent tokens that others hold: they must be spent or returned first.
    Held,
    /// Nothing: the charge exceeds a full bucket and is never admitted.
    Never,
}

/// How many tokens a refund returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefundAmount {
    /// All of them.
    Exactly(u64),
    /// All of them, minus what one nanosecond yields, because other tokens are reserved for later.
    Alongside(u64),
}

impl Schedule {
    /// Creates the schedule of a quota. A bucket with nothing issued is full at `anchor`.
    pub(crate) fn new(quota: Quota, anchor: u64) -> Self {
        let (tokens, nanos) = quota.rate().ratio();
        let (tokens, nanos, burst) = (u128::from(tokens), u128::from(nanos), u64::from(quota.burst()));
        // The largest value that keeps a full bucket within reach. At least 1, because a quota fills within
        // 200 days.
        let room = u128::from(REACH) * tokens / (u128::from(burst) * nanos);
        let finest = room.min(u128::from(MAX_UNITS_PER_NANO)).max(1);
        // Exact where possible, and with enough units per token that a change of the rate loses next to
        // nothing.
        let per_nano = if tokens <= finest {
            let wanted = u128::from(MAX_UNITS_PER_NANO).div_ceil(nanos);
            tokens * wanted.min(finest / tokens)
        } else {
            finest
        };
        let per_token = (per_nano * nanos).div_ceil(tokens);
        Self { per_nano: narrow(per_nano), per_token: narrow(per_token), burst, anchor }
    }

    /// Returns the full schedule at `now`; negative before the anchor.
    fn full(&self, now: u64) -> i128 {
        let rise = |nanos: u64| i128::from(nanos) * i128::from(self.per_nano);
        if now >= self.anchor { rise(now - self.anchor) } else { -rise(self.anchor - now) }
    }

    fn units(&self, tokens: u64) -> i128 {
        i128::from(tokens) * i128::from(self.per_token)
    }

    /// Returns `issued`, lifted so that the available and the held tokens together are at most a burst.
    /// Tokens above that are forfeited.
    pub(crate) fn lifted(&self, issued: u64, now: u64, held: u64) -> i128 {
        i128::from(issued).max(self.full(now) + self.units(held))
    }

    /// Returns the units available at `now`; negative if later tokens are already reserved.
    pub(crate) fn available(&self, issued: u64, now: u64, held: u64) -> i128 {
        self.full(now) + self.units(self.burst) - self.lifted(issued, now, held)
    }

    /// Returns the whole tokens available at `now`.
    pub(crate) fn tokens(&self, issued: u64, now: u64, held: u64) -> u64 {
        let units = u64::try_from(self.available(issued, now, held).max(0)).unwrap_or(u64::MAX);
        units / self.per_token
    }

    /// Returns whether the numbers must be rebased before a charge at `now`.
    pub(crate) fn is_beyond_reach(&self, now: u64) -> bool {
        self.full(now) > i128::from(REACH)
    }

    /// Charges `tokens` at `now` if they are available.
    #[inline]
    pub(crate) fn charge(&self, issued: u64, now: u64, tokens: u64, held: u64) -> Decision {
        match self.decide_fast(issued, now, tokens, held) {
            FastDecision::Admit(next) => Decision::Admit(next),
            FastDecision::Short(units) => Decision::Deny(Wait::In(Span::of(units, self.per_nano))),
            FastDecision::Held => Decision::Deny(Wait::Held),
            FastDecision::Overflow => self.decide_wide(issued, now, tokens, held),
        }
    }

    /// The same in 128 bits, for large numbers and for moments before the anchor.
    #[cold]
    fn decide_wide(&self, issued: u64, now: u64, tokens: u64, held: u64) -> Decision {
        if self.is_beyond_reach(now) {
            return Decision::Rebase;
        }
        let next = self.lifted(issued, now, held) + self.units(tokens);
        if next <= self.full(now) + self.units(self.burst) {
            return Decision::Admit(word(next));
        }
        Decision::Deny(self.wait(issued, now, tokens, held))
    }

    /// The same in 64 bits: sufficient nearly always, and several times as fast. When the function continues
    /// past the first check, a full bucket, the full schedule, the held and the requested tokens are all
    /// within reach, so their sums do not overflow.
    #[inline]
    pub(crate) fn decide_fast(&self, issued: u64, now: u64, tokens: u64, held: u64) -> FastDecision {
        let full = now.checked_sub(self.anchor).and_then(|nanos| nanos.checked_mul(self.per_nano));
        let Some(full) = full.filter(|full| *full <= REACH && tokens.max(held) <= self.burst) else {
            return FastDecision::Overflow;
        };
        let burst = self.burst * self.per_token;
        let lifted = issued.max(full + held * self.per_token);
        let next = lifted + tokens * self.per_token;
        if next <= full + burst {
            FastDecision::Admit(next)
        } else if held > 0 && lifted > issued {
            FastDecision::Held
        } else {
            FastDecision::Short(next - (full + burst))
        }
    }

    /// Charges `tokens` whether they are available yet or not. Returns the number to store and when the
    /// tokens are available.
    pub(crate) fn promise(&self, issued: u64, now: u64, tokens: u64, held: u64) -> (u64, u64) {
        let next = self.lifted(issued, now, held) + self.units(tokens);
        let ready = self.moment_of(next).max(now);
        // A moment is a whole nanosecond. If the bucket is full by then, what it gained in the remaining
        // fraction is forfeited, too.
        (word(next.max(self.full(ready) + self.units(tokens))), ready)
    }

    fn wait(&self, issued: u64, now: u64, tokens: u64, held: u64) -> Wait {
        if tokens > self.burst {
            return Wait::Never;
        }
        // A lift rises with time, so time alone does not help when the lift is the obstacle.
        let lifted = self.lifted(issued, now, held);
        if lifted > i128::from(issued) && held > 0 {
            return Wait::Held;
        }
        Wait::In(Span::nanos(self.moment_of(lifted + self.units(tokens)).saturating_sub(now)))
    }

    /// Returns the first nanosecond at which a bucket with this much issued is not overdrawn.
    fn moment_of(&self, issued: i128) -> u64 {
        let rise = issued - self.units(self.burst);
        if let Ok(rise) = u64::try_from(rise) {
            // The usual case. A 128-bit division would be most of the cost of a denial.
            return self.anchor.saturating_add(rise.div_ceil(self.per_nano));
        }
        let per_nano = i128::from(self.per_nano);
        let nanos = rise.div_euclid(per_nano) + i128::from(rise.rem_euclid(per_nano) != 0);
        u64::try_from(i128::from(self.anchor) + nanos).unwrap_or(if nanos < 0 { 0 } else { u64::MAX })
    }

    /// Returns when `tokens` are available if nothing else is charged.
    pub(crate) fn available_at(&self, issued: u64, tokens: u64) -> u64 {
        self.moment_of(i128::from(issued) + self.units(tokens))
    }

    /// Returns `issued` for the same bucket on the schedule `to`, which starts at `now`. The bucket never has
    /// more units than before.
    pub(crate) fn issued_on(&self, issued: u64, now: u64, held: u64, to: &Self) -> u64 {
        let had = self.available(issued, now, held);
        let has = (had * i128::from(to.per_token)).div_euclid(i128::from(self.per_token));
        word(to.units(to.burst) - has.min(to.units(to.burst) - to.units(held.min(to.burst))))
    }

    /// Returns the number to store when `tokens` are returned at `now`.
    pub(crate) fn refunded(&self, issued: u64, now: u64, refund: RefundAmount, held: u64) -> u64 {
        let units = match refund {
            RefundAmount::Exactly(tokens) => self.units(tokens),
            // Each reservation was deferred to a whole nanosecond. What that adds to a full burst is not
            // returned.
            RefundAmount::Alongside(tokens) => self.units(tokens) - i128::from(self.per_nano),
        };
        word(self.lifted(issued, now, held) - units.max(0))
    }
}

/// Returns a number of units as it is stored: below 2^56 by the bounds of burst, reach and reservations.
fn word(units: i128) -> u64 {
    u64::try_from(units.clamp(0, (1 << 56) - 1)).unwrap_or(0)
}

fn narrow(n: u128) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::quota::Rate;
    use proptest::prelude::*;
    use std::time::Duration;

    /// Numbers of all magnitudes, and the ends of the range.
    fn numbers() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..100, (0u32..64).prop_map(|bits| (1u64 << bits) - 1), any::<u64>()]
    }

    fn schedules() -> impl Strategy<Value = Schedule> {
        let rates = prop_oneof![
            (1u32..=1_000_000_000).prop_map(|n| Rate::per_second(n).unwrap()),
            (1u64..=86_400).prop_map(|s| Rate::every(Duration::from_secs(s)).unwrap()),
        ];
        // Results are exact for five centuries; later moments may not fit the numbers.
        let anchors = numbers().prop_map(|anchor| anchor.min(500 * 31_557_600 * 1_000_000_000));
        (rates, 1u32..=200, anchors)
            .prop_map(|(rate, burst, anchor)| Schedule::new(Quota::new(rate, burst).unwrap(), anchor))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..Default::default() })]

        #[test]
        fn fast_decision_equals_wide_decision(
            schedule in schedules(),
            issued in numbers(),
            after in numbers(),
            tokens in prop_oneof![0u64..300, numbers()],
            held in prop_oneof![Just(0), 0u64..300, numbers()],
        ) {
            let (issued, now) = (issued >> 8, schedule.anchor.wrapping_add(after));
            let result = schedule.charge(issued, now, tokens, held);
            prop_assert_eq!(result, schedule.decide_wide(issued, now, tokens, held));
        }

        #[test]
        fn fast_decision_covers_all_usual_calls(schedule in schedules(), after in 0..REACH, tokens in 0u64..300, held in 0u64..300) {
            let now = schedule.anchor.saturating_add(after / schedule.per_nano);
            let is_far = schedule.decide_fast(0, now, tokens, held) == FastDecision::Overflow;
            prop_assert_eq!(is_far, tokens.max(held) > schedule.burst);
        }
    }
}
