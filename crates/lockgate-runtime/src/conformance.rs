//! The public conformance suite: the cases that every engine must pass. An engine's author calls it from the
//! engine's tests.
//!
//! The suite knows no engine. It uses only the three ports and what a [`Fixture`] can do to a store.
//!
//! ```ignore
//! // tests/conformance.rs of an engine; `lockgate-runtime` with the feature `conformance`
//! async fn fresh() -> MyFixture { /* an empty store */ }
//! lockgate_runtime::conformance_suite!(fresh);
//! ```
//!
//! Each case becomes one test, such as `slots::order::light_waiter_does_not_overtake_heavy_one`, and gets a
//! fresh fixture. The optional second argument is passed to `#[tokio::test]`, for an engine in virtual time:
//! `conformance_suite!(fresh, (start_paused = true))`. [`model::check`] is the property test of the slots. An
//! engine calls it separately, because the caller chooses how many sequences to try.
//!
//! An engine on a real clock uses short slot times, so that cases that wait until a session expires stay
//! fast. A ttl of 900 ms, a heartbeat of 150 ms, a clock cap of 250 ms and a margin of 50 ms pass
//! [`SlotTiming::check`].

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
mod ledger_driver;
mod samples;
mod slot_client;
mod waiting;

/// A fresh store, and the events that a case can cause on it.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Returns the engine. Its store was empty when the fixture was created.
    fn engine(&self) -> Engine;

    /// Returns an engine for a second process on the same store. May return the same engine, if one engine
    /// serves many sessions and subscriptions.
    async fn second(&self) -> Engine;

    /// Returns the slot times of the store.
    fn timing(&self) -> SlotTiming;

    /// Returns what the engine supports.
    fn capabilities(&self) -> Capabilities;

    /// Lets time pass, also for the store's clock, without calling the store. Default: sleeps.
    async fn elapse(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Shifts the wall clock that the ledger's store and its processes read by this many seconds from the
    /// true time. Monotonic clocks are not affected. Default: does nothing, for an engine whose ledger reads
    /// no wall clock.
    async fn step_clock(&self, _off_by_seconds: i64) {}

    /// Empties the slot store, like the restart of a server without persistence. Called only when the engine
    /// declares [`Capabilities::loses_slots`].
    async fn lose_slots(&self);
}

/// What an engine supports. A case that needs a missing capability prints this to standard error and passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Time passes only in [`Fixture::elapse`], so a case may assert how long something takes at most.
    pub virtual_time: bool,
    /// [`Fixture::elapse`] is a jump of the slot store's clock: the store does nothing in between.
    pub clock_leaps: bool,
    /// The engine's slot store can lose its state: cases may call [`Fixture::lose_slots`].
    pub loses_slots: bool,
    /// The depth of a queue counts the deliveries in flight of all processes. Without this capability, it
    /// counts those of the calling process.
    pub counts_in_flight: bool,
}

impl Capabilities {
    /// Returns all capabilities.
    #[must_use]
    pub fn all() -> Self {
        Self { virtual_time: true, clock_leaps: true, loses_slots: true, counts_in_flight: true }
    }
}

#[expect(clippy::print_stderr, reason = "a skipped case must be visible")]
fn undeclared(capability: &str) {
    eprintln!("skipped: the engine does not declare `{capability}`");
}
