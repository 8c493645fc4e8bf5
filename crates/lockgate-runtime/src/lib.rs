//! What runs: executor, worker, dispatcher, upkeep, slots as a guard, and the memory engine.
//!
//! "What happens to one job" is told by `executor.rs`; who calls it, by `worker.rs`. What decides is pure and stands
//! beside: `verdict.rs` here, and the core.

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod job;
pub mod memory;
pub mod rates;
pub mod slots;
pub mod telemetry;
pub mod worker;

mod batcher;
mod congestion;
mod dispatcher;
mod executor;
mod orphans;
mod outage;
mod panics;
mod stop;
mod upkeep;

pub use dispatcher::dispatch_due;
pub use executor::counters::{Tally, TallyReading};
pub use executor::observer::{Observer, Steps};
pub use job::canceller::{Canceller, Leftover};
pub use job::registry::{Registry, RegistryError};
pub use job::{Context, Job, MissingState, State};
pub use lockgate_limits::AdaptiveMode;
pub use rates::RateOptions;
pub use slots::{HeartbeatOn, Hold, SlotClient};
pub use worker::Worker;
pub use worker::options::{PoolPolicy, WorkerOptions};
pub use worker::reconnect::Patience;
pub use worker::state::WorkerState;
