//! Claims due jobs. A job that waits for its batch has no due time of its own; every other scheduled job has
//! one.

use std::time::Duration;

use lockgate_core::job::JobState;
use lockgate_core::ledger::Claimed;
use lockgate_core::{Envelope, RunId, Timestamp};

use super::{Job, Tables};

impl Tables {
    /// Retries come first, because they are older. A batch is always claimed as a whole, so the last one may
    /// exceed the page size.
    pub(super) fn claim(&mut self, limit: u32, hold: Duration) -> Claimed {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let due_again = self.now.plus(hold);
        let mut envelopes = self.claim_retries(limit, due_again);
        let runs: Vec<RunId> = self.runs.iter().map(|run| run.row.id).collect();
        for run in runs {
            while envelopes.len() < limit {
                let Some(batch) = self.claim_batch(run, due_again) else { break };
                envelopes.extend(batch);
            }
        }
        Claimed { envelopes, next_due: self.next_due().map(|due| due.since(self.now)) }
    }

    fn claim_retries(&mut self, limit: usize, due_again: Timestamp) -> Vec<Envelope> {
        let now = self.now;
        let (runs, jobs) = (&self.runs, &mut self.jobs);
        let mut due: Vec<&mut Job> = jobs.values_mut().filter(|job| job.is_due(now)).collect();
        due.sort_by_key(|job| job.row.due_at);
        due.into_iter()
            .filter_map(|job| {
                let run = runs.iter().find(|run| Some(run.row.id) == job.row.run)?;
                run.may_dispatch(now).then(|| job.dispatch(due_again))
            })
            .take(limit)
            .collect()
    }

    fn claim_batch(&mut self, id: RunId, due_again: Timestamp) -> Option<Vec<Envelope>> {
        let now = self.now;
        let run = self.runs.iter_mut().find(|run| run.row.id == id)?;
        let due = run.row.next_due.filter(|due| *due <= now && run.may_dispatch(now))?;
        let size = usize::try_from(run.row.cadence.batch_size).unwrap_or(usize::MAX);
        let number = run.row.batches + 1;
        let mut waiting =
            self.jobs.values_mut().filter(|j| j.row.run == Some(id) && j.awaits_batch()).peekable();
        let batch: Vec<Envelope> = waiting
            .by_ref()
            .take(size)
            .map(|job| {
                job.row.batch = Some(number);
                job.dispatch(due_again)
            })
            .collect();
        run.row.next_due = waiting.peek().map(|_| run.row.cadence.next_due(due, now));
        if !batch.is_empty() {
            run.row.batches = number;
            run.last_batch = Some(now);
        }
        Some(batch)
    }

    fn next_due(&self) -> Option<Timestamp> {
        let active = || self.runs.iter().filter(|run| run.may_dispatch(self.now));
        let batches = active().filter_map(|run| run.row.next_due);
        let jobs = active().flat_map(|run| self.jobs_of(run.row.id)).filter_map(|job| job.row.due_at);
        batches.chain(jobs).min()
    }
}

impl Job {
    fn awaits_batch(&self) -> bool {
        self.row.state == JobState::Scheduled && self.row.due_at.is_none()
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.row.state == JobState::Scheduled && self.row.due_at.is_some_and(|due| due <= now)
    }

    /// Claims the job. It is due again if it is not reported as published.
    fn dispatch(&mut self, due_again: Timestamp) -> Envelope {
        self.dispatch += 1;
        self.dispatched = true;
        self.row.due_at = Some(due_again);
        Envelope {
            job: self.row.id,
            kind: self.row.kind.clone(),
            key: self.row.key.clone(),
            tenant: self.row.tenant.clone(),
            run: self.row.run,
            queue: self.row.queue.clone(),
            dispatch: self.dispatch,
            payload: self.row.payload.clone(),
        }
    }
}
