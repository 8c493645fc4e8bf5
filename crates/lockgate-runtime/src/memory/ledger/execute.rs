//! Starts and settlements. Only the latest dispatch may start a job, and only the latest execution may settle
//! it, once.

use lockgate_core::Timestamp;
use lockgate_core::job::Outcome;
use lockgate_core::ledger::{Execution, Report, Settled, Settlement, SettlementToken, Start, Started};
use lockgate_core::run::RunStatus;
use lockgate_core::transition::{self, DEADLINE_PASSED, Ending, Event, JobSnapshot, POISONED, StartVerdict};

use super::{Job, Run, Tables};

impl Tables {
    pub(super) fn start(&mut self, start: Start) -> Started {
        let now = self.now;
        let (runs, jobs) = (&self.runs, &mut self.jobs);
        let Some(job) = self.positions.get(&start.job).and_then(|position| jobs.get_mut(position)) else {
            return Started::Stale;
        };
        if let Some(execution) = job.started_already(start, now) {
            return Started::Run(execution);
        }
        let run = runs.iter().find(|run| Some(run.row.id) == job.row.run);
        match transition::may_start(&job.snapshot(run, now), start.dispatch, start.durability) {
            StartVerdict::Stale => Started::Stale,
            StartVerdict::RunUnrecorded => Started::Run(job.next_execution(now)),
            StartVerdict::Run => Started::Run(job.execute(start.token, now)),
            StartVerdict::Paused => {
                job.take_back(now);
                Started::Paused
            }
            StartVerdict::Expired => {
                job.end(Event::Expired, DEADLINE_PASSED, now);
                Started::Expired
            }
            StartVerdict::Poisoned => {
                job.end(Event::Poisoned, POISONED, now);
                Started::Poisoned
            }
        }
    }

    pub(super) fn settle(&mut self, report: Report) -> Settled {
        let now = self.now;
        let id = match &report {
            Report::Published { job, .. } => *job,
            Report::Settled(settlement) => settlement.job,
        };
        let Some(job) = self.job_mut(id) else { return Settled::Stale };
        match report {
            Report::Published { dispatch, .. } => job.published(dispatch, now),
            Report::Settled(settlement) => job.settle(settlement, now),
        }
    }
}

impl Job {
    fn snapshot(&self, run: Option<&Run>, now: Timestamp) -> JobSnapshot {
        JobSnapshot {
            state: self.row.state,
            dispatch: self.dispatch,
            dispatched: self.dispatched,
            unsettled: self.unsettled,
            executions: self.row.executions,
            paused: run.is_some_and(|run| run.row.status == RunStatus::Paused),
            expired: run.is_some_and(|run| run.is_expired(now)),
        }
    }

    /// Returns the execution that this start began, when the start is repeated.
    fn started_already(&self, start: Start, now: Timestamp) -> Option<Execution> {
        let same = self.executing && self.started_by == start.token && self.dispatch == start.dispatch;
        let (attempt, number) = (self.row.attempt, self.row.executions);
        let started_at = self.started_at.unwrap_or(now);
        let deferrals = self.deferrals_in_row;
        let execution = Execution { attempt, number, started_at, recorded: true, deferrals };
        (same && !self.row.state.is_terminal()).then_some(execution)
    }

    /// Decides a start with deferred durability.
    fn next_execution(&self, now: Timestamp) -> Execution {
        let (attempt, number) = (self.row.attempt + 1, self.row.executions + 1);
        let deferrals = self.deferrals_in_row;
        Execution { attempt, number, started_at: now, recorded: false, deferrals }
    }

    fn execute(&mut self, token: i64, now: Timestamp) -> Execution {
        // A fast worker sees the message before its dispatcher can report the publication. If the message
        // came twice and the other delivery was deferred, the job stays deferred.
        if self.dispatched {
            self.step(Event::Published, now);
            self.row.due_at = None;
        }
        self.row.updated_at = now;
        self.row.attempt += 1;
        self.row.executions += 1;
        self.unsettled += 1;
        self.executing = true;
        self.started_by = token;
        self.started_at = Some(now);
        let (attempt, number) = (self.row.attempt, self.row.executions);
        let deferrals = self.deferrals_in_row;
        Execution { attempt, number, started_at: now, recorded: true, deferrals }
    }

    fn published(&mut self, dispatch: u32, now: Timestamp) -> Settled {
        // The dispatch is no longer in flight: it was taken back or deferred before this report.
        if self.dispatch != dispatch || !self.dispatched {
            return Settled::Stale;
        }
        match self.step(Event::Published, now) {
            Some(state) => {
                self.row.due_at = None;
                self.published_at = Some(now);
                Settled::Recorded(state)
            }
            None => Settled::Stale,
        }
    }

    fn settle(&mut self, settlement: Settlement, now: Timestamp) -> Settled {
        let started = match settlement.token {
            SettlementToken::Execution(number) => {
                if !self.executing || self.row.executions != number {
                    return Settled::Stale;
                }
                true
            }
            SettlementToken::Unrecorded { dispatch, number } => {
                let snapshot = self.snapshot(None, now);
                if !transition::is_latest_unrecorded(&snapshot, dispatch, number) {
                    return Settled::Stale;
                }
                self.row.attempt += 1;
                self.row.executions = number;
                true
            }
            SettlementToken::Delivery(dispatch) => {
                if !self.dispatched || self.dispatch != dispatch {
                    return Settled::Stale;
                }
                false
            }
        };
        let ending = Ending::from(&settlement.outcome);
        let Some(state) = self.step(Event::Ended(ending), now) else { return Settled::Stale };
        self.deferrals_in_row = transition::deferrals_in_row(self.deferrals_in_row, ending);
        self.row.reason = settlement.outcome.reason().map(str::to_owned);
        self.row.waited = Some(self.row.waited.unwrap_or_default().saturating_add(settlement.waited));
        self.dispatched = false;
        self.settled_at = Some(now);
        if started {
            self.executing = false;
            self.unsettled = 0;
            self.row.ran = Some(settlement.ran);
        }
        match settlement.outcome {
            Outcome::Retry { after, .. } => self.row.due_at = Some(now.plus(after)),
            Outcome::Deferred { after, .. } => {
                self.row.due_at = Some(now.plus(after));
                self.row.deferrals += 1;
                self.row.attempt -= u32::from(started && self.row.attempt > 0);
            }
            _ => {}
        }
        Settled::Recorded(state)
    }
}
