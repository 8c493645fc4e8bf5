//! Cases of the slots: what [`lockgate_core::slots`] promises, rule by rule.

pub mod crowds;
pub mod granting;
pub mod losing;
pub mod order;
pub mod owning;
pub mod pools;
pub mod sessions;
