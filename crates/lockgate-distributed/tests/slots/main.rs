//! The slots on a real Redis: what only this store does. What every engine does is in `conformance.rs`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "these are tests, their helpers included"
)]

mod admission;
mod bounds;
mod drains;
mod drift;
mod keys;
mod losses;
mod pushes;
mod record;
mod refusals;
mod replicas;
mod rights;
mod server;
mod stage;
