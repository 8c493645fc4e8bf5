//! Slot cases: the guarantees of [`lockgate_core::slots`].

pub mod batched_calls;
pub mod granting;
pub mod history;
pub mod long_queues;
pub mod max_wait;
pub mod order;
pub mod ownership;
pub mod pauses;
pub mod pools;
pub mod recommendations;
pub mod sessions;
pub mod store_loss;
pub mod stranded_waiters;
