//! The public conformance suite: what every engine keeps, case by case, callable from its author's tests.
//!
//! It must never know an engine: it speaks to the three ports, and to what a [`Fixture`] can do to a store.
//!
//! ```ignore
//! // tests/conformance.rs of an engine; `lockgate-runtime` with the feature `conformance`
//! async fn fresh() -> MyFixture { /* an empty store */ }
//! lockgate_runtime::conformance_suite!(fresh);
//! ```
//!
//! Each case becomes a test of its own, `slots::order::nobody_overtakes_a_heavy_head`, that makes a fresh fixture.
//! A second argument goes to `#[tokio::test]`, for an engine in virtual time: `conformance_suite!(fresh, (start_paused
//! = true))`. [`model::check`] is the property test of the slots; it wants to be told how much to try.
//!
//! An engine on a real clock takes short slot times, so that the cases that wait for a death do not take long: a ttl
//! of 900 ms, a heartbeat of 150 ms, a clock cap of 250 ms and a margin of 50 ms pass [`SlotTiming::check`].

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "these are tests: a case fails by a panic, and its name is its documentation"
)]

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::Engine;
use lockgate_core::timing::SlotTiming;

pub mod broker;
pub mod ledger;
pub mod model;
pub mod slots;

mod cases;
mod desk;
mod process;
mod stage;

/// A fresh store, and what can be done to it.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The engine, on a store that was empty when the fixture was made.
    fn engine(&self) -> Engine;

    /// The engine of another process on the same store. It may be the same one, when one engine serves many
    /// sessions and subscriptions.
    async fn second(&self) -> Engine;

    /// The store's slot times.
    fn timing(&self) -> SlotTiming;

    /// What the engine can do.
    fn capabilities(&self) -> Capabilities;

    /// Lets time pass, for the store's clock too, while nobody calls it.
    async fn elapse(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Sets the wall clock that the ledger's store and processes read so many seconds off the true time. Clocks that count
    /// from a start run on as they are. Default: nothing, for an engine whose ledger reads no wall clock.
    async fn step_clock(&self, _off_by_seconds: i64) {}

    /// Empties the slot store, as a restart of a server without persistence does. Not called when the engine
    /// declares that it cannot be.
    async fn lose_slots(&self);
}

/// What an engine declares. A case that needs what it lacks says so on standard error, and passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Time passes in [`Fixture::elapse`] alone, so that a case may say how long something takes at most.
    pub virtual_time: bool,
    /// [`Fixture::elapse`] is a leap for the slot store's clock: the store itself does nothing meanwhile.
    pub clock_leaps: bool,
    /// [`Fixture::lose_slots`] can be called.
    pub loses_slots: bool,
    /// A queue's depth counts the deliveries that any process has unsettled; without it, those of the asking process.
    pub counts_unsettled: bool,
}

impl Capabilities {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self { virtual_time: true, clock_leaps: true, loses_slots: true, counts_unsettled: true }
    }
}

#[expect(clippy::print_stderr, reason = "a case that is passed over must be seen")]
fn undeclared(capability: &str) {
    eprintln!("passed over: the engine declares that it lacks `{capability}`");
}
