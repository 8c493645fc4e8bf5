//! Limits on their way through stages: this worker's jobs are the samples, and what they say moves the limit for all.
//!
//! Each worker decides by what it has seen itself. A move is one change of the store's, decided on the version that was seen:
//! of several workers that come to the same, one moves, and the others begin to look anew.
//!
//! It must never move twice for one reason, nor go on from samples of another stage.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockgate_core::error::chain;
use lockgate_core::pool::{PoolChange, PoolCommand};
use lockgate_core::slots::Slots;
use lockgate_core::{ErrorClass, Failure, PoolName};
use lockgate_limits::{Breach, Changed, Chunks, LimitChange, LimitStatus, Stage, StageNote, Stages, Step};
use tokio::time::Instant;

use super::POOL;
use crate::verdict::{Cut, Ended};

/// The limits that are in a stage, as this worker knows them.
#[derive(Debug, Default)]
pub(super) struct Staging {
    limits: Mutex<BTreeMap<String, Staged>>,
}

#[derive(Debug)]
struct Staged {
    /// The version of the limit that the stages were read from.
    version: u64,
    stages: Stages,
}

impl Staging {
    /// Notes how an execution under these limits ended.
    pub(super) fn sample(&self, names: impl Iterator<Item = String>, ended: &Ended, ran: Duration) {
        let Some(succeeded) = is_good(ended) else { return };
        let mut limits = self.limits();
        if limits.is_empty() {
            return;
        }
        for name in names {
            if let Some(staged) = limits.get_mut(&name) {
                staged.stages.sample(succeeded, ran);
            }
        }
    }

    /// Looks at a limit as its store has it, and moves it where its samples say so.
    pub(super) async fn look_at(&self, status: &LimitStatus, chunks: &dyn Chunks, slots: &Arc<dyn Slots>) {
        let Some((stage, note)) = self.decide(status, Instant::now()) else { return };
        let change =
            LimitChange { quota: stage.quota, note: Some(note.to_string()), version: Some(status.version) };
        let set = chunks.set(&status.name, change).await;
        // Whoever moved it, it is read again; samples of before do not count.
        self.limits().remove(&status.name);
        match set {
            Ok(Changed::Done(_)) => {
                tracing::warn!(
                    limit = status.name,
                    stage = note.place + 1,
                    why = note.why,
                    "the limit moved"
                );
                in_flight(slots, &status.name, &stage).await;
            }
            Ok(Changed::Version(_)) => {}
            Err(error) => tracing::warn!(limit = status.name, %error, "the limit could not be moved"),
        }
    }

    /// Where it goes, and why; `None`: it stays.
    fn decide(&self, status: &LimitStatus, now: Instant) -> Option<(Stage, StageNote)> {
        let mut limits = self.limits();
        let Ok(at) = status.note.parse::<StageNote>() else {
            limits.remove(&status.name);
            return None;
        };
        if limits.get(&status.name).is_none_or(|staged| staged.version != status.version) {
            let stages = Stages::canary(now).ok()?.resumed(at.place, now);
            limits.insert(status.name.clone(), Staged { version: status.version, stages });
        }
        let staged = limits.get_mut(&status.name)?;
        let why = match staged.stages.decide(now) {
            Step::Stay(_) => return None,
            Step::Forward => "it held within its bounds",
            Step::Back(Breach::Errors) => "too many jobs failed",
            Step::Back(Breach::Latency) => "jobs took too long",
        };
        let place = staged.stages.place();
        // Nothing is before the first stage.
        (place != at.place)
            .then(|| (*staged.stages.current(), StageNote { place, since: 0, why: why.to_owned() }))
    }

    fn limits(&self) -> MutexGuard<'_, BTreeMap<String, Staged>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an execution says of its backend; `None`: nothing.
fn is_good(ended: &Ended) -> Option<bool> {
    match ended {
        Ended::Returned(Ok(()) | Err(Failure::Skip { .. })) => Some(true),
        // It was not asked.
        Ended::Returned(Err(Failure::Error { class: ErrorClass::Unavailable, .. })) => None,
        Ended::Returned(Err(Failure::Error { .. }))
        | Ended::Cut(Cut::Panicked(_) | Cut::TimedOut(_) | Cut::HeldTooLong(_)) => Some(false),
        // That is not the backend's.
        Ended::Cut(Cut::LeaseLost(_) | Cut::Cancelled | Cut::Stopped) => None,
    }
}

/// What may be in flight at once is the slots of the pool; a kind has none of its own.
async fn in_flight(slots: &Arc<dyn Slots>, limit: &str, stage: &Stage) {
    let Some(Ok(pool)) = limit.strip_prefix(POOL).map(PoolName::new) else { return };
    let change = PoolChange { slots: Some(stage.in_flight), ..PoolChange::default() };
    if let Err(error) = slots.control(PoolCommand::Set { pool, change, version: None }).await {
        tracing::warn!(limit, error = chain(&error), "the stage's slots could not be set");
    }
}
