//! The memory engine: one process, plain data structures, virtual time. It runs unit tests, is the model for
//! other engines, and forecasts plans.
//!
//! The engine stays simple enough to be obviously correct: it has no index, no cache and no background task.
//! Each port is one mutex around plain data and is not held across an await. Its clock is tokio's, so
//! `tokio::time::pause` controls it.

mod broker;
mod clock;
mod ledger;
mod slots;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockgate_core::Engine;
use lockgate_core::error::EngineError;
use lockgate_core::timing::SlotTiming;

pub use slots::Ablation;

/// Creates a separate memory engine, named `memory`.
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

/// A handle to a memory engine. Tests use it to cause events of a store, such as a loss of state.
#[derive(Debug, Clone)]
pub struct Memory {
    ledger: Arc<ledger::MemoryLedger>,
    broker: Arc<broker::MemoryBroker>,
    slots: Arc<slots::MemorySlots>,
}

impl Memory {
    /// Creates an empty engine with these slot times.
    #[must_use]
    pub fn new(timing: SlotTiming) -> Self {
        Self::build(timing, None)
    }

    /// Creates an engine that lacks one rule of the slots. Tests use it to show that they notice the missing
    /// rule.
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

    /// Returns the ports of the engine. Every call returns the same store; sessions and subscriptions tell
    /// processes apart.
    #[must_use]
    pub fn engine(&self) -> Engine {
        Engine {
            name: "memory",
            ledger: self.ledger.clone(),
            broker: self.broker.clone(),
            slots: self.slots.clone(),
        }
    }

    /// Empties the slot store, like the restart of a server without persistence: pools, leases, waiters and
    /// sessions are lost. The store then recovers for one ttl.
    pub fn lose_slots(&self) {
        self.slots.lose();
    }
}

/// Locks also after a panic elsewhere, because every change is complete before its lock is released.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_found(what: &'static str, name: &impl ToString) -> EngineError {
    EngineError::NotFound { what, name: name.to_string() }
}

fn conflict(reason: impl Into<String>) -> EngineError {
    EngineError::Conflict { reason: reason.into() }
}
