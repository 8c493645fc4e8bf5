//! The distributed engine under faults: three workers under load, one thing goes wrong, and nothing is lost, nothing is
//! twice, the backend is never asked for more than the slots, and work goes on by itself within seconds.
//!
//! `LOCKGATE_TEST_NIGHTLY=1` makes outages as long as they are in the worst nights: 40 s instead of 10 s for a frozen
//! server, 30 s instead of 8 s for a broker without memory.

mod broker;
mod client;
mod ledger;
mod network;
mod processes;
mod scene;
mod shifted_clock;
mod slots;
mod twice;
