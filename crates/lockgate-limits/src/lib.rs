//! Rate limiters, reservations and overload protection inside a process.

mod adaptive;
mod book;
mod breaker;
mod bucket;
mod chunks;
mod clock;
mod denied;
mod gate;
mod keyed;
mod ledger;
mod line;
mod quota;
mod reservation;
mod retry;
mod sharded;
mod stages;
mod status;
mod sync;
mod throttle;

pub use adaptive::{AdaptiveLimit, AdaptiveMode, AdaptiveOptions, Advice, Observation, Signal, Why};
pub use breaker::{BreakerOptions, BreakerState, CircuitBreaker, Open, Pass};
pub use bucket::TokenBucket;
pub use chunks::{ChunkError, ChunkId, ChunkOptions, ChunkedLimiter, Chunks, Draw, Drawn, MemoryChunks};
pub use denied::{Denied, Reason};
pub use gate::{Gate, GateCounts, GateGuard};
pub use keyed::{KeyedLimiter, KeyedOptions, KeyedStatus};
pub use quota::{Quota, QuotaError, Rate};
pub use reservation::{NotExecuted, Refund, Reservation};
pub use retry::{Backoff, FullJitter, RetryBudget};
pub use sharded::ShardedLimiter;
pub use stages::{Breach, Stage, Stages, Step, Wait};
pub use status::Status;
pub use throttle::ClientThrottle;
