//! Tests of the slots on a real Redis: what only this store does. The suite of all engines is in
//! `conformance.rs`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "these are tests, their helpers included"
)]

mod admission;
mod bounds;
mod counters;
mod drains;
mod fixture;
mod history;
mod keys;
mod losses;
mod pushes;
mod refusals;
mod replicas;
mod rights;
mod server;
