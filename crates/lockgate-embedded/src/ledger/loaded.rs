//! Job rows that one call loads, changes and writes back.
//!
//! Starts and reports are decided on these rows. Only the latest dispatch and the latest execution of a job
//! count.

use std::collections::HashMap;

use lockgate_core::id::JobId;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{Execution, Report, Settled, Settlement, SettlementToken, Start, Started};
use lockgate_core::time::{Timestamp, millis};
use lockgate_core::transition::{self, DEADLINE_PASSED, Ending, Event, POISONED, StartVerdict};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::columns::{parsed, sql, to_json};

/// The jobs of one call, by id. Unknown ids are absent.
pub(super) struct LoadedJobs(HashMap<JobId, LoadedJob>);

impl LoadedJobs {
    pub(super) async fn load(
        tx: &mut SqliteConnection,
        mut ids: Vec<JobId>,
        now: Timestamp,
    ) -> sqlx::Result<Self> {
        ids.sort_unstable();
        ids.dedup();
        let rows =
            sqlx::query(sql!("ledger/load_jobs")).bind(to_json(&ids)?).bind(now.0).fetch_all(tx).await?;
        rows.iter()
            .map(|row| Ok((parsed(row, "id")?, LoadedJob::from_row(row)?)))
            .collect::<sqlx::Result<_>>()
            .map(Self)
    }

    pub(super) fn find(&mut self, job: JobId) -> Option<&mut LoadedJob> {
        self.0.get_mut(&job)
    }

    /// Applies starts in order. An unknown job is stale.
    pub(super) fn start(&mut self, starts: &[Start], now: Timestamp) -> Vec<Started> {
        let mut start_one =
            |start: &Start| self.find(start.job).map_or(Started::Stale, |job| job.start(*start, now));
        starts.iter().map(&mut start_one).collect()
    }

    /// Returns whether there is anything to write back.
    pub(super) fn have_changed(&self) -> bool {
        self.0.values().any(|job| job.changed)
    }

    /// Writes the changed rows back.
    pub(super) async fn store(self, tx: &mut SqliteConnection, now: Timestamp) -> sqlx::Result<()> {
        let changed: Vec<LoadedJob> = self.0.into_values().filter(|job| job.changed).collect();
        if changed.is_empty() {
            return Ok(());
        }
        sqlx::query(sql!("ledger/store_jobs"))
            .bind(to_json(&changed)?)
            .bind(now.0)
            .execute(tx)
            .await
            .map(drop)
    }
}

/// A job row with what the state machine needs. Times are milliseconds of ledger time, durations
/// milliseconds.
#[derive(Serialize)]
pub(super) struct LoadedJob {
    seq: i64,
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
    deferrals: u32,
    deferrals_in_row: u32,
    reason: Option<String>,
    waited: Option<i64>,
    ran: Option<i64>,
    settled_at: Option<i64>,
    /// Whether the run is paused.
    #[serde(skip)]
    paused: bool,
    /// Whether the deadline of the run has passed.
    #[serde(skip)]
    expired: bool,
    /// Whether the row has to be written back.
    #[serde(skip)]
    changed: bool,
}

impl LoadedJob {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            seq: row.try_get("seq")?,
            state: parsed(row, "state")?,
            dispatch: row.try_get("dispatch")?,
            dispatched: row.try_get("dispatched")?,
            started: row.try_get("started")?,
            executing: row.try_get("executing")?,
            started_by: row.try_get("started_by")?,
            due_at: row.try_get("due_at")?,
            attempt: row.try_get("attempt")?,
            executions: row.try_get("executions")?,
            unsettled: row.try_get("unsettled")?,
            deferrals: row.try_get("deferrals")?,
            deferrals_in_row: row.try_get("deferrals_in_row")?,
            reason: row.try_get("reason")?,
            waited: row.try_get("waited")?,
            ran: row.try_get("ran")?,
            settled_at: row.try_get("settled_at")?,
            paused: row.try_get("paused")?,
            expired: row.try_get("expired")?,
            changed: false,
        })
    }

    /// Decides whether a delivery may start the job, and applies the start.
    fn start(&mut self, start: Start, now: Timestamp) -> Started {
        let Start { dispatch, token, durability, .. } = start;
        let is_repeated = self.executing && self.started_by == token && self.dispatch == dispatch;
        if is_repeated && !self.state.is_terminal() {
            return Started::Run(self.execution(now));
        }
        match transition::may_start(&self.snapshot(), dispatch, durability) {
            StartVerdict::Stale => Started::Stale,
            StartVerdict::RunUnrecorded => Started::Run(self.next_execution(now)),
            StartVerdict::Expired => {
                self.step(Event::Expired, None, Some(DEADLINE_PASSED.to_owned()));
                Started::Expired
            }
            StartVerdict::Poisoned => {
                self.step(Event::Poisoned, None, Some(POISONED.to_owned()));
                Started::Poisoned
            }
            StartVerdict::Paused => {
                // A job that is still `scheduled`, because its message was faster than the report of its
                // publication, has no event for this. It already has the right state.
                self.set_state(JobState::Scheduled, Some(now), self.reason.clone());
                self.dispatched = false;
                Started::Paused
            }
            StartVerdict::Run => self.run(token, now),
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

    /// Stores the start of the next execution.
    fn run(&mut self, token: i64, now: Timestamp) -> Started {
        // The state may still be `scheduled`, because a fast worker receives the message before the
        // dispatcher has reported its publication. When the message came twice and the other delivery was
        // deferred, the job stays deferred.
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
        Started::Run(self.execution(now))
    }

    /// Returns the execution whose start is stored.
    fn execution(&self, now: Timestamp) -> Execution {
        let (attempt, number) = (self.attempt, self.executions);
        let deferrals = self.deferrals_in_row;
        Execution { attempt, number, started_at: now, recorded: true, deferrals }
    }

    /// Returns the execution of a start that is not stored yet.
    fn next_execution(&self, now: Timestamp) -> Execution {
        let (attempt, number) = (self.attempt + 1, self.executions + 1);
        let deferrals = self.deferrals_in_row;
        Execution { attempt, number, started_at: now, recorded: false, deferrals }
    }

    pub(super) fn report(&mut self, report: &Report, now: Timestamp) -> Settled {
        match report {
            Report::Published { dispatch, .. } => self.published(*dispatch),
            Report::Settled(settlement) => self.settle(settlement, now),
        }
    }

    fn published(&mut self, dispatch: u32) -> Settled {
        if self.dispatch != dispatch || !self.dispatched {
            return Settled::Stale;
        }
        self.step(Event::Published, None, None)
    }

    fn settle(&mut self, settlement: &Settlement, now: Timestamp) -> Settled {
        let by_execution = match settlement.token {
            SettlementToken::Execution(number) if self.executing && number == self.executions => true,
            SettlementToken::Delivery(dispatch) if self.dispatched && dispatch == self.dispatch => false,
            SettlementToken::Unrecorded { dispatch, number }
                if transition::is_latest_unrecorded(&self.snapshot(), dispatch, number) =>
            {
                self.attempt += 1;
                self.executions = number;
                true
            }
            _ => return Settled::Stale,
        };
        let outcome = &settlement.outcome;
        let ending = Ending::from(outcome);
        let due = match outcome {
            Outcome::Retry { after, .. } | Outcome::Deferred { after, .. } => Some(now.plus(*after)),
            _ => None,
        };
        let settled = self.step(Event::Ended(ending), due, outcome.reason().map(str::to_owned));
        if settled == Settled::Stale {
            return settled;
        }
        self.deferrals_in_row = transition::deferrals_in_row(self.deferrals_in_row, ending);
        if ending == Ending::Deferred {
            self.deferrals += 1;
            self.attempt = self.attempt.saturating_sub(u32::from(by_execution));
        }
        self.dispatched = false;
        self.settled_at = Some(now.0);
        self.waited = Some(self.waited.unwrap_or(0).saturating_add(millis(settlement.waited)));
        if by_execution {
            self.executing = false;
            self.unsettled = 0;
            self.ran = Some(millis(settlement.ran));
        }
        settled
    }

    /// Applies an event if the state machine allows it; otherwise nothing changes.
    pub(super) fn step(&mut self, event: Event, due: Option<Timestamp>, reason: Option<String>) -> Settled {
        let Some(next) = transition::next(self.state, event) else {
            return Settled::Stale;
        };
        // A job keeps the reason of its last settlement, such as why it was deferred, until the next one.
        let keeps_reason = matches!(event, Event::Published | Event::Returned);
        let reason = if keeps_reason { self.reason.take() } else { reason };
        self.set_state(next, due, reason);
        Settled::Recorded(next)
    }

    /// Prepares a retry by an operator, with all attempts.
    pub(super) fn reset_attempts(&mut self) {
        self.attempt = 0;
        self.unsettled = 0;
        self.deferrals_in_row = 0;
        self.dispatched = false;
        // An execution that still runs must not settle the next dispatch, whether its start is stored or not.
        self.executing = false;
        self.dispatch += 1;
    }

    fn set_state(&mut self, state: JobState, due: Option<Timestamp>, reason: Option<String>) {
        self.state = state;
        self.due_at = due.map(|due| due.0);
        self.reason = reason;
        self.changed = true;
    }
}
