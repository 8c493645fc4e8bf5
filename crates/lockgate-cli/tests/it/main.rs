//! Tests the kit as a user sees it: they run the example program as a process, and call no code of the kit.

// Tells clippy that the helpers are test code too.
#![cfg(test)]

mod commands;
mod dead;
mod endpoints;
mod greeter;
mod limits;
mod names;
mod refusals;
mod signals;
