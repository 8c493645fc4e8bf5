//! Logs outages of a store: one warning for each cause when an outage begins, and one message when it ends.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lockgate_core::EngineError;
use lockgate_core::error::chain;

/// Causes that are remembered. When a store fails in more ways than this, a cause may be logged again.
const MAX_CAUSES: usize = 16;

/// The causes that were logged since the outage began.
#[derive(Debug, Default)]
pub(crate) struct LoggedCauses(BTreeSet<String>);

impl LoggedCauses {
    /// Remembers a cause. Returns whether it is new.
    pub(crate) fn is_new(&mut self, cause: &str) -> bool {
        if self.0.contains(cause) {
            return false;
        }
        if self.0.len() >= MAX_CAUSES {
            self.0.clear();
        }
        self.0.insert(cause.to_owned())
    }
}

/// The state of one store, as its callers observe it. Each operation is tracked separately, because a store
/// may fail some and serve others: a Redis that is out of memory still accepts heartbeats.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Whether any operation fails now. Without an outage the lock is not taken.
    is_open: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The operations whose last call failed.
    failing: BTreeSet<&'static str>,
    logged: LoggedCauses,
}

impl Outage {
    /// Records that an operation failed, and logs the cause when it is new. Returns whether it was new.
    pub(crate) fn failed(&self, operation: &'static str, error: &EngineError) -> bool {
        let cause = cause_of(error);
        let mut state = self.lock();
        self.is_open.store(true, Ordering::Relaxed);
        state.failing.insert(operation);
        let is_new = state.logged.is_new(&cause);
        if is_new {
            tracing::warn!(operation, error = cause, "the slot store fails, retrying");
        }
        is_new
    }

    /// Records that an operation succeeded. Logs the end of the outage when no operation fails any more, and
    /// returns whether that was so.
    pub(crate) fn succeeded(&self, operation: &'static str) -> bool {
        if !self.is_open.load(Ordering::Relaxed) {
            return false;
        }
        let mut state = self.lock();
        state.failing.remove(operation);
        if !state.failing.is_empty() {
            return false;
        }
        state.logged = LoggedCauses::default();
        if !self.is_open.swap(false, Ordering::Relaxed) {
            return false;
        }
        tracing::info!("the slot store works again");
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics in the middle of a change, so the state behind a poisoned lock is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what is wrong without the operation, so that all operations report the same cause.
fn cause_of(error: &EngineError) -> String {
    match error {
        EngineError::Unavailable { source, .. }
        | EngineError::Full { source, .. }
        | EngineError::Failed { source, .. } => chain(source.as_ref()),
        EngineError::NotFound { .. } | EngineError::Conflict { .. } | EngineError::StoreLost { .. } => {
            error.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable(doing: &str, why: &'static str) -> EngineError {
        EngineError::Unavailable { doing: doing.to_owned(), source: why.into() }
    }

    #[test]
    fn cause_is_logged_once_for_all_operations() {
        let outage = Outage::default();
        assert!(outage.failed("heartbeat", &unavailable("sending a heartbeat", "MISCONF")));
        for _ in 0..100 {
            assert!(!outage.failed("heartbeat", &unavailable("sending a heartbeat", "MISCONF")));
            assert!(!outage.failed("release", &unavailable("releasing slots", "MISCONF")));
        }
        assert!(outage.failed("release", &unavailable("releasing slots", "connection refused")));
        assert!(
            !outage.failed("heartbeat", &unavailable("sending a heartbeat", "MISCONF")),
            "also when causes alternate"
        );
    }

    #[test]
    fn outage_ends_when_no_operation_fails_and_the_next_outage_is_logged_again() {
        let outage = Outage::default();
        outage.failed("acquire", &unavailable("acquiring slots", "OOM"));
        assert!(!outage.succeeded("heartbeat"), "acquire still fails");
        assert!(outage.succeeded("acquire"));
        assert!(!outage.succeeded("acquire"), "the end is logged once");
        assert!(outage.failed("acquire", &unavailable("acquiring slots", "OOM")));
    }

    #[test]
    fn remembered_causes_are_bounded() {
        let mut logged = LoggedCauses::default();
        for n in 0..1_000 {
            logged.is_new(&format!("cause {n}"));
        }
        assert!(logged.0.len() <= MAX_CAUSES);
    }
}
