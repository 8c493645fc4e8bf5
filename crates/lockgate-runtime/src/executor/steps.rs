//! The values that each step of the executor passes to the next one.

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::broker::DeliveryTag;
use lockgate_core::ledger::{SettlementToken, Started};
use lockgate_core::{Envelope, Outcome};
use tokio::time::Instant;
use tracing::field;

use super::outcome::ExecutionResult;
use super::prefetch::InFlight;
use super::start::ConfirmedStart;
use crate::job::registry::RegisteredKind;
use crate::slots::Hold;

/// A delivery whose message is readable and whose kind is registered. Result of step 1.
pub(crate) struct ParsedDelivery<'a> {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) kind: &'a RegisteredKind,
    /// Identifies the delivery at the broker.
    pub(crate) tag: DeliveryTag,
    /// Whether this is the first delivery of the job's first dispatch, so that no process has had the job
    /// before.
    pub(crate) is_fresh: bool,
    /// Counts the delivery towards its kind's share of the prefetch until this value is dropped.
    pub(crate) in_flight: InFlight,
    /// Consecutive deferrals of the job. Zero until admission has asked the ledger.
    pub(crate) deferrals: u32,
}

impl ParsedDelivery<'_> {
    /// Returns how long the job waits when it is deferred now. At least `floor`.
    pub(crate) fn deferral_delay(&self, floor: Duration) -> Duration {
        self.kind.options.backoff.defer(self.deferrals, fastrand::f64(), floor)
    }
}

/// The part of a job in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupRole {
    /// Acquires the slots and tokens of the whole group. A job that runs alone is its own leader.
    Leader,
    /// Runs under the leader's slots. It acquires only its own lease, so that no other process runs the same
    /// job.
    Member,
}

/// Why a delivery ends before its job runs.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// The delivery is settled with this outcome, for example a deferral.
    Settled(Outcome),
    /// The ledger does not let the job run from this delivery.
    Refused(Started),
    /// The worker drains, so the message goes back to its queue for another worker.
    Returned,
}

/// A job that has its slots and tokens. Result of step 2.
pub(crate) struct AdmittedJob<'a> {
    pub(crate) delivery: ParsedDelivery<'a>,
    /// `None` for a kind that uses no pool.
    pub(crate) hold: Option<Hold>,
    pub(crate) asked_at: Instant,
    pub(crate) admitted_at: Instant,
}

/// A job whose start the ledger has confirmed. Result of step 3.
pub(crate) struct StartedJob<'a> {
    pub(crate) delivery: ParsedDelivery<'a>,
    pub(crate) hold: Option<Hold>,
    pub(crate) start: ConfirmedStart,
    pub(crate) asked_at: Instant,
    pub(crate) admitted_at: Instant,
}

/// A job that has run. Result of step 4.
pub(crate) struct ExecutedJob<'a> {
    pub(crate) job: StartedJob<'a>,
    pub(crate) result: ExecutionResult,
    /// Whether the backend may still work for the job, so that its slots are not free yet.
    pub(crate) backend_may_run: bool,
    pub(crate) timings: Timings,
}

/// How a delivery completed, as step 6 records it in the ledger.
pub(crate) struct Completion {
    pub(crate) token: SettlementToken,
    pub(crate) outcome: Outcome,
    pub(crate) timings: Timings,
}

/// How long a job waited and ran. Zero for a phase that it did not reach.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timings {
    /// From the request for slots to the admission.
    pub(crate) waited: Duration,
    /// From the start of the work to its end.
    pub(crate) ran: Duration,
}

/// Returns the tracing span of an execution. Step 4 fills in the attempt.
pub(crate) fn span_of(first: &ParsedDelivery<'_>, group_size: usize) -> tracing::Span {
    tracing::info_span!(
        "job",
        kind = %first.envelope.kind,
        job = %first.envelope.job,
        key = %first.envelope.key,
        run = first.envelope.run.map(field::display),
        pool = first.kind.options.needs.first().map(|need| field::display(&need.pool)),
        group = (group_size > 1).then_some(group_size),
        attempt = field::Empty,
    )
}

/// Logs the outcome of a delivery, at a level that depends on the outcome.
pub(crate) fn log_outcome(outcome: &Outcome, ran: Duration) {
    let (outcome, reason) = (outcome.as_str(), outcome.reason());
    match outcome {
        "failed" => tracing::error!(outcome, reason, ?ran, "job ended"),
        "retry" | "skipped" => tracing::warn!(outcome, reason, ?ran, "job ended"),
        _ => tracing::debug!(outcome, reason, ?ran, "job ended"),
    }
}
