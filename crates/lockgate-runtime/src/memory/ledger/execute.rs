//! Starts and settlements. Only the latest dispatch may start a job, and only the latest execution, once, may say
//! what it came to.

use lockgate_core::Timestamp;
use lockgate_core::job::Outcome;
use lockgate_core::ledger::{Execution, Report, Settled, Settlement, SettlementToken, Start, Started};
use lockgate_core::run::RunStatus;
use lockgate_core::transition::{self, DEADLINE_PASSED, Ending, Event, JobSnapshot, POISONED, StartVerdict};

use super::{Books, Job, Run};

impl Books {
    pub(super) fn start(&mut self, start: Start) -> Started {
        let now = self.now;
        let (runs, jobs) = (&self.runs, &mut self.jobs);
        let Some(job) = self.places.get(&start.job).and_then(|place| jobs.get_mut(place)) else {
            return Started::Stale;
        };
        if let Some(execution) = job.started_already(start, now) {
            return Started::Run(execution);
        }
        let run = runs.iter().find(|run| Some(run.record.id) == job.record.run);
        match transition::may_start(&job.standing(run, now), start.dispatch, start.durability) {
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
    fn standing(&self, run: Option<&Run>, now: Timestamp) -> JobSnapshot {
        JobSnapshot {
            state: self.record.state,
            dispatch: self.dispatch,
            dispatched: self.dispatched,
            unsettled: self.unsettled,
            executions: self.record.executions,
            paused: run.is_some_and(|run| run.record.status == RunStatus::Paused),
            expired: run.is_some_and(|run| run.is_expired(now)),
        }
    }

    /// The execution that this very start began, when it is said again.
    fn started_already(&self, start: Start, now: Timestamp) -> Option<Execution> {
        let same = self.executing && self.started_by == start.token && self.dispatch == start.dispatch;
        let (attempt, number) = (self.record.attempt, self.record.executions);
        let started_at = self.started_at.unwrap_or(now);
        let deferrals = self.deferrals_in_row;
        let execution = Execution { attempt, number, started_at, recorded: true, deferrals };
        (same && !self.record.state.is_terminal()).then_some(execution)
    }

    /// What a start comes to that is left for later.
    fn next_execution(&self, now: Timestamp) -> Execution {
        let (attempt, number) = (self.record.attempt + 1, self.record.executions + 1);
        let deferrals = self.deferrals_in_row;
        Execution { attempt, number, started_at: now, recorded: false, deferrals }
    }

    fn execute(&mut self, token: i64, now: Timestamp) -> Execution {
        // A fast worker sees the message before its dispatcher could report it as published. Where the message has come
        // twice, and the other delivery was put off, the job stays put off.
        if self.dispatched {
            self.step(Event::Published, now);
            self.record.due_at = None;
        }
        self.record.updated_at = now;
        self.record.attempt += 1;
        self.record.executions += 1;
        self.unsettled += 1;
        self.executing = true;
        self.started_by = token;
        self.started_at = Some(now);
        let (attempt, number) = (self.record.attempt, self.record.executions);
        let deferrals = self.deferrals_in_row;
        Execution { attempt, number, started_at: now, recorded: true, deferrals }
    }

    fn published(&mut self, dispatch: u32, now: Timestamp) -> Settled {
        // Not dispatched any more: it was taken back, or settled for later, before this report came.
        if self.dispatch != dispatch || !self.dispatched {
            return Settled::Stale;
        }
        match self.step(Event::Published, now) {
            Some(state) => {
                self.record.due_at = None;
                self.published_at = Some(now);
                Settled::Recorded(state)
            }
            None => Settled::Stale,
        }
    }

    fn settle(&mut self, settlement: Settlement, now: Timestamp) -> Settled {
        let started = match settlement.token {
            SettlementToken::Execution(number) => {
                if !self.executing || self.record.executions != number {
                    return Settled::Stale;
                }
                true
            }
            SettlementToken::Unrecorded { dispatch, number } => {
                let standing = self.standing(None, now);
                if !transition::is_latest_unrecorded(&standing, dispatch, number) {
                    return Settled::Stale;
                }
                self.record.attempt += 1;
                self.record.executions = number;
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
        self.record.reason = settlement.outcome.reason().map(str::to_owned);
        self.record.waited = Some(self.record.waited.unwrap_or_default().saturating_add(settlement.waited));
        self.dispatched = false;
        self.settled_at = Some(now);
        if started {
            self.executing = false;
            self.unsettled = 0;
            self.record.ran = Some(settlement.ran);
        }
        match settlement.outcome {
            Outcome::Retry { after, .. } => self.record.due_at = Some(now.plus(after)),
            Outcome::Deferred { after, .. } => {
                self.record.due_at = Some(now.plus(after));
                self.record.deferrals += 1;
                self.record.attempt -= u32::from(started && self.record.attempt > 0);
            }
            _ => {}
        }
        Settled::Recorded(state)
    }
}
