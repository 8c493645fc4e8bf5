//! What an attempt came to, decided from how it ended. Pure; the executor acts on it.

use std::time::Duration;

use lockgate_core::bounds::LONGEST_RETRY_AFTER;
use lockgate_core::error::chain;
use lockgate_core::lease::Refusal;
use lockgate_core::ledger::Execution;
use lockgate_core::pool::OnBusy;
use lockgate_core::{ErrorClass, Failure, KindOptions, Outcome};

/// How an execution ended for one job.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The job returned.
    Returned(Result<(), Failure>),
    /// It did not get to the end.
    Cut(Cut),
}

/// What keeps an execution from its end, for all jobs of a group alike.
#[derive(Debug, Clone)]
pub(crate) enum Cut {
    /// The job panicked.
    Panicked(String),
    /// Its deadline passed, and it was dropped.
    TimedOut(Duration),
    /// It held its slots longer than its pool allows, and was dropped.
    HeldTooLong(Duration),
    /// Its lease was lost, or its pool was reset, and it was dropped.
    LeaseLost(&'static str),
    /// An operator ended it, and it was dropped.
    Cancelled,
    /// Its process is stopping and the grace is over; it was dropped.
    Stopped,
}

/// What the execution came to. `random` is drawn evenly from 0 to 1.
pub(crate) fn outcome(ended: Ended, execution: &Execution, options: &KindOptions, random: f64) -> Outcome {
    let (attempt, later) =
        (execution.attempt, |floor| options.backoff.defer(execution.deferrals, random, floor));
    match ended {
        Ended::Returned(Ok(())) => Outcome::Succeeded,
        Ended::Returned(Err(Failure::Skip { reason })) => Outcome::Skipped { reason },
        Ended::Returned(Err(Failure::Error { class, error, .. })) => {
            let error = chain(error.as_ref());
            match class {
                ErrorClass::Retry => again_or_failed(error, attempt, options, random),
                ErrorClass::Permanent => Outcome::Failed { error },
                ErrorClass::Unavailable => {
                    put_off(later(Duration::from_secs(1)), &format!("unavailable: {error}"))
                }
                ErrorClass::Overloaded { retry_after } => {
                    let asked = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
                    put_off(later(asked), &format!("overloaded: {error}"))
                }
            }
        }
        Ended::Cut(cut) => of_cut(cut, |error| again_or_failed(error, attempt, options, random), later),
    }
}

fn of_cut(
    cut: Cut,
    fault: impl FnOnce(String) -> Outcome,
    later: impl FnOnce(Duration) -> Duration,
) -> Outcome {
    match cut {
        Cut::Panicked(message) => fault(format!("panicked: {message}")),
        Cut::TimedOut(deadline) => fault(format!("did not end within its deadline of {deadline:?}")),
        Cut::HeldTooLong(most) => fault(format!("held its slots longer than max_hold, {most:?}")),
        Cut::LeaseLost(why) => put_off(later(Duration::from_secs(1)), why),
        Cut::Cancelled => Outcome::Cancelled { reason: String::from("cancelled while it ran") },
        Cut::Stopped => put_off(Duration::ZERO, "its worker stopped before it was done"),
    }
}

fn again_or_failed(error: String, attempt: u32, options: &KindOptions, random: f64) -> Outcome {
    if attempt < options.max_attempts {
        Outcome::Retry { after: options.backoff.wait(attempt, random, Duration::ZERO), error }
    } else {
        Outcome::Failed { error: format!("{error} (attempt {attempt} of {})", options.max_attempts) }
    }
}

fn put_off(after: Duration, reason: &str) -> Outcome {
    Outcome::Deferred { after, reason: reason.to_owned() }
}

/// Why a job did not get its slots.
#[derive(Debug)]
pub(crate) enum Denied {
    /// It waited as long as it may.
    Busy {
        /// How long that was.
        waited: Duration,
    },
    /// The store refused it.
    Refused(Refusal),
    /// The store could not be reached all the while.
    Unreachable(String),
}

impl Denied {
    /// The word in metrics.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::Refused(Refusal::TooBusy { .. }) => "too-busy",
            Self::Refused(Refusal::Held { .. }) => "held",
            Self::Refused(Refusal::Draining { .. }) => "draining",
            Self::Refused(Refusal::TooHeavy { .. }) => "too-heavy",
            Self::Refused(Refusal::Never { .. }) => "never",
            Self::Refused(Refusal::UnknownPool { .. }) => "unknown-pool",
            Self::Unreachable(_) => "unreachable",
        }
    }
}

impl Denied {
    /// Whether the store does not know a pool that the job wants.
    pub(crate) fn is_of_a_lost_pool(&self) -> bool {
        matches!(self, Self::Refused(Refusal::UnknownPool { .. }))
    }
}

/// What a delivery came to that got no slots. `later` is the kind's backoff of a deferral, given the least wait.
pub(crate) fn without_slots(
    denied: Denied,
    on_busy: OnBusy,
    later: impl FnOnce(Duration) -> Duration,
) -> Outcome {
    match denied {
        Denied::Busy { waited } if on_busy == OnBusy::Skip => {
            Outcome::Skipped { reason: format!("no slot within {waited:?}") }
        }
        Denied::Refused(refusal @ (Refusal::TooBusy { .. } | Refusal::TooHeavy { .. }))
            if on_busy == OnBusy::Skip =>
        {
            Outcome::Skipped { reason: refusal.to_string() }
        }
        Denied::Busy { waited } => put_off(later(Duration::ZERO), &format!("no slot within {waited:?}")),
        // Its worker made the pool when it started: the store has lost it since, and upkeep will make it again.
        Denied::Refused(refusal @ Refusal::UnknownPool { .. }) => {
            put_off(later(Duration::from_secs(1)), &refusal.to_string())
        }
        Denied::Refused(refusal) => match refusal.retry_after() {
            Some(after) => put_off(later(after), &refusal.to_string()),
            None => Outcome::Failed { error: refusal.to_string() },
        },
        Denied::Unreachable(error) => put_off(later(Duration::ZERO), &format!("no slot store: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use lockgate_core::JobOptions;

    use super::*;

    fn options() -> KindOptions {
        JobOptions::queue("q").check().unwrap()
    }

    fn of(ended: Ended, attempt: u32) -> Outcome {
        after_deferrals(ended, attempt, 0)
    }

    fn after_deferrals(ended: Ended, attempt: u32, deferrals: u32) -> Outcome {
        let started_at = lockgate_core::Timestamp(0);
        let execution = Execution { attempt, number: attempt, started_at, recorded: true, deferrals };
        outcome(ended, &execution, &options(), 0.5)
    }

    #[test]
    fn an_error_is_retried_until_the_attempts_are_used() {
        let error = || Ended::Returned(Err(Failure::retry("boom")));
        assert_eq!(
            of(error(), 1),
            Outcome::Retry { after: Duration::from_millis(2_500), error: String::from("boom") }
        );
        assert!(matches!(of(error(), 2), Outcome::Retry { .. }));
        assert_eq!(of(error(), 3), Outcome::Failed { error: String::from("boom (attempt 3 of 3)") });
    }

    #[test]
    fn an_overloaded_backend_uses_no_attempt_even_on_the_last_one() {
        let class = ErrorClass::Overloaded { retry_after: Some(Duration::from_secs(9)) };
        let failure = Failure::Error { class, error: "429".into(), backend_may_run: false };
        let Outcome::Deferred { after, .. } = of(Ended::Returned(Err(failure)), 3) else {
            panic!("not deferred")
        };
        assert_eq!(after, Duration::from_secs(9));
    }

    #[test]
    fn retry_after_of_a_backend_is_cut() {
        let class = ErrorClass::Overloaded { retry_after: Some(Duration::MAX) };
        let failure = Failure::Error { class, error: "429".into(), backend_may_run: false };
        let Outcome::Deferred { after, .. } = of(Ended::Returned(Err(failure)), 1) else {
            panic!("not deferred")
        };
        assert_eq!(after, LONGEST_RETRY_AFTER);
    }

    #[test]
    fn each_deferral_in_a_row_waits_longer() {
        let overloaded = || {
            let class = ErrorClass::Overloaded { retry_after: None };
            Ended::Returned(Err(Failure::Error { class, error: "429".into(), backend_may_run: false }))
        };
        let waits = [0, 1, 2, 3, 9].map(|earlier| match after_deferrals(overloaded(), 1, earlier) {
            Outcome::Deferred { after, .. } => after,
            other => panic!("not deferred: {other:?}"),
        });
        assert_eq!(waits, [2_500, 5_000, 10_000, 20_000, 30_000].map(Duration::from_millis));
    }

    #[test]
    fn a_backend_that_is_away_uses_no_attempt_even_on_the_last_one() {
        let failure = Failure::Error {
            class: ErrorClass::Unavailable,
            error: "refused".into(),
            backend_may_run: false,
        };
        let outcome = of(Ended::Returned(Err(failure)), 3);
        assert_eq!(outcome.reason(), Some("unavailable: refused"));
        assert!(matches!(outcome, Outcome::Deferred { after, .. } if after >= Duration::from_secs(1)));
    }

    #[test]
    fn what_is_not_the_jobs_fault_uses_no_attempt() {
        for cut in [Cut::LeaseLost("lost"), Cut::Stopped] {
            assert!(matches!(of(Ended::Cut(cut), 3), Outcome::Deferred { .. }));
        }
    }

    #[test]
    fn no_slot_is_a_deferral_or_a_skip_but_never_a_failure() {
        let busy = || Denied::Busy { waited: Duration::from_secs(60) };
        let told =
            |denied, on_busy| without_slots(denied, on_busy, |floor| options().backoff.defer(0, 0.5, floor));
        assert!(matches!(told(busy(), OnBusy::Defer), Outcome::Deferred { .. }));
        assert!(matches!(told(busy(), OnBusy::Skip), Outcome::Skipped { .. }));
        let held = Denied::Refused(Refusal::Held { retry_after: Duration::from_secs(7) });
        assert!(matches!(told(held, OnBusy::Skip), Outcome::Deferred { after, .. } if after.as_secs() == 7));
        let pool = lockgate_core::PoolName::new("nowhere").unwrap();
        let unknown = Denied::Refused(Refusal::UnknownPool { pool: pool.clone() });
        assert!(matches!(told(unknown, OnBusy::Defer), Outcome::Deferred { .. }));
        let (wait, max_wait) = (Duration::from_millis(10_012), Duration::from_secs(2));
        let busy = || {
            Denied::Refused(Refusal::TooBusy { wait, max_wait, retry_after: wait.saturating_sub(max_wait) })
        };
        let reason = "no slot expected within 2s: the waiters ahead take about 10.012s";
        let skipped = told(busy(), OnBusy::Skip);
        assert!(matches!(skipped, Outcome::Skipped { .. }), "{skipped:?}");
        assert_eq!(skipped.reason(), Some(reason), "not when to ask again");
        let deferred = told(busy(), OnBusy::Defer);
        assert!(matches!(deferred, Outcome::Deferred { after, .. } if after >= Duration::from_millis(8_012)));
        assert_eq!(deferred.reason(), Some(reason));
        let retry_after = Duration::from_secs(30);
        let heavy = || {
            Denied::Refused(Refusal::TooHeavy {
                pool: pool.clone(),
                weight: 8,
                now: 5,
                most: 10,
                retry_after,
            })
        };
        let reason =
            "pool nowhere allows one job at most 5 slots now, and this job needs 8; `slots set` raises them";
        let deferred = told(heavy(), OnBusy::Defer);
        assert!(matches!(deferred, Outcome::Deferred { after, .. } if after >= retry_after), "{deferred:?}");
        assert_eq!(deferred.reason(), Some(reason));
        assert_eq!(told(heavy(), OnBusy::Skip), Outcome::Skipped { reason: reason.to_owned() });
        let never = Denied::Refused(Refusal::Never { pool, weight: 9, most: 1 });
        assert!(matches!(told(never, OnBusy::Defer), Outcome::Failed { .. }));
    }
}
