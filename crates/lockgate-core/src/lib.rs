//! The words of Lockgate, its pure decisions, and the three ports that an engine implements.
//!
//! Nothing here reads a clock, opens a socket, spawns or waits: a decision takes data and returns a value,
//! and the caller acts on it. Read it in this order:
//!
//! - words: [`name`], [`id`], [`time`], [`job`], [`run`], [`pool`], [`envelope`], [`dead`],
//!   [`lease`], [`history`], [`text`] (what may be printed), and the [`bounds`] of what comes from outside;
//! - decisions: [`transition`] (the job state machine), [`retry`], [`cadence`] (batches), [`fairness`] (who
//!   gets the next slot), [`timing`] (leases and heartbeats), [`audit`] (whether a pool kept its promise);
//! - ports: [`ledger`] (with [`planning`]), [`broker`], [`slots`], held together by [`engine::Engine`].

pub mod admission;
pub mod audit;
pub mod bounds;
pub mod broker;
pub mod cadence;
pub mod dead;
pub mod engine;
pub mod envelope;
pub mod error;
pub mod fairness;
pub mod history;
pub mod id;
pub mod job;
pub mod lease;
pub mod ledger;
pub mod ledger_clock;
pub mod name;
pub mod planning;
pub mod pool;
pub mod retry;
pub mod run;
pub mod slots;
pub mod text;
pub mod time;
pub mod timing;
pub mod transition;

pub use engine::Engine;
pub use envelope::Envelope;
pub use error::{EngineError, ErrorClass, Failure, JobError};
pub use id::{Fence, JobId, LeaseId, RunId, SessionId};
pub use job::{JobOptions, JobState, KindOptions, Outcome};
pub use name::{Key, Kind, PoolName, QueueName, RunName, Tenant};
pub use time::Timestamp;
