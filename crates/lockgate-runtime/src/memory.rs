//! The memory engine: one process, plain structures, virtual time. It runs unit tests, is the model of other engines,
//! and forecasts plans.
//!
//! It must never outgrow being obviously right: no index, no cache, no background task. Each port is one mutex around
//! plain data, never held across an await. Its clock is tokio's, so that `tokio::time::pause` drives it.

mod broker;
mod clock;
mod ledger;
mod slots;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockgate_core::Engine;
use lockgate_core::error::EngineError;
use lockgate_core::timing::SlotTiming;

pub use slots::Ablation;

/// A memory engine of its own, named `memory`.
///
/// ```
/// # use lockgate_runtime::memory;
/// let engine = memory::engine(Default::default());
/// assert_eq!(engine.name, "memory");
/// ```
#[must_use]
pub fn engine(timing: SlotTiming) -> Engine {
    Memory::new(timing).engine()
}

/// A handle to a memory engine that can also do to it what happens to stores.
#[derive(Debug, Clone)]
pub struct Memory {
    ledger: Arc<ledger::MemoryLedger>,
    broker: Arc<broker::MemoryBroker>,
    slots: Arc<slots::MemorySlots>,
}

impl Memory {
    /// An empty engine whose slot store has these times.
    #[must_use]
    pub fn new(timing: SlotTiming) -> Self {
        Self::build(timing, None)
    }

    /// An engine with one rule of its slots taken out: a test that cannot tell it from the whole one tests nothing.
    #[doc(hidden)]
    #[must_use]
    pub fn broken(timing: SlotTiming, ablation: Ablation) -> Self {
        Self::build(timing, Some(ablation))
    }

    fn build(timing: SlotTiming, ablation: Option<Ablation>) -> Self {
        let clock = clock::Clock::start();
        Self {
            ledger: Arc::new(ledger::MemoryLedger::new(clock)),
            broker: Arc::default(),
            slots: Arc::new(slots::MemorySlots::new(timing, clock, ablation)),
        }
    }

    /// Its ports. Every call gives the same store: sessions and subscriptions tell processes apart.
    #[must_use]
    pub fn engine(&self) -> Engine {
        Engine {
            name: "memory",
            ledger: self.ledger.clone(),
            broker: self.broker.clone(),
            slots: self.slots.clone(),
        }
    }

    /// Empties the slot store, as a restart of a server without persistence does: pools, leases, lines, sessions.
    /// It learns for one ttl.
    pub fn lose_slots(&self) {
        self.slots.lose();
    }
}

/// Takes a lock also after a panic elsewhere: every change here is whole before the lock is given back.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_found(what: &'static str, name: &impl ToString) -> EngineError {
    EngineError::NotFound { what, name: name.to_string() }
}

fn conflict(reason: impl Into<String>) -> EngineError {
    EngineError::Conflict { reason: reason.into() }
}
