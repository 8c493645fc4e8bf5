//! Ledger cases: the guarantees of [`lockgate_core::ledger`].

pub mod bounds;
pub mod clock_steps;
pub mod commands;
pub mod dispatching;
pub mod ingesting;
pub mod planning;
pub mod reading;
pub mod settling;
pub mod start_checks;
pub mod starting;
pub mod sweeps;
pub mod transitions;
pub mod unrecorded_starts;
