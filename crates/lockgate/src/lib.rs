//! The one import of a job author: jobs, settings, and the way to an engine. It holds no logic of its own.

pub mod app;
pub mod config;
pub mod connect;
mod database;
mod process;
pub mod settings;

#[cfg(not(any(feature = "embedded", feature = "distributed")))]
compile_error!("lockgate needs an engine: switch on the feature `embedded`, `distributed`, or both");

pub use lockgate_core as core;
pub use lockgate_core::{
    Engine, EngineError, ErrorClass, Failure, Fence, JobError, JobId, JobOptions, JobState, Key, Kind,
    PoolName, QueueName, RunId, RunName, Tenant, Timestamp,
};
#[cfg(feature = "distributed")]
pub use lockgate_distributed as distributed;
#[cfg(feature = "embedded")]
pub use lockgate_embedded as embedded;
pub use lockgate_limits as limits;
pub use lockgate_runtime as runtime;
pub use lockgate_runtime::{Canceller, Context, Job, MissingState, OrphanedQuery, State};

pub use app::App;
pub use config::Loaded;
pub use connect::{ConnectError, Lockgate, connect};
pub use database::{Database, MigrationStatus, Tables};
pub use process::process_name;
pub use settings::Settings;
