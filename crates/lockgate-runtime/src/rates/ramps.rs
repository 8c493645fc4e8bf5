//! Limits in a stage: each worker reports what its jobs came to, and what all of them report moves the limit.
//!
//! The decision is [`Ramp::decide`], over the samples of all workers and the age of the stage by the
//! store's clock. A move is a compare-and-set on the version that was decided on: of several workers that
//! decide the same, one moves the limit, and a report counts for the stage in which its jobs began.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockgate_core::slots::Slots;
use lockgate_core::{ErrorClass, Failure};
use lockgate_limits::{
    Changed, Exceeded, LimitChange, LimitStatus, Ramp, RampDecision, RampState, Report, Samples, TokenStore,
};
use tokio::time::Instant;

use super::pool_ramp::PoolRamp;
use crate::executor::outcome::{Cut, Ended};

/// The limits that are in a stage, as this worker knows them.
#[derive(Debug, Default)]
pub(super) struct Staging {
    configured: BTreeMap<String, Ramp>,
    /// Of a limit that nobody configured.
    default: Ramp,
    limits: Mutex<BTreeMap<String, Staged>>,
}

#[derive(Debug)]
struct Staged {
    version: u64,
    /// When this worker saw the version first. Jobs that began earlier say nothing about the stage.
    since: Instant,
    max_p95: Duration,
    /// What is not reported yet.
    samples: Samples,
}

impl Staging {
    pub(super) fn new(configured: BTreeMap<String, Ramp>) -> Self {
        Self { configured, ..Self::default() }
    }

    /// Counts an execution under these limits.
    pub(super) fn sample(&self, names: impl Iterator<Item = String>, ended: &Ended, ran: Duration) {
        let Some(is_failed) = is_failed(ended) else { return };
        let mut limits = self.limits();
        if limits.is_empty() {
            return;
        }
        let now = Instant::now();
        for name in names {
            if let Some(staged) = limits.get_mut(&name)
                && now.saturating_duration_since(staged.since) >= ran
            {
                staged.samples.count(is_failed, ran > staged.max_p95);
            }
        }
    }

    /// Reports what was counted of a limit, and moves it where all reports together say so.
    pub(super) async fn follow(&self, status: &LimitStatus, chunks: &dyn TokenStore, slots: &Arc<dyn Slots>) {
        let Ok(note) = status.note.parse::<RampState>() else {
            if self.limits().remove(&status.name).is_some() {
                // Whoever ended the ramp may not have come to the slots.
                PoolRamp::read(slots, &status.name).await.apply(None).await;
            }
            return;
        };
        // Before the limit is read again, so that a ramp that has ended meanwhile is not begun once more.
        let pool = PoolRamp::read(slots, &status.name).await;
        let ramp = self.configured.get(&status.name).unwrap_or(&self.default);
        let report = self.report(status, ramp);
        let status = match chunks.report(&status.name, report).await {
            Ok(Changed::Done(status)) => status,
            // It was moved meanwhile, and is read again soon.
            Ok(Changed::Version(_)) => return,
            Err(error) => return tracing::debug!(limit = status.name, %error, "samples not reported"),
        };
        match next(ramp, &note, &status) {
            None => pool.apply(ramp.step(note.place)).await,
            Some(due) => shift(due, &status.name, ramp, chunks, pool).await,
        }
    }

    /// What was counted since the last report. What belongs to another version is dropped.
    fn report(&self, status: &LimitStatus, ramp: &Ramp) -> Report {
        let (version, max_p95, window) = (status.version, ramp.max_p95, ramp.window());
        let mut limits = self.limits();
        let staged = limits.entry(status.name.clone()).or_insert_with(|| Staged::new(version, max_p95));
        if staged.version != version {
            *staged = Staged::new(version, max_p95);
        }
        Report { version, samples: std::mem::take(&mut staged.samples), window }
    }

    fn limits(&self) -> MutexGuard<'_, BTreeMap<String, Staged>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Staged {
    fn new(version: u64, max_p95: Duration) -> Self {
        Self { version, since: Instant::now(), max_p95, samples: Samples::default() }
    }
}

/// A change of stage that is due.
struct Due {
    change: LimitChange,
    /// Where it leads to; `None`: the ramp end.
    place: Option<usize>,
    why: &'static str,
}

/// Moves the limit, unless another worker was first, and then its slots.
async fn shift(due: Due, limit: &str, ramp: &Ramp, chunks: &dyn TokenStore, pool: PoolRamp<'_>) {
    let Due { change, place, why } = due;
    match chunks.set(limit, change).await {
        Ok(Changed::Done(_)) => {
            tracing::warn!(limit, stage = place.map(|place| place + 1), why, "limit moved");
            pool.apply(place.and_then(|place| ramp.step(place))).await;
        }
        Ok(Changed::Version(_)) => {}
        Err(error) => tracing::warn!(limit, %error, "limit not moved"),
    }
}

/// The change that is due; `None`: nothing changes.
fn next(ramp: &Ramp, note: &RampState, status: &LimitStatus) -> Option<Due> {
    if ramp.steps.is_empty() {
        let why = "its ramp are not configured any more";
        return Some(Due { change: note.end(status.version), place: None, why });
    }
    let place = note.place.min(ramp.steps.len() - 1);
    let (place, why) = match ramp.decide(place, status.samples, status.age) {
        RampDecision::Stay(_) => return None,
        RampDecision::Forward => (place + 1, "it kept within its thresholds"),
        RampDecision::Back(Exceeded::ErrorRate) => (place.saturating_sub(1), "too many jobs failed"),
        RampDecision::Back(Exceeded::P95) => (place.saturating_sub(1), "jobs took too long"),
    };
    let note = RampState { place, configured: note.configured, why: why.to_owned() };
    Some(Due { change: note.change(ramp, status.version), place: Some(place), why })
}

/// Whether an execution says that its backend fails; `None`: it says nothing.
fn is_failed(ended: &Ended) -> Option<bool> {
    match ended {
        Ended::Returned(Ok(()) | Err(Failure::Skip { .. })) => Some(false),
        // The backend was not asked.
        Ended::Returned(Err(Failure::Error { class: ErrorClass::Unavailable, .. })) => None,
        Ended::Returned(Err(Failure::Error { .. }))
        | Ended::Cut(Cut::Panicked(_) | Cut::TimedOut(_) | Cut::HeldTooLong(_)) => Some(true),
        // That was not the backend.
        Ended::Cut(Cut::LeaseLost(_) | Cut::Cancelled | Cut::Stopped) => None,
    }
}
