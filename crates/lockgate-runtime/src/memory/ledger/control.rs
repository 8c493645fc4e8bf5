//! Operator commands. Each keeps a job's count of executions, which identifies late reports.

use lockgate_core::cadence::Cadence;
use lockgate_core::error::EngineError;
use lockgate_core::job::JobState;
use lockgate_core::ledger::RunCommand;
use lockgate_core::run::RunStatus;
use lockgate_core::transition::Event;
use lockgate_core::{JobId, RunId, Timestamp};

use super::super::{conflict, not_found};
use super::{Job, Tables};

impl Tables {
    pub(super) fn control(&mut self, command: RunCommand) -> Result<u64, EngineError> {
        match command {
            RunCommand::Pause(run) => self.pause(run),
            RunCommand::Resume(run) => self.resume(run),
            RunCommand::Cancel { run, reason } => self.cancel(run, &reason),
            RunCommand::Retry { run, states } => self.retry(run, &states),
            RunCommand::SetCadence { run, cadence } => self.set_cadence(run, cadence),
            RunCommand::RetryJob(job) => self.retry_job(job),
            RunCommand::CancelJob { job, reason } => self.cancel_job(job, &reason),
        }
    }

    fn pause(&mut self, id: RunId) -> Result<u64, EngineError> {
        let run = self.run_mut(id)?;
        match run.row.status {
            RunStatus::Active => run.row.status = RunStatus::Paused,
            RunStatus::Paused => return Ok(0),
            other => return Err(out_of_place("paused", &run.row.name, other)),
        }
        Ok(1)
    }

    fn resume(&mut self, id: RunId) -> Result<u64, EngineError> {
        let now = self.now;
        let run = self.run_mut(id)?;
        match run.row.status {
            RunStatus::Paused => run.row.status = RunStatus::Active,
            RunStatus::Active => return Ok(0),
            other => return Err(out_of_place("resumed", &run.row.name, other)),
        }
        // Batches that were missed during the pause are not dispatched together.
        run.row.next_due = run.row.next_due.map(|due| due.max(now));
        Ok(1)
    }

    fn cancel(&mut self, id: RunId, reason: &str) -> Result<u64, EngineError> {
        let now = self.now;
        let run = self.run_mut(id)?;
        run.row.status = RunStatus::Cancelled;
        run.row.next_due = None;
        Ok(count(self.jobs_of_mut(id), |job| job.end(Event::Cancelled, reason, now)))
    }

    fn retry(&mut self, id: RunId, states: &[JobState]) -> Result<u64, EngineError> {
        if let Some(state) = states.iter().find(|s| !s.is_terminal() || **s == JobState::Succeeded) {
            return Err(conflict(format!(
                "{state} jobs are not retried; choose skipped, failed or cancelled"
            )));
        }
        let now = self.now;
        self.run(id)?;
        let wanted = self.jobs_of_mut(id).filter(|job| states.contains(&job.row.state));
        let revived = count(wanted, |job| job.revive(now));
        self.reactivate(id, revived);
        Ok(revived)
    }

    fn set_cadence(&mut self, id: RunId, cadence: Cadence) -> Result<u64, EngineError> {
        let run = self.run_mut(id)?;
        run.row.cadence = cadence;
        run.row.next_due = run.row.next_due.map(|due| cadence.due_after_change(run.last_batch, due));
        Ok(1)
    }

    fn retry_job(&mut self, id: JobId) -> Result<u64, EngineError> {
        let now = self.now;
        let job = self.job_mut(id).ok_or_else(|| not_found("job", &id))?;
        let state = job.row.state;
        if !job.revive(now) {
            return Err(conflict(format!(
                "job {id} is {state}; only skipped, failed or cancelled ones are retried"
            )));
        }
        if let Some(run) = job.row.run {
            self.reactivate(run, 1);
        }
        Ok(1)
    }

    fn cancel_job(&mut self, id: JobId, reason: &str) -> Result<u64, EngineError> {
        let now = self.now;
        let job = self.job_mut(id).ok_or_else(|| not_found("job", &id))?;
        Ok(u64::from(job.end(Event::Cancelled, reason, now)))
    }

    /// A cancelled run becomes active again when its jobs are retried.
    fn reactivate(&mut self, id: RunId, revived: u64) {
        if let Ok(run) = self.run_mut(id)
            && run.row.status == RunStatus::Cancelled
            && revived > 0
        {
            run.row.status = RunStatus::Active;
        }
    }
}

impl Job {
    fn revive(&mut self, now: Timestamp) -> bool {
        if self.step(Event::Retried, now).is_none() {
            return false;
        }
        self.row.due_at = Some(now);
        self.row.attempt = 0;
        self.row.reason = None;
        self.unsettled = 0;
        self.deferrals_in_row = 0;
        self.dispatched = false;
        // An execution that outlived the end of its job cannot settle the retry, whether or not it was
        // recorded.
        self.executing = false;
        self.dispatch += 1;
        true
    }
}

fn count<'a>(jobs: impl Iterator<Item = &'a mut Job>, change: impl FnMut(&mut Job) -> bool) -> u64 {
    u64::try_from(jobs.map(change).filter(|changed| *changed).count()).unwrap_or(u64::MAX)
}

fn out_of_place(wanted: &str, name: &lockgate_core::RunName, status: RunStatus) -> EngineError {
    conflict(format!("run {name} is {} and cannot be {wanted}", status.as_str()))
}
