//! Cases of the ledger: what [`lockgate_core::ledger`] promises, rule by rule.

pub mod admitting;
pub mod bounding;
pub mod controlling;
pub mod dispatching;
pub mod ingesting;
pub mod planning;
pub mod reading;
pub mod settling;
pub mod starting;
pub mod stepping;
pub mod sweeping;
pub mod transitions;
pub mod unrecorded;
