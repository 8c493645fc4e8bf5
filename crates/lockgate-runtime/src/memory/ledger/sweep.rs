//! Sweeps of bounded size. A job that started after its message was published is not recovered.

use std::collections::BTreeSet;

use lockgate_core::job::JobState;
use lockgate_core::ledger::{Sweep, Swept};
use lockgate_core::run::RunStatus;
use lockgate_core::transition::{DEADLINE_PASSED, Event};
use lockgate_core::{QueueName, RunId, Timestamp};

use super::{Job, Run, Tables};

impl Tables {
    pub(super) fn sweep(&mut self, sweep: &Sweep, limit: u32) -> Swept {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let jobs = match sweep {
            Sweep::Overdue => self.skip_overdue(limit),
            Sweep::Lost { queue, silent_for } => self.recover_lost(queue, self.now.minus(*silent_for), limit),
            Sweep::Finished { keep } => self.prune(self.now.minus(*keep), limit),
        };
        Swept { jobs: u64::try_from(jobs).unwrap_or(u64::MAX), more: jobs >= limit }
    }

    fn skip_overdue(&mut self, limit: usize) -> usize {
        let now = self.now;
        let overdue = self.run_ids(|run| run.is_expired(now));
        let left = self.jobs.values_mut().filter(|job| job.is_of(&overdue) && !job.row.state.is_terminal());
        left.take(limit).map(|job| job.end(Event::Expired, DEADLINE_PASSED, now)).count()
    }

    fn recover_lost(&mut self, queue: &QueueName, before: Timestamp, limit: usize) -> usize {
        let now = self.now;
        let runs = self.run_ids(|run| run.row.queue == *queue);
        let lost = self.jobs.values_mut().filter(|job| job.is_of(&runs) && job.is_lost(before));
        lost.take(limit).map(|job| job.take_back(now)).count()
    }

    fn run_ids(&self, wanted: impl Fn(&Run) -> bool) -> BTreeSet<RunId> {
        self.runs.iter().filter(|run| wanted(run)).map(|run| run.row.id).collect()
    }

    /// Deletes whole runs, because a run that lost some of its jobs would not balance.
    fn prune(&mut self, before: Timestamp, limit: usize) -> usize {
        let mut pruned = 0;
        let over: Vec<RunId> =
            self.runs.iter().map(|run| run.row.id).filter(|id| self.is_over(*id, before)).collect();
        for id in over {
            if pruned >= limit {
                break;
            }
            let had = self.jobs.len();
            self.jobs.retain(|_, job| job.row.run != Some(id));
            self.positions.retain(|_, position| self.jobs.contains_key(position));
            self.runs.retain(|run| run.row.id != id);
            pruned += had - self.jobs.len();
        }
        pruned
    }

    fn is_over(&self, id: RunId, before: Timestamp) -> bool {
        let sealed = self
            .run(id)
            .is_ok_and(|run| run.row.status != RunStatus::Planning && run.row.created_at <= before);
        sealed && self.jobs_of(id).all(|job| job.row.state.is_terminal() && job.row.updated_at <= before)
    }
}

impl Job {
    fn is_of(&self, runs: &BTreeSet<RunId>) -> bool {
        self.row.run.is_some_and(|run| runs.contains(&run))
    }

    fn is_lost(&self, before: Timestamp) -> bool {
        self.row.state == JobState::Enqueued
            && self.published_at.is_some_and(|published| {
                published <= before && self.started_at.is_none_or(|started| started < published)
            })
    }
}
