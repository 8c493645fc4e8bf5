//! Cases of the slots: what [`lockgate_core::slots`] promises, rule by rule.

pub mod advising;
pub mod crowds;
pub mod granting;
pub mod grouping;
pub mod losing;
pub mod order;
pub mod owning;
pub mod pausing;
pub mod pools;
pub mod recording;
pub mod sessions;
pub mod stranding;
