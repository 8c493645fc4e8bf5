//! Jobs whose next state is not decided by the conditions of a statement. Their rows are locked, decided on
//! here, and stored together.
//!
//! Only the latest dispatch and the latest execution of a job count.

use std::collections::HashMap;

use lockgate_core::JobId;
use lockgate_core::job::JobState;
use lockgate_core::ledger::{Execution, Start, Started};
use lockgate_core::time::Timestamp;
use lockgate_core::transition::{self, DEADLINE_PASSED, Event, POISONED, StartVerdict};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::columns::{integer, read_name, read_u32, sql};

/// The loaded jobs of one call, by id.
pub(super) struct LoadedJobs {
    jobs: HashMap<JobId, LoadedJob>,
    now: Timestamp,
}

impl LoadedJobs {
    /// Loads and locks the jobs. Unknown ids are left out.
    pub(super) async fn load(
        tx: &mut PgConnection,
        mut ids: Vec<JobId>,
        now: Timestamp,
    ) -> sqlx::Result<Self> {
        ids.sort_unstable();
        ids.dedup();
        let ids: Vec<uuid::Uuid> = ids.into_iter().map(|id| id.0).collect();
        let rows = sqlx::query(sql!("ledger/load_jobs")).bind(ids).bind(now.0).fetch_all(tx).await?;
        rows.iter()
            .map(|row| Ok((JobId(row.try_get("id")?), LoadedJob::from_row(row)?)))
            .collect::<sqlx::Result<_>>()
            .map(|jobs| Self { jobs, now })
    }

    pub(super) fn find(&mut self, job: JobId) -> Option<&mut LoadedJob> {
        self.jobs.get_mut(&job)
    }

    pub(super) async fn store(self, tx: &mut PgConnection) -> sqlx::Result<()> {
        let mut changed: Vec<(JobId, LoadedJob)> =
            self.jobs.into_iter().filter(|(_, job)| job.changed).collect();
        if changed.is_empty() {
            return Ok(());
        }
        changed.sort_unstable_by_key(|(id, _)| *id);
        sqlx::query(sql!("ledger/store_jobs"))
            .bind(column(&changed, |id, _| id.0))
            .bind(column(&changed, |_, job| job.state.as_str()))
            .bind(column(&changed, |_, job| integer(job.dispatch)))
            .bind(column(&changed, |_, job| job.dispatched))
            .bind(column(&changed, |_, job| job.started))
            .bind(column(&changed, |_, job| job.executing))
            .bind(column(&changed, |_, job| job.started_by))
            .bind(column(&changed, |_, job| job.due_at))
            .bind(column(&changed, |_, job| integer(job.attempt)))
            .bind(column(&changed, |_, job| integer(job.executions)))
            .bind(column(&changed, |_, job| i16::try_from(job.unsettled).unwrap_or(i16::MAX)))
            .bind(column(&changed, |_, job| job.reason.clone()))
            .bind(column(&changed, |_, job| integer(job.deferrals_in_row)))
            .bind(self.now.0)
            .execute(tx)
            .await
            .map(drop)
    }
}

fn column<T>(jobs: &[(JobId, LoadedJob)], of: impl Fn(&JobId, &LoadedJob) -> T) -> Vec<T> {
    jobs.iter().map(|(id, job)| of(id, job)).collect()
}

/// A job with the columns that the state machine needs.
pub(super) struct LoadedJob {
    pub(super) state: JobState,
    dispatch: u32,
    dispatched: bool,
    started: bool,
    executing: bool,
    started_by: i64,
    due_at: Option<i64>,
    attempt: u32,
    executions: u32,
    unsettled: u32,
    deferrals_in_row: u32,
    reason: Option<String>,
    paused: bool,
    expired: bool,
    now: Timestamp,
    changed: bool,
}

impl LoadedJob {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            state: read_name(row, "state")?,
            dispatch: read_u32(row, "dispatch")?,
            dispatched: row.try_get("dispatched")?,
            started: row.try_get("started")?,
            executing: row.try_get("executing")?,
            started_by: row.try_get("started_by")?,
            due_at: row.try_get("due_at")?,
            attempt: read_u32(row, "attempt")?,
            executions: read_u32(row, "executions")?,
            unsettled: u32::try_from(row.try_get::<i16, _>("unsettled")?).unwrap_or(0),
            deferrals_in_row: read_u32(row, "deferrals_in_row")?,
            reason: row.try_get("reason")?,
            paused: row.try_get("paused")?,
            expired: row.try_get("expired")?,
            now: Timestamp(row.try_get("now")?),
            changed: false,
        })
    }

    /// Starts the job for a delivery of a dispatch.
    pub(super) fn start(&mut self, start: Start) -> Started {
        let Start { dispatch, token, durability, .. } = start;
        let is_repeated = self.executing && self.started_by == token && self.dispatch == dispatch;
        if is_repeated && !self.state.is_terminal() {
            return Started::Run(self.execution());
        }
        match transition::may_start(&self.snapshot(), dispatch, durability) {
            StartVerdict::Stale => Started::Stale,
            StartVerdict::RunUnrecorded => Started::Run(self.next_execution()),
            StartVerdict::Expired => {
                self.step(Event::Expired, None, Some(DEADLINE_PASSED.to_owned()));
                Started::Expired
            }
            StartVerdict::Poisoned => {
                self.step(Event::Poisoned, None, Some(POISONED.to_owned()));
                Started::Poisoned
            }
            StartVerdict::Paused => {
                // Set directly: the delivery may have overtaken the report of its publishing, and then the
                // job is still `scheduled` and the state machine has no event for it.
                self.set_state(JobState::Scheduled, Some(self.now), self.reason.clone());
                self.dispatched = false;
                Started::Paused
            }
            StartVerdict::Run => self.run(token),
        }
    }

    fn snapshot(&self) -> transition::JobSnapshot {
        transition::JobSnapshot {
            state: self.state,
            dispatch: self.dispatch,
            dispatched: self.dispatched,
            unsettled: self.unsettled,
            executions: self.executions,
            paused: self.paused,
            expired: self.expired,
        }
    }

    fn run(&mut self, token: i64) -> Started {
        // The job may still be `scheduled`, because a fast worker gets the message before the dispatcher has
        // reported it as published. When the message was delivered twice and the other delivery was deferred,
        // the job stays deferred.
        if self.dispatched {
            self.set_state(JobState::Enqueued, None, self.reason.clone());
        }
        self.changed = true;
        self.started = true;
        self.executing = true;
        self.started_by = token;
        self.attempt += 1;
        self.executions += 1;
        self.unsettled += 1;
        Started::Run(self.execution())
    }

    fn execution(&self) -> Execution {
        let (attempt, number) = (self.attempt, self.executions);
        let deferrals = self.deferrals_in_row;
        Execution { attempt, number, started_at: self.now, recorded: true, deferrals }
    }

    /// Returns the execution of a start that is not recorded now.
    fn next_execution(&self) -> Execution {
        let (attempt, number) = (self.attempt + 1, self.executions + 1);
        let deferrals = self.deferrals_in_row;
        Execution { attempt, number, started_at: self.now, recorded: false, deferrals }
    }

    /// Moves the job as the state machine says. Returns whether the event applied.
    pub(super) fn step(&mut self, event: Event, due: Option<Timestamp>, reason: Option<String>) -> bool {
        let Some(next) = transition::next(self.state, event) else { return false };
        // A job keeps the reason of its last settlement until the next one, for example why it was deferred.
        let keeps_reason = matches!(event, Event::Published | Event::Returned);
        let reason = if keeps_reason { self.reason.take() } else { reason };
        self.set_state(next, due, reason);
        true
    }

    /// Retries the job for an operator, now and with all its attempts. Returns whether the job could be
    /// retried.
    pub(super) fn retry(&mut self) -> bool {
        if !self.step(Event::Retried, Some(self.now), None) {
            return false;
        }
        self.attempt = 0;
        self.unsettled = 0;
        self.deferrals_in_row = 0;
        self.dispatched = false;
        // An execution that outlives the end of its job must not settle the next one, whether it was recorded
        // or not.
        self.executing = false;
        self.dispatch += 1;
        true
    }

    fn set_state(&mut self, state: JobState, due: Option<Timestamp>, reason: Option<String>) {
        self.state = state;
        self.due_at = due.map(|due| due.0);
        self.reason = reason;
        self.changed = true;
    }
}
