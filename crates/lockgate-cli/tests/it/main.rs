//! The kit as a user meets it: the example program, run as a process.
//!
//! It must never call the kit's code itself.

// Tells clippy that the helpers are test code too.
#![cfg(test)]

mod bench;
mod commands;
mod dead;
mod endpoints;
mod greeter;
mod limits;
mod names;
mod refusals;
mod signals;
