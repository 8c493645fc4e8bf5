//! The one import of a job author: jobs, settings, and the way to an engine. It holds no logic of its own.

pub mod app;
pub mod config;
#[cfg(feature = "embedded")]
pub mod connect;
pub mod settings;

pub use lockgate_core as core;
pub use lockgate_core::{
    Engine, EngineError, ErrorClass, Failure, Fence, JobError, JobId, JobOptions, JobState, Key, Kind,
    PoolName, QueueName, RunId, RunName, Tenant, Timestamp,
};
#[cfg(feature = "embedded")]
pub use lockgate_embedded as embedded;
#[cfg(feature = "embedded")]
pub use lockgate_embedded::Component;
pub use lockgate_runtime as runtime;
pub use lockgate_runtime::{Context, Job, MissingState, State};

pub use app::App;
pub use config::Loaded;
#[cfg(feature = "embedded")]
pub use connect::{ConnectError, Lockgate, connect};
pub use settings::Settings;
