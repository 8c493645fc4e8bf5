//! Where jobs stand: starts and settlements are decided on the rows of one transaction, then written back together.
//!
//! It must never decide on anything but the latest dispatch and the latest execution of a job.

use std::collections::HashMap;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::id::JobId;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{Authority, Execution, Report, Settled, Settlement, Start, Started};
use lockgate_core::time::{Timestamp, millis};
use lockgate_core::transition::{self, DEADLINE_PASSED, Event, POISONED, StartVerdict};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::columns::{name, sql, to_json};
use crate::database::{Doing, Write};

/// Records the starts of jobs.
pub(super) struct StartJobs {
    pub(super) starts: Vec<Start>,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Write for StartJobs {
    type Output = Vec<Started>;

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Vec<Started>, EngineError> {
        let ids = self.starts.iter().map(|start| start.job).collect();
        let mut jobs = Standings::load(tx, ids, self.now).await.doing("starting jobs")?;
        let answers = self
            .starts
            .iter()
            .map(|start| jobs.find(start.job).map_or(Started::Stale, |job| job.start(*start, self.now)))
            .collect();
        jobs.store(tx, self.now).await.doing("starting jobs")?;
        Ok(answers)
    }
}

/// Records what happened to jobs.
pub(super) struct SettleJobs {
    pub(super) reports: Vec<Report>,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Write for SettleJobs {
    type Output = Vec<Settled>;

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Vec<Settled>, EngineError> {
        let ids = self.reports.iter().map(job_of).collect();
        let mut jobs = Standings::load(tx, ids, self.now).await.doing("settling jobs")?;
        let answers = self
            .reports
            .iter()
            .map(|report| {
                jobs.find(job_of(report)).map_or(Settled::Stale, |job| job.report(report, self.now))
            })
            .collect();
        jobs.store(tx, self.now).await.doing("settling jobs")?;
        Ok(answers)
    }
}

fn job_of(report: &Report) -> JobId {
    match report {
        Report::Published { job, .. } | Report::Settled(Settlement { job, .. }) => *job,
    }
}

/// The jobs of one call, by id.
pub(super) struct Standings(HashMap<JobId, Standing>);

impl Standings {
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
            .map(|row| Ok((name(row, "id")?, Standing::from_row(row)?)))
            .collect::<sqlx::Result<_>>()
            .map(Self)
    }

    pub(super) fn find(&mut self, job: JobId) -> Option<&mut Standing> {
        self.0.get_mut(&job)
    }

    pub(super) async fn store(self, tx: &mut SqliteConnection, now: Timestamp) -> sqlx::Result<()> {
        let changed: Vec<Standing> = self.0.into_values().filter(|job| job.changed).collect();
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

/// A job as the state machine needs it.
#[derive(Serialize)]
pub(super) struct Standing {
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
    reason: Option<String>,
    waited: Option<i64>,
    ran: Option<i64>,
    settled_at: Option<i64>,
    #[serde(skip)]
    paused: bool,
    #[serde(skip)]
    expired: bool,
    #[serde(skip)]
    changed: bool,
}

impl Standing {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            seq: row.try_get("seq")?,
            state: name(row, "state")?,
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
            reason: row.try_get("reason")?,
            waited: row.try_get("waited")?,
            ran: row.try_get("ran")?,
            settled_at: row.try_get("settled_at")?,
            paused: row.try_get("paused")?,
            expired: row.try_get("expired")?,
            changed: false,
        })
    }

    /// A delivery of this dispatch wants to start the job.
    fn start(&mut self, start: Start, now: Timestamp) -> Started {
        let Start { dispatch, token, .. } = start;
        let said_before = self.executing && self.started_by == token && self.dispatch == dispatch;
        if said_before && !self.state.is_terminal() {
            return Started::Run(self.execution(now));
        }
        let standing = transition::Standing {
            state: self.state,
            dispatch: self.dispatch,
            dispatched: self.dispatched,
            unsettled: self.unsettled,
            paused: self.paused,
            expired: self.expired,
        };
        match transition::may_start(&standing, dispatch) {
            StartVerdict::Stale => Started::Stale,
            StartVerdict::Expired => {
                self.step(Event::Expired, None, Some(DEADLINE_PASSED.to_owned()));
                Started::Expired
            }
            StartVerdict::Poisoned => {
                self.step(Event::Poisoned, None, Some(POISONED.to_owned()));
                Started::Poisoned
            }
            StartVerdict::Paused => {
                // From `scheduled`, its message before its report, there is no event: it is there already.
                self.put(JobState::Scheduled, Some(now), None);
                self.dispatched = false;
                Started::Paused
            }
            StartVerdict::Run => self.run(token, now),
        }
    }

    fn run(&mut self, token: i64, now: Timestamp) -> Started {
        // Also from `scheduled`: a fast worker has the message before the dispatcher has reported it as published.
        self.put(JobState::Enqueued, None, None);
        self.started = true;
        self.executing = true;
        self.started_by = token;
        self.attempt += 1;
        self.executions += 1;
        self.unsettled += 1;
        Started::Run(self.execution(now))
    }

    fn execution(&self, now: Timestamp) -> Execution {
        Execution { attempt: self.attempt, number: self.executions, started_at: now }
    }

    fn report(&mut self, report: &Report, now: Timestamp) -> Settled {
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
        let by_execution = match settlement.by {
            Authority::Execution(number) if self.executing && number == self.executions => true,
            Authority::Delivery(dispatch) if self.dispatched && dispatch == self.dispatch => false,
            Authority::Execution(_) | Authority::Delivery(_) => return Settled::Stale,
        };
        let outcome = &settlement.outcome;
        let due = match outcome {
            Outcome::Retry { after, .. } | Outcome::Deferred { after, .. } => Some(now.plus(*after)),
            _ => None,
        };
        let settled = self.step(Event::Ended(outcome.into()), due, outcome.reason().map(str::to_owned));
        if settled == Settled::Stale {
            return settled;
        }
        if matches!(outcome, Outcome::Deferred { .. }) {
            self.deferrals += 1;
            self.attempt = self.attempt.saturating_sub(u32::from(by_execution));
        }
        self.dispatched = false;
        self.settled_at = Some(now.0);
        self.waited = Some(millis(settlement.waited));
        if by_execution {
            self.executing = false;
            self.unsettled = 0;
            self.ran = Some(millis(settlement.ran));
        }
        settled
    }

    /// Goes where the state machine says, if anywhere.
    pub(super) fn step(&mut self, event: Event, due: Option<Timestamp>, reason: Option<String>) -> Settled {
        let Some(next) = transition::next(self.state, event) else {
            return Settled::Stale;
        };
        self.put(next, due, reason);
        Settled::Recorded(next)
    }

    /// An operator gives it all its attempts again.
    pub(super) fn renew(&mut self) {
        self.attempt = 0;
        self.unsettled = 0;
        self.dispatched = false;
        // An execution that outlived the end of its job has nothing to say about the next.
        self.executing = false;
    }

    fn put(&mut self, state: JobState, due: Option<Timestamp>, reason: Option<String>) {
        self.state = state;
        self.due_at = due.map(|due| due.0);
        self.reason = reason;
        self.changed = true;
    }
}
