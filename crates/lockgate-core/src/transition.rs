//! The job state machine: every legal transition, and nothing else.
//!
//! Engines write some of these rules as SQL. The conformance suite checks them against this table.

use crate::job::{JobState, Outcome};
use crate::ledger::StartDurability;

/// An event that may change the state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The broker has confirmed its message.
    Published,
    /// An attempt, or a delivery without one, ended.
    Ended(Ending),
    /// An operator ended it or its run.
    Cancelled,
    /// The run's deadline has passed.
    Expired,
    /// Its process died during three starts in a row.
    Poisoned,
    /// Its message was lost, or its run was paused before it started: it is scheduled again.
    Returned,
    /// An operator retried it.
    Retried,
}

/// The reason of a job that was skipped because its run had expired.
pub const DEADLINE_PASSED: &str = "the deadline of its run has passed";

/// The reason of a poison job.
pub const POISONED: &str = "its process died three times while it ran; it is not started again";

/// An [`Outcome`] without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Ended successfully.
    Succeeded,
    /// Runs again; an attempt is used.
    Retry,
    /// Runs again; no attempt is used.
    Deferred,
    /// Ended without success, on purpose.
    Skipped,
    /// Failed for good.
    Failed,
    /// Ended by an operator.
    Cancelled,
}

impl From<&Outcome> for Ending {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Retry { .. } => Self::Retry,
            Outcome::Deferred { .. } => Self::Deferred,
            Outcome::Skipped { .. } => Self::Skipped,
            Outcome::Failed { .. } => Self::Failed,
            Outcome::Cancelled { .. } => Self::Cancelled,
        }
    }
}

/// Returns the state after the event. `None`: the event changes nothing.
///
/// A terminal state is left by an operator alone. Everything else that reaches a terminal job is late, and is
/// ignored.
#[must_use]
pub fn next(state: JobState, event: Event) -> Option<JobState> {
    use JobState::{Cancelled, Enqueued, Failed, Scheduled, Skipped, Succeeded};
    match (state, event) {
        (Succeeded, Event::Retried) => None,
        (state, Event::Retried) => state.is_terminal().then_some(Scheduled),
        (state, _) if state.is_terminal() => None,
        (Scheduled, Event::Published) => Some(Enqueued),
        (_, Event::Published) => None,
        (Enqueued, Event::Returned) => Some(Scheduled),
        (_, Event::Returned) => None,
        (_, Event::Cancelled) => Some(Cancelled),
        (_, Event::Expired) => Some(Skipped),
        (_, Event::Poisoned) => Some(Failed),
        (_, Event::Ended(ending)) => Some(match ending {
            Ending::Succeeded => Succeeded,
            Ending::Retry | Ending::Deferred => Scheduled,
            Ending::Skipped => Skipped,
            Ending::Failed => Failed,
            Ending::Cancelled => Cancelled,
        }),
    }
}

/// How often a job has been deferred in a row, after it ended so, given how often before. The count sets the
/// backoff of its next deferral. It begins again when an execution ends in any other way, and when an
/// operator runs the job again; an execution that is itself deferred, because its backend is overloaded, made
/// no progress and keeps it.
#[must_use]
pub fn deferrals_in_row(before: u32, ending: Ending) -> u32 {
    match ending {
        Ending::Deferred => before.saturating_add(1),
        Ending::Succeeded | Ending::Retry | Ending::Skipped | Ending::Failed | Ending::Cancelled => 0,
    }
}

/// What the ledger knows about a job when a worker wants to start it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobSnapshot {
    /// The stored state.
    pub state: JobState,
    /// The number of its latest dispatch.
    pub dispatch: u32,
    /// Whether the message of that dispatch was published, or is being published.
    pub dispatched: bool,
    /// Starts in a row that were never settled: their processes died. A delivery that is deferred before it
    /// starts does not change this count.
    pub unsettled: u32,
    /// The number of recorded starts.
    pub executions: u32,
    /// Whether its run is paused.
    pub paused: bool,
    /// Whether its run's deadline has passed.
    pub expired: bool,
}

/// Starts in a row that may stay unsettled. Whatever a dying process ran is hit with it, guilty or not: two
/// deaths in a row do happen to innocent jobs where many workers are killed, three hardly. A start that was
/// left for later, and whose process died before it was recorded, is none of them: such a job gets one more.
pub const MAX_UNSETTLED_STARTS: u32 = 3;

/// Whether a delivery may start its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartVerdict {
    /// It may. Its start is recorded now.
    Run,
    /// It may. Its start is recorded later.
    RunUnrecorded,
    /// The job has ended, or a later dispatch exists: drop this delivery.
    Stale,
    /// The run is paused: the job is scheduled again.
    Paused,
    /// The run's deadline has passed: the job is skipped.
    Expired,
    /// It killed its process three times: the job fails.
    Poisoned,
}

/// Decides whether the delivery of dispatch number `dispatch` may start its job, and whether that is
/// recorded.
#[must_use]
pub fn may_start(job: &JobSnapshot, dispatch: u32, durability: StartDurability) -> StartVerdict {
    if let StartDurability::Underway(number) = durability {
        let is_latest = is_latest_unrecorded(job, dispatch, number);
        return if is_latest { StartVerdict::Run } else { StartVerdict::Stale };
    }
    if job.state.is_terminal() || job.dispatch != dispatch || !job.dispatched {
        StartVerdict::Stale
    } else if job.expired {
        StartVerdict::Expired
    } else if job.unsettled >= MAX_UNSETTLED_STARTS {
        StartVerdict::Poisoned
    } else if job.paused {
        StartVerdict::Paused
    } else if durability == StartDurability::Never
        || durability == StartDurability::Later && job.unsettled == 0
    {
        StartVerdict::RunUnrecorded
    } else {
        StartVerdict::Run
    }
}

/// Whether the execution of this number, which is not on record, is still the latest of its job: no other was
/// recorded, and nothing was dispatched since. Its dispatch need not be out any more: where the same message
/// came twice, the other delivery may have been deferred meanwhile.
#[must_use]
pub fn is_latest_unrecorded(job: &JobSnapshot, dispatch: u32, number: u32) -> bool {
    !job.state.is_terminal() && job.dispatch == dispatch && job.executions.checked_add(1) == Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 12] = [
        Event::Published,
        Event::Cancelled,
        Event::Expired,
        Event::Poisoned,
        Event::Returned,
        Event::Retried,
        Event::Ended(Ending::Succeeded),
        Event::Ended(Ending::Retry),
        Event::Ended(Ending::Deferred),
        Event::Ended(Ending::Skipped),
        Event::Ended(Ending::Failed),
        Event::Ended(Ending::Cancelled),
    ];

    #[test]
    fn a_terminal_job_is_moved_by_an_operator_alone() {
        for state in JobState::ALL.into_iter().filter(|s| s.is_terminal()) {
            for event in EVENTS.into_iter().filter(|e| *e != Event::Retried) {
                assert_eq!(next(state, event), None, "{state} {event:?}");
            }
        }
        assert_eq!(next(JobState::Failed, Event::Retried), Some(JobState::Scheduled));
        assert_eq!(next(JobState::Succeeded, Event::Retried), None);
    }

    #[test]
    fn a_waiting_job_can_reach_every_state() {
        let reached: Vec<_> = EVENTS.into_iter().filter_map(|e| next(JobState::Enqueued, e)).collect();
        for state in JobState::ALL.into_iter().filter(|s| *s != JobState::Enqueued) {
            assert!(reached.contains(&state), "{state}");
        }
    }

    fn job() -> JobSnapshot {
        JobSnapshot {
            state: JobState::Enqueued,
            dispatch: 3,
            dispatched: true,
            unsettled: 0,
            executions: 4,
            paused: false,
            expired: false,
        }
    }

    fn now(job: JobSnapshot, dispatch: u32) -> StartVerdict {
        may_start(&job, dispatch, StartDurability::Now)
    }

    #[test]
    fn only_the_latest_dispatch_starts_its_job() {
        assert_eq!(now(job(), 3), StartVerdict::Run);
        assert_eq!(now(job(), 2), StartVerdict::Stale);
        assert_eq!(now(JobSnapshot { dispatched: false, ..job() }, 3), StartVerdict::Stale);
        assert_eq!(now(JobSnapshot { state: JobState::Cancelled, ..job() }, 3), StartVerdict::Stale);
    }

    #[test]
    fn a_job_that_killed_its_process_three_times_is_not_started_again() {
        assert_eq!(now(JobSnapshot { unsettled: 2, ..job() }, 3), StartVerdict::Run);
        assert_eq!(now(JobSnapshot { unsettled: 3, ..job() }, 3), StartVerdict::Poisoned);
    }

    #[test]
    fn a_paused_or_expired_run_starts_nothing() {
        for record in [StartDurability::Never, StartDurability::Now, StartDurability::Later] {
            let paused = JobSnapshot { paused: true, ..job() };
            assert_eq!(may_start(&paused, 3, record), StartVerdict::Paused);
            assert_eq!(may_start(&JobSnapshot { expired: true, ..paused }, 3, record), StartVerdict::Expired);
        }
    }

    #[test]
    fn a_start_is_left_for_later_only_where_none_stands_unsettled() {
        let later = |job| may_start(&job, 3, StartDurability::Later);
        assert_eq!(later(job()), StartVerdict::RunUnrecorded);
        assert_eq!(later(JobSnapshot { unsettled: 1, ..job() }), StartVerdict::Run);
        assert_eq!(later(JobSnapshot { unsettled: 3, ..job() }), StartVerdict::Poisoned);
    }

    #[test]
    fn a_check_before_admission_records_nothing_and_refuses_what_a_start_would() {
        let check = |job, dispatch| may_start(&job, dispatch, StartDurability::Never);
        assert_eq!(check(job(), 3), StartVerdict::RunUnrecorded);
        assert_eq!(check(JobSnapshot { unsettled: 2, ..job() }, 3), StartVerdict::RunUnrecorded);
        assert_eq!(check(JobSnapshot { unsettled: 3, ..job() }, 3), StartVerdict::Poisoned);
        assert_eq!(check(job(), 2), StartVerdict::Stale);
    }

    #[test]
    fn deferrals_count_in_a_row() {
        assert_eq!(deferrals_in_row(2, Ending::Deferred), 3);
        assert_eq!(deferrals_in_row(u32::MAX, Ending::Deferred), u32::MAX);
        for ending in [Ending::Succeeded, Ending::Retry, Ending::Failed] {
            assert_eq!(deferrals_in_row(2, ending), 0);
        }
    }

    #[test]
    fn what_runs_is_recorded_until_another_start_was() {
        let underway = |job, dispatch, number| may_start(&job, dispatch, StartDurability::Underway(number));
        let busy = JobSnapshot { paused: true, expired: true, ..job() };
        assert_eq!(underway(busy, 3, 5), StartVerdict::Run, "a pause does not speak against what runs");
        assert_eq!(underway(job(), 3, 4), StartVerdict::Stale, "another was recorded");
        assert_eq!(underway(job(), 3, 6), StartVerdict::Stale, "an execution that never was");
        assert_eq!(underway(job(), 2, 5), StartVerdict::Stale, "another dispatch");
        assert_eq!(
            underway(JobSnapshot { dispatched: false, ..job() }, 3, 5),
            StartVerdict::Run,
            "the duplicate delivery was deferred"
        );
        assert_eq!(underway(JobSnapshot { state: JobState::Failed, ..job() }, 3, 5), StartVerdict::Stale);
    }
}
