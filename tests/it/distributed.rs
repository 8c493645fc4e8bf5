//! The distributed engine under faults: three workers run under load, and one thing fails. Nothing is lost,
//! nothing is done twice, the backend never gets more queries than slots, and work continues by itself within
//! seconds.
//!
//! With `LOCKGATE_TEST_NIGHTLY=1` outages are longer: 40 s instead of 10 s for a frozen server, 30 s instead
//! of 8 s for a broker without memory.

mod broker;
mod client;
mod ledger;
mod network;
mod processes;
mod scenario;
mod shifted_clock;
mod slots;
mod twice;
