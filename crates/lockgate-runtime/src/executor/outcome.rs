//! Decides the outcome of a delivery from how its job ended. Pure; the executor acts on the result.

use std::time::Duration;

use lockgate_core::bounds::LONGEST_RETRY_AFTER;
use lockgate_core::error::chain;
use lockgate_core::lease::Refusal;
use lockgate_core::ledger::Execution;
use lockgate_core::pool::OnBusy;
use lockgate_core::{ErrorClass, Failure, KindOptions, Outcome};

use crate::slots::AcquireError;

/// The least wait of a job whose backend or pool is unavailable.
const UNAVAILABLE_DELAY: Duration = Duration::from_secs(1);

/// How an execution ended for one job.
#[derive(Debug)]
pub(crate) enum ExecutionResult {
    /// The job returned.
    Returned(Result<(), Failure>),
    /// The job did not return.
    Interrupted(Interruption),
}

/// What ended an execution early. It applies to all jobs of a group alike.
#[derive(Debug, Clone)]
pub(crate) enum Interruption {
    /// The job panicked, with this message.
    Panicked(String),
    /// The job exceeded its deadline.
    TimedOut(Duration),
    /// The job held its slots longer than the `max_hold` of its pool.
    HeldTooLong(Duration),
    /// The job's lease was lost, or its pool was reset.
    LeaseLost(&'static str),
    /// An operator cancelled the job.
    Cancelled,
    /// The grace period of the stopping worker ended.
    WorkerStopped,
}

/// Decides the outcome of an execution. `random` is uniform between 0 and 1.
pub(crate) fn decide(
    result: ExecutionResult,
    execution: &Execution,
    options: &KindOptions,
    random: f64,
) -> Outcome {
    let attempt = execution.attempt;
    let delay = |floor| options.backoff.defer(execution.deferrals, random, floor);
    match result {
        ExecutionResult::Returned(Ok(())) => Outcome::Succeeded,
        ExecutionResult::Returned(Err(Failure::Skip { reason })) => Outcome::Skipped { reason },
        ExecutionResult::Returned(Err(Failure::Error { class, error, .. })) => {
            let error = chain(error.as_ref());
            match class {
                ErrorClass::Retry => retry_or_fail(error, attempt, options, random),
                ErrorClass::Permanent => Outcome::Failed { error },
                ErrorClass::Unavailable => {
                    deferred(delay(UNAVAILABLE_DELAY), &format!("unavailable: {error}"))
                }
                ErrorClass::Overloaded { retry_after } => {
                    let floor = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
                    deferred(delay(floor), &format!("overloaded: {error}"))
                }
            }
        }
        ExecutionResult::Interrupted(interruption) => {
            of_interruption(interruption, |error| retry_or_fail(error, attempt, options, random), delay)
        }
    }
}

fn of_interruption(
    interruption: Interruption,
    fail: impl FnOnce(String) -> Outcome,
    delay: impl FnOnce(Duration) -> Duration,
) -> Outcome {
    match interruption {
        Interruption::Panicked(message) => fail(format!("panicked: {message}")),
        Interruption::TimedOut(deadline) => fail(format!("did not end within its deadline of {deadline:?}")),
        Interruption::HeldTooLong(max_hold) => {
            fail(format!("held its slots longer than max_hold, {max_hold:?}"))
        }
        Interruption::LeaseLost(reason) => deferred(delay(UNAVAILABLE_DELAY), reason),
        Interruption::Cancelled => Outcome::Cancelled { reason: String::from("cancelled while it ran") },
        Interruption::WorkerStopped => deferred(Duration::ZERO, "its worker stopped before it was done"),
    }
}

fn retry_or_fail(error: String, attempt: u32, options: &KindOptions, random: f64) -> Outcome {
    if attempt < options.max_attempts {
        Outcome::Retry { after: options.backoff.wait(attempt, random, Duration::ZERO), error }
    } else {
        Outcome::Failed { error: format!("{error} (attempt {attempt} of {})", options.max_attempts) }
    }
}

fn deferred(after: Duration, reason: &str) -> Outcome {
    Outcome::Deferred { after, reason: reason.to_owned() }
}

/// Decides the outcome of a delivery that got no slots. `delay` returns the backoff of a deferral, at least
/// the given duration.
pub(crate) fn without_slots(
    error: AcquireError,
    on_busy: OnBusy,
    delay: impl FnOnce(Duration) -> Duration,
) -> Outcome {
    let reason = error.reason();
    match error {
        AcquireError::TimedOut { .. }
        | AcquireError::Refused(Refusal::TooBusy { .. } | Refusal::TooHeavy { .. })
            if on_busy == OnBusy::Skip =>
        {
            Outcome::Skipped { reason }
        }
        AcquireError::TimedOut { .. } | AcquireError::Unreachable(_) => {
            deferred(delay(Duration::ZERO), &reason)
        }
        // The worker created the pool when it started, so the store has lost it. Upkeep creates it again.
        AcquireError::Refused(Refusal::UnknownPool { .. }) => deferred(delay(UNAVAILABLE_DELAY), &reason),
        AcquireError::Refused(refusal) => match refusal.retry_after() {
            Some(after) => deferred(delay(after), &reason),
            None => Outcome::Failed { error: reason },
        },
    }
}

#[cfg(test)]
mod tests {
    use lockgate_core::JobOptions;

    use super::*;

    fn options() -> KindOptions {
        JobOptions::queue("q").check().unwrap()
    }

    fn of(result: ExecutionResult, attempt: u32) -> Outcome {
        after_deferrals(result, attempt, 0)
    }

    fn after_deferrals(result: ExecutionResult, attempt: u32, deferrals: u32) -> Outcome {
        let started_at = lockgate_core::Timestamp(0);
        let execution = Execution { attempt, number: attempt, started_at, recorded: true, deferrals };
        decide(result, &execution, &options(), 0.5)
    }

    #[test]
    fn error_is_retried_until_no_attempt_is_left() {
        let error = || ExecutionResult::Returned(Err(Failure::retry("boom")));
        assert_eq!(
            of(error(), 1),
            Outcome::Retry { after: Duration::from_millis(2_500), error: String::from("boom") }
        );
        assert!(matches!(of(error(), 2), Outcome::Retry { .. }));
        assert_eq!(of(error(), 3), Outcome::Failed { error: String::from("boom (attempt 3 of 3)") });
    }

    #[test]
    fn overloaded_backend_uses_no_attempt_even_on_the_last_attempt() {
        let class = ErrorClass::Overloaded { retry_after: Some(Duration::from_secs(9)) };
        let failure = Failure::Error { class, error: "429".into(), backend_may_run: false };
        let Outcome::Deferred { after, .. } = of(ExecutionResult::Returned(Err(failure)), 3) else {
            panic!("not deferred")
        };
        assert_eq!(after, Duration::from_secs(9));
    }

    #[test]
    fn retry_after_of_a_backend_is_bounded() {
        let class = ErrorClass::Overloaded { retry_after: Some(Duration::MAX) };
        let failure = Failure::Error { class, error: "429".into(), backend_may_run: false };
        let Outcome::Deferred { after, .. } = of(ExecutionResult::Returned(Err(failure)), 1) else {
            panic!("not deferred")
        };
        assert_eq!(after, LONGEST_RETRY_AFTER);
    }

    #[test]
    fn delay_grows_with_consecutive_deferrals() {
        let overloaded = || {
            let class = ErrorClass::Overloaded { retry_after: None };
            ExecutionResult::Returned(Err(Failure::Error {
                class,
                error: "429".into(),
                backend_may_run: false,
            }))
        };
        let waits = [0, 1, 2, 3, 9].map(|earlier| match after_deferrals(overloaded(), 1, earlier) {
            Outcome::Deferred { after, .. } => after,
            other => panic!("not deferred: {other:?}"),
        });
        assert_eq!(waits, [2_500, 5_000, 10_000, 20_000, 30_000].map(Duration::from_millis));
    }

    #[test]
    fn unavailable_backend_uses_no_attempt_even_on_the_last_attempt() {
        let failure = Failure::Error {
            class: ErrorClass::Unavailable,
            error: "refused".into(),
            backend_may_run: false,
        };
        let outcome = of(ExecutionResult::Returned(Err(failure)), 3);
        assert_eq!(outcome.reason(), Some("unavailable: refused"));
        assert!(matches!(outcome, Outcome::Deferred { after, .. } if after >= Duration::from_secs(1)));
    }

    #[test]
    fn lost_lease_and_stopped_worker_use_no_attempt() {
        for interruption in [Interruption::LeaseLost("lost"), Interruption::WorkerStopped] {
            assert!(matches!(of(ExecutionResult::Interrupted(interruption), 3), Outcome::Deferred { .. }));
        }
    }

    fn without_slots_of(error: AcquireError, on_busy: OnBusy) -> Outcome {
        without_slots(error, on_busy, |floor| options().backoff.defer(0, 0.5, floor))
    }

    fn pool() -> lockgate_core::PoolName {
        lockgate_core::PoolName::new("nowhere").unwrap()
    }

    #[test]
    fn timeout_is_a_deferral_or_a_skip() {
        let timed_out = || AcquireError::TimedOut { waited: Duration::from_secs(60) };
        assert!(matches!(without_slots_of(timed_out(), OnBusy::Defer), Outcome::Deferred { .. }));
        assert!(matches!(without_slots_of(timed_out(), OnBusy::Skip), Outcome::Skipped { .. }));
    }

    #[test]
    fn refusals_that_pass_are_deferrals_whatever_the_policy() {
        let held = AcquireError::Refused(Refusal::Held { retry_after: Duration::from_secs(7) });
        let deferred = without_slots_of(held, OnBusy::Skip);
        assert!(matches!(deferred, Outcome::Deferred { after, .. } if after.as_secs() == 7));
        let unknown = AcquireError::Refused(Refusal::UnknownPool { pool: pool() });
        assert!(matches!(without_slots_of(unknown, OnBusy::Defer), Outcome::Deferred { .. }));
    }

    #[test]
    fn busy_pool_is_a_deferral_or_a_skip_with_the_expected_wait_as_reason() {
        let (wait, max_wait) = (Duration::from_millis(10_012), Duration::from_secs(2));
        let busy = || {
            let retry_after = wait.saturating_sub(max_wait);
            AcquireError::Refused(Refusal::TooBusy { wait, max_wait, retry_after })
        };
        let reason = "no slot expected within 2s: the waiters ahead take about 10.012s";
        let skipped = without_slots_of(busy(), OnBusy::Skip);
        assert!(matches!(skipped, Outcome::Skipped { .. }), "{skipped:?}");
        assert_eq!(skipped.reason(), Some(reason), "the reason does not say when to ask again");
        let deferred = without_slots_of(busy(), OnBusy::Defer);
        assert!(matches!(deferred, Outcome::Deferred { after, .. } if after >= Duration::from_millis(8_012)));
        assert_eq!(deferred.reason(), Some(reason));
    }

    #[test]
    fn job_heavier_than_the_slots_in_force_is_a_deferral_or_a_skip() {
        let retry_after = Duration::from_secs(30);
        let heavy = || {
            let refusal = Refusal::TooHeavy { pool: pool(), weight: 8, now: 5, most: 10, retry_after };
            AcquireError::Refused(refusal)
        };
        let reason =
            "pool nowhere allows one job at most 5 slots now, and this job needs 8; `slots set` raises them";
        let deferred = without_slots_of(heavy(), OnBusy::Defer);
        assert!(matches!(deferred, Outcome::Deferred { after, .. } if after >= retry_after), "{deferred:?}");
        assert_eq!(deferred.reason(), Some(reason));
        assert_eq!(without_slots_of(heavy(), OnBusy::Skip), Outcome::Skipped { reason: reason.to_owned() });
    }

    #[test]
    fn job_that_never_fits_its_pool_fails() {
        let never = AcquireError::Refused(Refusal::Never { pool: pool(), weight: 9, most: 1 });
        assert!(matches!(without_slots_of(never, OnBusy::Defer), Outcome::Failed { .. }));
    }
}
