//! The arithmetic of a ledger: one number against one straight line, in whole units.
//!
//! `issued` counts the units charged so far. A bucket is full where `issued` meets the *full line*, which rises by the
//! rate; it is empty a burst above. A charge of n tokens is admitted when `issued + n` is not above full line + burst,
//! after `issued` was lifted to the full line, so that nobody saves up more than the burst (the generic cell rate
//! algorithm, ITU-T I.371, told in tokens).
//!
//! A nanosecond is a whole number of units, and so is a token: the line has no rounding. Where the rate is no such
//! fraction of small numbers, a token is rounded up, so that the real rate is below the wanted one by at most 16
//! millionths and never above it.
//!
//! It must never read a clock nor touch shared state.

use crate::quota::Quota;
use crate::span::Span;

/// The most units for a nanosecond. It bounds how far ahead can be promised: 2^54 units, 4.5 minutes at the very least.
const FINEST: u64 = 1 << 16;

/// A third of what a word holds: the line up to here, a burst and what is promised fit into it together.
pub(crate) const REACH: u64 = 1 << 54;

/// The line of one quota from one moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    /// Units for each nanosecond.
    pub(crate) per_nano: u64,
    /// Units for each token.
    pub(crate) per_token: u64,
    /// Tokens of a full bucket.
    pub(crate) burst: u64,
    /// When the full line is at 0, in nanoseconds of the ledger's time.
    pub(crate) anchor: u64,
}

/// What becomes of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Admitted: the number to store.
    Admit(u64),
    /// Not now.
    Deny(Wait),
    /// The line has gone so far that the numbers must start again.
    TooLong,
}

/// What becomes of a charge where 64 bits tell: small enough to be handed on in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Near {
    /// Admitted: the number to store.
    Admit(u64),
    /// So many units are missing.
    Short(u64),
    /// As [`Wait::Held`].
    Held,
    /// They do not tell.
    Far,
}

/// What a denied charge waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// So much time from the moment that was asked about.
    In(Span),
    /// Tokens that others hold, unspent, to be spent or given back.
    Held,
    /// More than a full bucket: never.
    Never,
}

/// Tokens to give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tokens {
    /// All of them.
    Exactly(u64),
    /// Beside tokens that are promised for later, less what a nanosecond brings.
    Beside(u64),
}

impl Line {
    /// The line of a quota, whose bucket is full at `anchor` when nothing was issued.
    pub(crate) fn new(quota: Quota, anchor: u64) -> Self {
        let (tokens, nanos) = quota.rate().ratio();
        let (tokens, nanos, burst) = (u128::from(tokens), u128::from(nanos), u64::from(quota.burst()));
        // What keeps a full bucket within reach; at least 1, since a quota fills in 200 days.
        let room = u128::from(REACH) * tokens / (u128::from(burst) * nanos);
        let finest = room.min(u128::from(FINEST)).max(1);
        // Exact where it can be, and with so many units for a token that a change of rate loses next to nothing.
        let per_nano = if tokens <= finest {
            let wanted = u128::from(FINEST).div_ceil(nanos);
            tokens * wanted.min(finest / tokens)
        } else {
            finest
        };
        let per_token = (per_nano * nanos).div_ceil(tokens);
        Self { per_nano: low(per_nano), per_token: low(per_token), burst, anchor }
    }

    /// The full line at `now`; below 0 before the anchor.
    fn full(&self, now: u64) -> i128 {
        let rise = |nanos: u64| i128::from(nanos) * i128::from(self.per_nano);
        if now >= self.anchor { rise(now - self.anchor) } else { -rise(self.anchor - now) }
    }

    fn units(&self, tokens: u64) -> i128 {
        i128::from(tokens) * i128::from(self.per_token)
    }

    /// `issued`, lifted so that what can be had and what is held are a burst together. What is lifted over is forfeited.
    pub(crate) fn lifted(&self, issued: u64, now: u64, held: u64) -> i128 {
        i128::from(issued).max(self.full(now) + self.units(held))
    }

    /// Units that can be had at `now`; below 0 when later tokens are promised already.
    pub(crate) fn available(&self, issued: u64, now: u64, held: u64) -> i128 {
        self.full(now) + self.units(self.burst) - self.lifted(issued, now, held)
    }

    /// Whole tokens that can be had at `now`.
    pub(crate) fn tokens(&self, issued: u64, now: u64, held: u64) -> u64 {
        let units = u64::try_from(self.available(issued, now, held).max(0)).unwrap_or(u64::MAX);
        units / self.per_token
    }

    /// Whether the numbers must start again before anything is charged at `now`.
    pub(crate) fn is_far(&self, now: u64) -> bool {
        self.full(now) > i128::from(REACH)
    }

    /// Charges `tokens` at `now`, if they are there.
    #[inline]
    pub(crate) fn charge(&self, issued: u64, now: u64, tokens: u64, held: u64) -> Decision {
        match self.near(issued, now, tokens, held) {
            Near::Admit(next) => Decision::Admit(next),
            Near::Short(units) => Decision::Deny(Wait::In(Span::of(units, self.per_nano))),
            Near::Held => Decision::Deny(Wait::Held),
            Near::Far => self.anywhere(issued, now, tokens, held),
        }
    }

    /// The same where numbers are large, or before the anchor.
    #[cold]
    fn anywhere(&self, issued: u64, now: u64, tokens: u64, held: u64) -> Decision {
        if self.is_far(now) {
            return Decision::TooLong;
        }
        let next = self.lifted(issued, now, held) + self.units(tokens);
        if next <= self.full(now) + self.units(self.burst) {
            return Decision::Admit(word(next));
        }
        Decision::Deny(self.wait(issued, now, tokens, held))
    }

    /// The same in 64 bits: nearly always, and several times as fast. A full bucket is within reach, and so are the full
    /// line, what is held and what is asked for, where this goes on: their sums do not overflow.
    #[inline]
    pub(crate) fn near(&self, issued: u64, now: u64, tokens: u64, held: u64) -> Near {
        let full = now.checked_sub(self.anchor).and_then(|nanos| nanos.checked_mul(self.per_nano));
        let Some(full) = full.filter(|full| *full <= REACH && tokens.max(held) <= self.burst) else {
            return Near::Far;
        };
        let burst = self.burst * self.per_token;
        let lifted = issued.max(full + held * self.per_token);
        let next = lifted + tokens * self.per_token;
        if next <= full + burst {
            Near::Admit(next)
        } else if held > 0 && lifted > issued {
            Near::Held
        } else {
            Near::Short(next - (full + burst))
        }
    }

    /// Charges `tokens` whether they are there yet or not, and says when they are.
    pub(crate) fn promise(&self, issued: u64, now: u64, tokens: u64, held: u64) -> (u64, u64) {
        let next = self.lifted(issued, now, held) + self.units(tokens);
        let ready = self.reached(next).max(now);
        // A moment is a whole nanosecond. What a bucket that is full by then gains in a part of one is forfeited, too.
        (word(next.max(self.full(ready) + self.units(tokens))), ready)
    }

    fn wait(&self, issued: u64, now: u64, tokens: u64, held: u64) -> Wait {
        if tokens > self.burst {
            return Wait::Never;
        }
        // A lift goes along with time: where it is what stands in the way, time alone does not help.
        let lifted = self.lifted(issued, now, held);
        if lifted > i128::from(issued) && held > 0 {
            return Wait::Held;
        }
        Wait::In(Span::nanos(self.reached(lifted + self.units(tokens)).saturating_sub(now)))
    }

    /// The first nanosecond at which a bucket that issued this much is not overdrawn.
    fn reached(&self, issued: i128) -> u64 {
        let rise = issued - self.units(self.burst);
        if let Ok(rise) = u64::try_from(rise) {
            // Nearly always; dividing 128 bits would be most of what a denial costs.
            return self.anchor.saturating_add(rise.div_ceil(self.per_nano));
        }
        let per_nano = i128::from(self.per_nano);
        let nanos = rise.div_euclid(per_nano) + i128::from(rise.rem_euclid(per_nano) != 0);
        u64::try_from(i128::from(self.anchor) + nanos).unwrap_or(if nanos < 0 { 0 } else { u64::MAX })
    }

    /// When `tokens` are there, if nothing is charged.
    pub(crate) fn there_at(&self, issued: u64, tokens: u64) -> u64 {
        self.reached(i128::from(issued) + self.units(tokens))
    }

    /// The same bucket at `now` on another line that starts there: never one unit more than it had.
    pub(crate) fn moved(&self, issued: u64, now: u64, held: u64, to: &Self) -> u64 {
        let had = self.available(issued, now, held);
        let has = (had * i128::from(to.per_token)).div_euclid(i128::from(self.per_token));
        word(to.units(to.burst) - has.min(to.units(to.burst) - to.units(held.min(to.burst))))
    }

    /// The number to store when `tokens` are given back at `now`.
    pub(crate) fn refunded(&self, issued: u64, now: u64, refund: Tokens, held: u64) -> u64 {
        let units = match refund {
            Tokens::Exactly(tokens) => self.units(tokens),
            // Each promise was put off to a whole nanosecond: what that adds to a full burst is not given.
            Tokens::Beside(tokens) => self.units(tokens) - i128::from(self.per_nano),
        };
        word(self.lifted(issued, now, held) - units.max(0))
    }
}

/// A number of units as it is stored: below 2^56 by the bounds of burst, reach and promises.
fn word(units: i128) -> u64 {
    u64::try_from(units.clamp(0, (1 << 56) - 1)).unwrap_or(0)
}

fn low(n: u128) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::quota::Rate;
    use proptest::prelude::*;
    use std::time::Duration;

    /// Numbers of every size, and the ends of the range.
    fn numbers() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..100, (0u32..64).prop_map(|bits| (1u64 << bits) - 1), any::<u64>()]
    }

    fn lines() -> impl Strategy<Value = Line> {
        let rates = prop_oneof![
            (1u32..=1_000_000_000).prop_map(|n| Rate::per_second(n).unwrap()),
            (1u64..=86_400).prop_map(|s| Rate::every(Duration::from_secs(s)).unwrap()),
        ];
        // What is promised holds for five centuries; a moment beyond what can be told is another matter.
        let anchors = numbers().prop_map(|anchor| anchor.min(500 * 31_557_600 * 1_000_000_000));
        (rates, 1u32..=200, anchors)
            .prop_map(|(rate, burst, anchor)| Line::new(Quota::new(rate, burst).unwrap(), anchor))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..Default::default() })]

        #[test]
        fn what_64_bits_tell_is_what_the_whole_arithmetic_tells(
            line in lines(),
            issued in numbers(),
            after in numbers(),
            tokens in prop_oneof![0u64..300, numbers()],
            held in prop_oneof![Just(0), 0u64..300, numbers()],
        ) {
            let (issued, now) = (issued >> 8, line.anchor.wrapping_add(after));
            let told = line.charge(issued, now, tokens, held);
            prop_assert_eq!(told, line.anywhere(issued, now, tokens, held));
        }

        #[test]
        fn they_do_tell_where_calls_happen(line in lines(), after in 0..REACH, tokens in 0u64..300, held in 0u64..300) {
            let now = line.anchor.saturating_add(after / line.per_nano);
            let is_far = line.near(0, now, tokens, held) == Near::Far;
            prop_assert_eq!(is_far, tokens.max(held) > line.burst);
        }
    }
}
