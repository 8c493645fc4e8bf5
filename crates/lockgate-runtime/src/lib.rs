//! Runs jobs: the executor, the worker around it, the dispatcher, upkeep, slots and rates, and the memory
//! engine.
//!
//! Read `executor.rs` first: it tells what happens to one job. `worker.rs` shows what runs alongside.
//! Decisions are pure functions, in `executor/outcome.rs` and in `lockgate-core`.

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
pub use executor::counters::{OutcomeCounters, OutcomeCounts};
pub use executor::observer::{ExecutionTimes, Observer};
pub use job::canceller::{Canceller, OrphanedQuery};
pub use job::registry::{Registry, RegistryError};
pub use job::{Context, Job, MissingState, State};
pub use lockgate_limits::AdaptiveMode;
pub use rates::RateOptions;
pub use slots::{AcquireError, HeartbeatOn, Hold, SlotClient};
pub use worker::Worker;
pub use worker::options::{PoolPolicy, WorkerOptions};
pub use worker::reconnect::ReconnectBackoff;
pub use worker::state::WorkerState;
