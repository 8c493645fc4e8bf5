//! Rate limiters, reservations and overload protection inside a process, for any program: nothing here knows of queues.
//!
//! ```
//! use lockgate_limits::{Quota, TokenBucket};
//!
//! // 10 a second, up to 20 at once after a pause.
//! let bucket = TokenBucket::new(Quota::per_second(10, 20)?);
//! match bucket.try_acquire(1) {
//!     Ok(()) => { /* go on */ }
//!     Err(denied) => println!("come back in {:?}", denied.retry_after()),
//! }
//! # Ok::<(), lockgate_limits::QuotaError>(())
//! ```
//!
//! # Which one
//!
//! | you have | take |
//! | --- | --- |
//! | one limit, some threads or tasks | [`TokenBucket`] |
//! | also a bound on calls at once | [`Gate`] |
//! | one limit that many threads hit all the time | [`ShardedLimiter`] |
//! | a limit for each customer, tenant, address | [`KeyedLimiter`] |
//! | work that must know *now* when it may run | [`TokenBucket::reserve`] |
//! | one limit for several processes | [`DistributedLimiter`] on a store that implements [`TokenStore`] |
//! | a backend that fails | [`CircuitBreaker`] |
//! | a backend that refuses | [`ClientThrottle`], then [`Backoff`] within a [`RetryBudget`] |
//! | a bound on calls at once that nobody knows | [`AdaptiveLimit`] |
//! | a limit that should be raised step by step | [`Ramp`] |
//!
//! # What is exact
//!
//! In any window of clock readings of `t` seconds at most `burst + rate * t` tokens are admitted: by one thread or many, by
//! magazines, over changes of rate, for 500 years. There is no rounding: a nanosecond and a token are whole numbers of
//! units. A rate that is no fraction of small numbers (more than 65,536 tokens in lowest terms) is rounded *down*, by at
//! most 16 millionths.
//!
//! A denial's [`Denied::not_before`] is the first nanosecond at which the same call is admitted if nothing else happens.
//!
//! What is *not* promised: that the whole burst is there at every moment. Tokens that were spent out of a magazine since
//! the last look at the clock are missing from the burst until the next one: at most an eighth of it. The rate is used
//! whole. A call that runs at the same time as [`TokenBucket::set_quota`] decides by either quota.
//!
//! # What a reservation promises
//!
//! From [`Reservation::ready_at`] to [`Reservation::expires_at`] it can be executed, once, and is not refused. Order is
//! the order of charges: there is no queue, so nothing to wake and no herd; each waiter sleeps on its own timer.
//! [`TokenBucket::acquire`] is reserve, sleep, execute; dropping the future cancels. Cancelling gives back what can be given
//! back without letting others bunch; the rest is burned, and [`Refund`] tells both.
//!
//! For the bound on windows a reservation counts at `ready_at`. Executed late, it may fall together with others; to keep
//! that small it counts as part of the burst until it ends.
//!
//! # What the clock costs
//!
//! Reading the clock costs more than deciding: about 40 ns against 10. So each call has a twin that takes `now`: read it
//! once for a batch of calls. [`ShardedLimiter::try_acquire`] and [`KeyedLimiter::try_acquire`] read it only when the tokens
//! at hand are used up; a denial always does. The clock is tokio's [`Instant`](tokio::time::Instant), so that a paused
//! clock is obeyed; it never goes back, and an older `now` is only stricter.
//!
//! # Coming from another limiter
//!
//! | there | here |
//! | --- | --- |
//! | governor `RateLimiter::direct(quota)`, `check()` | [`TokenBucket::new`], [`TokenBucket::try_acquire`]`(1)` |
//! | governor `check_n(n)` | [`TokenBucket::try_acquire`]`(n)`; more than a burst is [`DenialReason::TooLarge`] |
//! | governor `until_ready().await` | [`TokenBucket::acquire`]: in order, where governor's waiters race |
//! | governor `keyed`, `check_key`, `retain_recent` | [`KeyedLimiter`]; idle keys go by themselves |
//! | leaky-bucket `acquire(n).await`, `try_acquire(n)` | the same names |
//! | ratelimit `try_wait()` | [`TokenBucket::try_acquire`]`(1)` |
//! | Go `rate.NewLimiter(r, b)`, `AllowN` | [`TokenBucket::new`], [`TokenBucket::try_acquire_at`] |
//! | Go `ReserveN`, `Delay`, `CancelAt` | [`TokenBucket::reserve_at`], [`Reservation::ready_at`], [`Reservation::cancel_at`]; and `execute` |
//! | Go `WaitN(ctx, n)` | [`TokenBucket::acquire`] in a `timeout` |
//! | `ShardedRateLimiter` | [`ShardedLimiter`]: shards hold tokens, not shares of the rate |
//! | `reserve`, `execute_reservation` | [`ShardedLimiter::reserve`], [`Reservation::execute`] |
//! | `AdaptiveShardedRateLimiter(rebalance_threshold)` | [`KeyedLimiter`] with [`KeyedOptions::rebalance_threshold`] |
//! | `DistributedRateLimiter(namespace)` | [`DistributedLimiter::new`]`(store, name, quota)` |
//!
//! # How it works
//!
//! A limit is one atomic word, the tokens issued so far, against a straight line that rises by the rate (the generic cell
//! rate algorithm, told in tokens): admitted is what stays below line + burst, after the word was lifted to the line, so
//! that no more than a burst is saved up. Tokens that are charged and not spent (reserved, in a magazine, in a chunk) count
//! as part of the burst. Everything else is built on these two sentences.

mod adaptive;
mod book;
mod breaker;
mod bucket;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod denied;
mod gate;
mod keyed;
mod ledger;
mod line;
mod place;
mod quota;
mod ramp;
mod reservation;
mod retry;
mod sharded;
mod span;
mod status;
mod sync;
mod tally;
mod throttle;
mod token_store;

pub use adaptive::{
    AdaptiveLimit, AdaptiveMode, AdaptiveOptions, Observation, Recommendation, RecommendationReason, Signal,
};
pub use breaker::{BreakerOpen, BreakerOptions, BreakerState, CallPermit, CircuitBreaker};
pub use bucket::TokenBucket;
pub use denied::{DenialReason, Denied};
pub use gate::{Gate, GateCounts, GateGuard};
pub use keyed::{KeyedLimiter, KeyedOptions, KeyedStatus};
pub use quota::{Quota, QuotaError, Rate};
pub use ramp::{
    ExceededThreshold, ParseRampStateError, Ramp, RampDecision, RampState, RampStep, Samples, StayReason,
};
pub use reservation::{NotExecuted, Refund, Reservation};
pub use retry::{Backoff, FullJitter, RetryBudget};
pub use sharded::ShardedLimiter;
pub use status::LimiterStatus;
pub use throttle::ClientThrottle;
pub use token_store::{
    AcquireRequest, Acquired, BucketState, Changed, DistributedLimiter, LimitChange, LimitState, LimitStatus,
    MAX_NOTE_BYTES, MemoryTokenStore, OutstandingBatch, SampleReport, StoreError, StoreFuture, TokenBatchId,
    TokenBatchOptions, TokenStore, TokenStoreError,
};
