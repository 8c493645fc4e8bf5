//! The slots on a real Redis: the conformance suite, the model, and what only this store does.

mod conformance;
mod server;
