//! The slots on a real Redis: the conformance suite, the model, and what only this store does.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests, their helpers included"
)]

mod conformance;
mod drift;
mod losses;
mod pushes;
mod server;
mod stage;
