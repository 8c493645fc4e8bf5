//! What runs: executor, worker, dispatcher, upkeep, slots as a guard, and the memory engine.
//!
//! "What happens to one job" is told by `executor.rs`; who calls it, by `worker.rs`. What decides is pure and stands
//! beside: `verdict.rs` here, and the core.

pub mod canceller;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod job;
pub mod memory;
pub mod observe;
pub mod options;
pub mod panics;
mod patience;
pub mod rates;
pub mod registry;
mod shares;
pub mod slots;
pub mod tally;
pub mod telemetry;
pub mod worker;
pub mod worker_state;

mod admission;
mod congestion;
mod dispatcher;
mod drains;
mod execution;
mod executor;
mod gather;
mod group;
mod intake;
mod leftovers;
mod outage;
mod reading;
mod records;
mod recovery;
mod starting;
mod stop;
mod unread;
mod upkeep;
mod verdict;
mod watch;

pub use canceller::{Canceller, Leftover};
pub use dispatcher::dispatch_due;
pub use job::{Context, Job, MissingState, State};
pub use lockgate_limits::AdaptiveMode;
pub use observe::{Observer, Steps};
pub use options::{PoolPolicy, WorkerOptions};
pub use patience::Patience;
pub use rates::RateOptions;
pub use registry::{Registry, RegistryError};
pub use slots::{HeartbeatOn, Hold, SlotClient};
pub use tally::{Tally, TallyReading};
pub use worker::Worker;
pub use worker_state::WorkerState;
