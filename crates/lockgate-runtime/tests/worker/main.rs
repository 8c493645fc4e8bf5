//! A worker on the memory engine, in virtual time: what happens to jobs that end well, end badly, or do not
//! end.

#![cfg(test)]

mod faults;
mod faulty_ledger;
mod messages;
mod planning;
mod scenario;

mod deferrals;
mod drain;
mod groups;
mod kinds;
mod orphaned_queries;
mod outages;
mod outcomes;
mod panics;
mod rate_ramps;
mod rates;
mod recovery;
mod refusals;
mod slots;
mod stale_deliveries;
mod starts;
