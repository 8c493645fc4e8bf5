//! The slots on a real Redis: the conformance suite, the model, and what only this store does.

#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests, their helpers included")]

mod conformance;
mod drift;
mod losses;
mod order;
mod pushes;
mod rights;
mod server;
mod stage;
