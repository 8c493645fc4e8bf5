//! Rate limiters, reservations and overload protection inside a process.

mod book;
mod bucket;
mod clock;
mod denied;
mod gate;
mod keyed;
mod ledger;
mod line;
mod quota;
mod reservation;
mod sharded;
mod status;
mod sync;

pub use bucket::TokenBucket;
pub use denied::{Denied, Reason};
pub use gate::{Gate, GateCounts, GateGuard};
pub use keyed::{KeyedLimiter, KeyedOptions, KeyedStatus};
pub use quota::{Quota, QuotaError, Rate};
pub use reservation::{NotExecuted, Refund, Reservation};
pub use sharded::ShardedLimiter;
pub use status::Status;
