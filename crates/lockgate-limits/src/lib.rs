//! Rate limiters, reservations and overload protection inside a process. The crate works in any program and
//! does not depend on a queue.
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
//! | you have | use |
//! | --- | --- |
//! | one limit, some threads or tasks | [`TokenBucket`] |
//! | a rate and a maximum of calls in flight | [`Gate`] |
//! | one limit that many threads use all the time | [`ShardedLimiter`] |
//! | a limit per customer, tenant or address | [`KeyedLimiter`] |
//! | work that must know *now* when it may run | [`TokenBucket::reserve`] |
//! | one limit for several processes | [`DistributedLimiter`] on a store that implements [`TokenStore`] |
//! | a backend that fails | [`CircuitBreaker`] |
//! | a backend that rejects calls when overloaded | [`ClientThrottle`], then [`Backoff`] within a [`RetryBudget`] |
//! | an unknown maximum of concurrent calls | [`AdaptiveLimit`] |
//! | a limit that is raised step by step | [`Ramp`] |
//!
//! # What is guaranteed
//!
//! In any window of clock readings of `t` seconds, at most `burst + rate * t` tokens are admitted. This holds
//! for one thread or many, with local caches of tokens, across changes of the rate, and for 500 years. There
//! is no rounding error: a nanosecond and a token are both whole numbers of units. A rate that is not a
//! fraction of small numbers (more than 65,536 tokens in lowest terms) is rounded *down*, by at most 16
//! millionths.
//!
//! [`Denied::not_before`] is the first nanosecond at which the same call is admitted if nothing else happens.
//!
//! The full burst is *not* guaranteed to be available at every moment. Tokens that were spent from a local
//! cache since the last clock reading are missing from the burst until the next reading: at most an eighth of
//! it. The rate is always usable in full. A call that runs concurrently with [`TokenBucket::set_quota`] is
//! decided by either quota.
//!
//! # What a reservation guarantees
//!
//! From [`Reservation::ready_at`] to [`Reservation::expires_at`], a reservation can be executed once and is
//! not denied. Reservations become ready in the order of their charges. There is no queue, so no waiter has
//! to be notified and no thundering herd can occur: each waiter sleeps on its own timer.
//! [`TokenBucket::acquire`] reserves, sleeps and executes; dropping its future cancels the reservation. A
//! cancellation returns the tokens that can be returned without allowing other calls to bunch up. The rest is
//! burned, and [`Refund`] reports both numbers.
//!
//! For the bound on windows, a reservation counts at its `ready_at`. If it is executed late, it may coincide
//! with other calls. To keep that effect small, it counts as part of the burst until it ends.
//!
//! # Cost of the clock
//!
//! Reading the clock costs more than deciding: about 40 ns against 10 ns. Each method therefore has a variant
//! that takes `now`: read the clock once for a batch of calls. [`ShardedLimiter::try_acquire`] and
//! [`KeyedLimiter::try_acquire`] read the clock only when their locally cached tokens are used up; a denial
//! always reads it. The clock is tokio's [`Instant`](tokio::time::Instant), so a paused clock works. It never
//! goes back, and an older `now` only makes the decision stricter.
//!
//! # Migrating from another limiter
//!
//! | there | here |
//! | --- | --- |
//! | governor `RateLimiter::direct(quota)`, `check()` | [`TokenBucket::new`], [`TokenBucket::try_acquire`]`(1)` |
//! | governor `check_n(n)` | [`TokenBucket::try_acquire`]`(n)`; more than a burst is [`DenialReason::TooLarge`] |
//! | governor `until_ready().await` | [`TokenBucket::acquire`]: in order, where governor's waiters race |
//! | governor `keyed`, `check_key`, `retain_recent` | [`KeyedLimiter`]; idle keys are removed automatically |
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
//! A limit is one atomic word that counts the tokens issued so far, and a schedule: a straight line that
//! rises by the rate (the generic cell rate algorithm, expressed in tokens). A charge first lifts the word to
//! the schedule, so that no more than a burst is saved up, and is admitted while the word stays below
//! schedule + burst. Tokens that are charged and not yet spent (in a reservation, a local cache or a token
//! batch) count as part of the burst. Everything else is built on these rules.

mod adaptive;
mod atomic_bucket;
mod breaker;
mod bucket;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod counters;
mod denied;
mod gate;
mod keyed;
mod quota;
mod ramp;
mod reservation;
mod reservations;
mod retry;
mod schedule;
mod sharded;
mod span;
mod status;
mod sync;
mod thread_index;
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

/// Compiles the examples of the README as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
