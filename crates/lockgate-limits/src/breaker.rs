//! The circuit breaker: after too many failures it rejects calls for a while, then lets a few probes find out
//! whether the backend works again.
//!
//! Closed: calls are permitted, and their outcomes are counted in windows. Open: no call is permitted until
//! `open_for` has passed. Half-open: one probe at a time, then two, then four. A failed probe opens the
//! breaker again; when the four have succeeded it closes (Nygard, *Release It!*, chapter 5; the steps avoid a
//! thundering herd on a backend that has just recovered).
//!
//! A probe is a real call: acquire its slot or permit as for any other call, after the breaker permits it.
//! The breaker adds no capacity.
//!
//! An outcome counts only in the state in which its call began.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::now;

/// When a [`CircuitBreaker`] opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerOptions {
    /// How long outcomes are counted together. Default: 10 s.
    pub window: Duration,
    /// The fewest calls in a window before it is evaluated. Default: 20.
    pub min_calls: u32,
    /// The share of failures at which the breaker opens. Default: 0.5.
    pub failure_rate: f64,
    /// How long the breaker stays open. Default: 30 s.
    pub open_for: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            min_calls: 20,
            failure_rate: 0.5,
            open_for: Duration::from_secs(30),
        }
    }
}

/// Probes at a time in each step of the half-open state.
const STEPS: [u32; 3] = [1, 2, 4];

/// A circuit breaker. Cheap to clone; all clones share one breaker.
///
/// ```
/// use lockgate_limits::{BreakerOptions, CircuitBreaker};
/// use tokio::time::Instant;
///
/// let breaker = CircuitBreaker::new(BreakerOptions { min_calls: 2, ..BreakerOptions::default() });
/// let now = Instant::now();
/// for _ in 0..2 {
///     breaker.permit_at(now)?.failed_at(now);
/// }
/// let open = breaker.permit_at(now).unwrap_err();
/// assert_eq!(open.retry_at(), Some(now + BreakerOptions::default().open_for));
/// # Ok::<(), lockgate_limits::BreakerOpen>(())
/// ```
#[derive(Debug, Clone)]
pub struct CircuitBreaker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: BreakerOptions,
    state: Mutex<Numbered>,
}

/// The state with a number that grows with each change. A call that began in an earlier state is ignored.
#[derive(Debug)]
struct Numbered {
    number: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed { since: Option<Instant>, calls: u32, failures: u32 },
    Open { until: Instant },
    HalfOpen { step: usize, in_flight: u32, succeeded: u32 },
}

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// All calls are permitted.
    Closed,
    /// No call is permitted.
    Open,
    /// A few probes are permitted.
    HalfOpen,
}

/// The breaker is open and did not permit a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is open")]
pub struct BreakerOpen {
    retry_at: Option<Instant>,
}

impl BreakerOpen {
    /// Returns when probes begin. `None` while the maximum of probes is in flight.
    #[must_use]
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }
}

/// A permitted call. Report how it ended. If it is dropped without a report (the call was cancelled), it
/// counts for nothing, and another probe can take its place.
#[must_use = "tell how the call ended"]
#[derive(Debug)]
pub struct CallPermit {
    shared: Arc<Shared>,
    number: u64,
    has_ended: bool,
}

impl CircuitBreaker {
    /// Creates a closed breaker.
    #[must_use]
    pub fn new(options: BreakerOptions) -> Self {
        let state = State::Closed { since: None, calls: 0, failures: 0 };
        Self { shared: Arc::new(Shared { options, state: Mutex::new(Numbered { number: 0, state }) }) }
    }

    /// Permits a call, if the state allows it.
    ///
    /// # Errors
    /// [`BreakerOpen`] if it does not.
    pub fn permit(&self) -> Result<CallPermit, BreakerOpen> {
        self.permit_at(now())
    }

    /// Like [`CircuitBreaker::permit`], at `now`.
    ///
    /// # Errors
    /// [`BreakerOpen`] if the state does not allow a call.
    pub fn permit_at(&self, now: Instant) -> Result<CallPermit, BreakerOpen> {
        let mut numbered = self.shared.lock();
        if let State::Open { until } = numbered.state {
            if now < until {
                return Err(BreakerOpen { retry_at: Some(until) });
            }
            numbered.become_state(State::HalfOpen { step: 0, in_flight: 0, succeeded: 0 });
        }
        if let State::HalfOpen { step, in_flight, succeeded } = &mut numbered.state {
            let most = STEPS.get(*step).copied().unwrap_or(1);
            if *in_flight + *succeeded >= most {
                return Err(BreakerOpen { retry_at: None });
            }
            *in_flight += 1;
        }
        Ok(CallPermit { shared: Arc::clone(&self.shared), number: numbered.number, has_ended: false })
    }

    /// Returns the state as of the last call.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self.shared.lock().state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

impl CallPermit {
    /// Reports that the call succeeded.
    pub fn succeeded(self) {
        self.succeeded_at(now());
    }

    /// Reports that the call succeeded at `now`.
    pub fn succeeded_at(mut self, now: Instant) {
        self.end(now, Some(true));
    }

    /// Reports that the backend failed the call. A failure caused by the caller counts as a success of the
    /// backend.
    pub fn failed(self) {
        self.failed_at(now());
    }

    /// Reports that the backend failed the call at `now`.
    pub fn failed_at(mut self, now: Instant) {
        self.end(now, Some(false));
    }

    fn end(&mut self, now: Instant, outcome: Option<bool>) {
        self.has_ended = true;
        let mut numbered = self.shared.lock();
        if numbered.number == self.number {
            numbered.end(&self.shared.options, now, outcome);
        }
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(now(), None);
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Numbered> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbered {
    fn become_state(&mut self, state: State) {
        self.number += 1;
        self.state = state;
    }

    fn end(&mut self, options: &BreakerOptions, now: Instant, outcome: Option<bool>) {
        let open = State::Open { until: now + options.open_for };
        let next = match &mut self.state {
            State::Open { .. } => None,
            State::Closed { since, calls, failures } => {
                let Some(success) = outcome else { return };
                let start = *since.get_or_insert(now);
                if now.saturating_duration_since(start) >= options.window {
                    (*since, *calls, *failures) = (Some(now), 0, 0);
                }
                *calls += 1;
                *failures += u32::from(!success);
                let is_bad = f64::from(*failures) >= options.failure_rate * f64::from(*calls);
                (!success && *calls >= options.min_calls && is_bad).then_some(open)
            }
            State::HalfOpen { step, in_flight, succeeded } => {
                *in_flight = in_flight.saturating_sub(1);
                match outcome {
                    None => None,
                    Some(false) => Some(open),
                    Some(true) => after_probe(step, succeeded),
                }
            }
        };
        if let Some(next) = next {
            self.become_state(next);
        }
    }
}

/// Counts a successful probe. The last one of a step begins the next step, and the last one of all closes the
/// breaker.
fn after_probe(step: &mut usize, succeeded: &mut u32) -> Option<State> {
    *succeeded += 1;
    if STEPS.get(*step).is_some_and(|most| *succeeded < *most) {
        return None;
    }
    if *step + 1 < STEPS.len() {
        *step += 1;
        *succeeded = 0;
        return None;
    }
    Some(State::Closed { since: None, calls: 0, failures: 0 })
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
