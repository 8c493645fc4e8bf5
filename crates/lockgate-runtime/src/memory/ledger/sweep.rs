//! The small sweeps. They must never take back a job that was started since its message went out.

use lockgate_core::job::JobState;
use lockgate_core::ledger::{Sweep, Swept};
use lockgate_core::run::RunStatus;
use lockgate_core::transition::{DEADLINE_PASSED, Event};
use lockgate_core::{RunId, Timestamp};

use super::{Books, Job};

impl Books {
    pub(super) fn sweep(&mut self, sweep: &Sweep) -> Swept {
        let limit = usize::try_from(sweep.limit).unwrap_or(usize::MAX);
        Swept {
            expired: self.expire(limit),
            lost: sweep.lost_after.map_or(0, |after| self.take_back_lost(self.now.minus(after), limit)),
            pruned: sweep.keep.map_or(0, |keep| self.prune(self.now.minus(keep), limit)),
        }
    }

    fn expire(&mut self, limit: usize) -> u64 {
        let now = self.now;
        let expired: Vec<RunId> =
            self.runs.iter().filter(|run| run.is_expired(now)).map(|run| run.record.id).collect();
        let left = self.jobs.values_mut().filter(|job| {
            job.record.run.is_some_and(|run| expired.contains(&run)) && !job.record.state.is_terminal()
        });
        count(left.take(limit).map(|job| job.end(Event::Expired, DEADLINE_PASSED, now)))
    }

    fn take_back_lost(&mut self, before: Timestamp, limit: usize) -> u64 {
        let now = self.now;
        let lost = self.jobs.values_mut().filter(|job| job.is_lost(before));
        count(lost.take(limit).map(|job| job.take_back(now)))
    }

    /// Forgets whole runs: half a run would not balance.
    fn prune(&mut self, before: Timestamp, limit: usize) -> u64 {
        let mut pruned = 0;
        let over: Vec<RunId> =
            self.runs.iter().map(|run| run.record.id).filter(|id| self.is_over(*id, before)).collect();
        for id in over {
            if pruned >= limit {
                break;
            }
            let had = self.jobs.len();
            self.jobs.retain(|_, job| job.record.run != Some(id));
            self.places.retain(|_, place| self.jobs.contains_key(place));
            self.runs.retain(|run| run.record.id != id);
            pruned += had - self.jobs.len();
        }
        u64::try_from(pruned).unwrap_or(u64::MAX)
    }

    fn is_over(&self, id: RunId, before: Timestamp) -> bool {
        let sealed = self
            .run(id)
            .is_ok_and(|run| run.record.status != RunStatus::Planning && run.record.created_at <= before);
        sealed
            && self.jobs_of(id).all(|job| job.record.state.is_terminal() && job.record.updated_at <= before)
    }
}

impl Job {
    fn is_lost(&self, before: Timestamp) -> bool {
        self.record.state == JobState::Enqueued
            && self.published_at.is_some_and(|published| {
                published <= before && self.started_at.is_none_or(|started| started < published)
            })
    }
}

fn count<T>(changes: impl Iterator<Item = T>) -> u64 {
    u64::try_from(changes.count()).unwrap_or(u64::MAX)
}
