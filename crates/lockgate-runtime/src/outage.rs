//! Logs outages of a store: one warning per cause when it begins, one line when it is over. It decides nothing else.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lockgate_core::EngineError;
use lockgate_core::error::chain;

/// Causes that are remembered. A store that fails in more ways than these is warned of again.
const MOST: usize = 16;

/// The causes that were logged since an outage began.
#[derive(Debug, Default)]
pub(crate) struct LoggedCauses(BTreeSet<String>);

impl LoggedCauses {
    /// Returns whether a cause is new, and remembers it.
    pub(crate) fn is_new(&mut self, cause: &str) -> bool {
        if self.0.contains(cause) {
            return false;
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(cause.to_owned())
    }
}

/// The state of one store as its callers find it. Operations are told apart, since a store may refuse some of them and serve
/// others: a Redis without memory still takes heartbeats.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Whether any operation fails now: the rest is not looked at otherwise.
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
    /// Notes that an operation failed; a new cause is logged. Returns whether it was.
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

    /// Notes that an operation succeeded. Returns whether that ended an outage, which is logged.
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
        // Nothing here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is wrong, without what was being done: the same cause for all operations.
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

    fn away(doing: &str, why: &'static str) -> EngineError {
        EngineError::Unavailable { doing: doing.to_owned(), source: why.into() }
    }

    #[test]
    fn cause_is_logged_once_whatever_operations_meet_it() {
        let outage = Outage::default();
        assert!(outage.failed("heartbeat", &away("sending a heartbeat", "MISCONF")));
        for _ in 0..100 {
            assert!(!outage.failed("heartbeat", &away("sending a heartbeat", "MISCONF")));
            assert!(!outage.failed("release", &away("releasing slots", "MISCONF")));
        }
        assert!(outage.failed("release", &away("releasing slots", "connection refused")));
        assert!(
            !outage.failed("heartbeat", &away("sending a heartbeat", "MISCONF")),
            "causes that alternate, too"
        );
    }

    #[test]
    fn outage_is_over_when_no_operation_fails_and_the_next_is_logged_again() {
        let outage = Outage::default();
        outage.failed("acquire", &away("acquiring slots", "OOM"));
        assert!(!outage.succeeded("heartbeat"), "a heartbeat that passes does not end it");
        assert!(outage.succeeded("acquire"));
        assert!(!outage.succeeded("acquire"), "said once");
        assert!(outage.failed("acquire", &away("acquiring slots", "OOM")));
    }

    #[test]
    fn causes_are_bounded() {
        let mut logged = LoggedCauses::default();
        for n in 0..1_000 {
            logged.is_new(&format!("cause {n}"));
        }
        assert!(logged.0.len() <= MOST);
    }
}
