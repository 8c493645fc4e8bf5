//! What happens to one job, from the hand-over of its message to the end of its delivery:
//!
//! 1. **read** the message and find its kind; the ledger **adopts** the job of one that the dispatcher did not send;
//! 2. **admit** it: wait for its slots, then for the tokens of its rates (`rates/admission.rs`);
//! 3. **start** it in the ledger, which may refuse a delivery that is stale;
//! 4. **run** it, under its deadline, stopped when its lease is lost, when it is cancelled, or when its worker ends;
//! 5. **release** its slots, or let them drain while the backend may still work for it;
//! 6. **settle** its outcome in the ledger;
//! 7. **acknowledge** the delivery.
//!
//! The order is the promise: a crash at any point leads to another delivery, never to a lost job, and the ledger
//! counts the job once. No step is ever skipped because a later one is sure to work.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use lockgate_core::broker::{Delivery, Mark, Origin, Unreadable};
use lockgate_core::dead::DeadReason;
use lockgate_core::lease::SlotRequest;
use lockgate_core::ledger::{Authority, Execution, Settlement, Start, Started};
use lockgate_core::{Envelope, Fence, Outcome, PoolName};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::job::{Context, State};
use crate::observe::{Observer, Steps};
use crate::options::PoolPolicy;
use crate::rates::Rates;
use crate::records::Records;
use crate::registry::{Entry, Registry};
use crate::slots::{Hold, SlotClient};
use crate::stop::{StopReason, StopSignal};
use crate::tally::Tally;
use crate::telemetry;
use crate::verdict::{Denied, Ended, outcome, without_slots};
use crate::watch::Running;

/// What all executions of a worker share.
pub(crate) struct Executor {
    pub(crate) registry: Registry,
    pub(crate) state: State,
    pub(crate) policies: BTreeMap<PoolName, PoolPolicy>,
    pub(crate) slots: SlotClient,
    pub(crate) rates: Arc<Rates>,
    pub(crate) records: Records,
    pub(crate) running: Running,
    pub(crate) tally: Tally,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// Rung when the slot store does not know a pool any more.
    pub(crate) pools_lost: Arc<Notify>,
    /// Fires when the worker takes nothing new: who still waits for slots goes back to the queue.
    pub(crate) draining: CancellationToken,
}

/// How long it takes to make a pool again that the slot store has lost.
const MADE_AGAIN: Duration = Duration::from_millis(500);

/// A delivery that was read: its message, its kind, and the mark that will end it.
pub(crate) struct Taken<'a> {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) kind: &'a Entry,
    delivery: Delivery,
}

/// How the wait for slots ended.
pub(crate) enum Admitted {
    /// It may run; the hold is `None` for a kind without pools.
    Yes(Option<Hold>),
    /// It may not, and this is what the delivery came to.
    No(Outcome),
    /// The worker drains: another one takes it.
    Return,
}

impl Executor {
    /// Sees one delivery through.
    pub(crate) async fn execute(&self, delivery: Delivery) {
        let Some(taken) = self.read(delivery).await else { return };
        let span = tracing::info_span!(
            "job",
            kind = %taken.envelope.kind,
            job = %taken.envelope.job,
            key = %taken.envelope.key,
            run = taken.envelope.run.map(tracing::field::display),
            pool = taken.kind.options.needs.first().map(|need| tracing::field::display(&need.pool)),
            attempt = tracing::field::Empty,
        );
        self.see_through(taken).instrument(span).await;
    }

    async fn see_through(&self, taken: Taken<'_>) {
        let asked_at = Instant::now();
        let hold = match self.admit_within_rates(&taken, asked_at).await {
            Admitted::Yes(hold) => hold,
            Admitted::No(outcome) => {
                let by = Authority::Delivery(taken.envelope.dispatch);
                return self.end(&taken, by, outcome, (asked_at.elapsed(), Duration::ZERO)).await;
            }
            Admitted::Return => return self.records.mark(Mark::Return(taken.delivery.tag)).await,
        };
        let admitted_at = Instant::now();
        let waited = admitted_at.duration_since(asked_at);
        telemetry::waited(&taken.envelope.kind, waited);
        let Some(execution) = self.start(&taken).await else { return release(hold, None).await };
        tracing::Span::current().record("attempt", execution.attempt);
        let started_at = Instant::now();
        let ended = self.run(&taken, execution, hold.as_ref()).await;
        let ended_at = Instant::now();
        if let Some(observer) = &self.observer {
            observer.executed(&Steps { asked_at, admitted_at, started_at, ended_at });
        }
        let ran = ended_at.duration_since(started_at);
        telemetry::ran(&taken.envelope.kind, ran);
        let backend_time = ended.backend_may_run().then_some(taken.kind.options.backend_time);
        release(hold, backend_time).await;
        let outcome = outcome(ended, execution.attempt, &taken.kind.options, fastrand::f64());
        self.rates.ended(&taken.envelope.kind, &taken.kind.options.needs, &outcome, ran);
        self.end(&taken, Authority::Execution(execution.number), outcome, (waited, ran)).await;
    }

    /// Step 1. A message that nobody here can handle is a dead letter, with its reason.
    async fn read(&self, delivery: Delivery) -> Option<Taken<'_>> {
        match self.kind_of(&delivery) {
            Ok((envelope, kind)) => {
                let envelope = Arc::new(envelope.clone());
                if delivery.origin == Origin::Client {
                    self.records.adopted(&envelope).await;
                }
                Some(Taken { envelope, kind, delivery })
            }
            Err(why) => {
                tracing::error!(reason = %why.reason, detail = why.detail, "message rejected to the dead letters");
                self.tally.rejected();
                telemetry::rejected(why.reason);
                self.records.mark(Mark::Reject { tag: delivery.tag, why }).await;
                None
            }
        }
    }

    fn kind_of<'a>(&self, delivery: &'a Delivery) -> Result<(&'a Envelope, &Entry), Unreadable> {
        let envelope = delivery.message.as_ref().map_err(Clone::clone)?;
        let Some(kind) = self.registry.get(&envelope.kind) else {
            let detail = format!("no job kind {} is registered with this worker", envelope.kind);
            return Err(Unreadable::new(DeadReason::UnknownKind, detail));
        };
        // What the dispatcher sends was made from a job of the kind; what anybody else sends is looked at before it
        // gets a row.
        if delivery.origin == Origin::Client {
            let bad = |error: serde_json::Error| Unreadable::new(DeadReason::BadPayload, error.to_string());
            kind.reads(&envelope.payload).map_err(bad)?;
        }
        Ok((envelope, kind))
    }

    /// Step 2.
    pub(crate) async fn admit(&self, taken: &Taken<'_>) -> Admitted {
        let options = &taken.kind.options;
        if options.needs.is_empty() {
            return Admitted::Yes(None);
        }
        let policy = self.policy(taken.kind);
        let request = SlotRequest {
            lease: taken.envelope.job.into(),
            tenant: taken.envelope.tenant.clone(),
            needs: options.needs.clone(),
            drain_for: options.backend_time,
            max_wait: policy.max_wait,
        };
        let until = Instant::now() + policy.max_wait;
        let denied = loop {
            let denied = tokio::select! {
                () = self.draining.cancelled() => return Admitted::Return,
                answer = self.slots.acquire(request.clone()) => match answer {
                    Ok(hold) => return Admitted::Yes(Some(hold)),
                    Err(denied) => denied,
                },
            };
            if !denied.is_of_a_lost_pool() || Instant::now() + MADE_AGAIN > until {
                break denied;
            }
            // Its worker made the pool when it started, so the store has lost it: upkeep makes it again at once.
            self.pools_lost.notify_one();
            self.draining.run_until_cancelled(tokio::time::sleep(MADE_AGAIN)).await;
        };
        if let Denied::Unreachable(error) = &denied {
            tracing::warn!(error, "no slot store");
        }
        Admitted::No(without_slots(denied, policy.on_busy, options, fastrand::f64()))
    }

    /// Step 3. `None`: the ledger has dealt with the job otherwise, and the delivery is ended.
    async fn start(&self, taken: &Taken<'_>) -> Option<Execution> {
        let token = fastrand::i64(..);
        let start = Start { job: taken.envelope.job, dispatch: taken.envelope.dispatch, token };
        match self.records.started(start).await {
            Started::Run(execution) => Some(execution),
            refused => {
                tracing::info!(?refused, "delivery dropped");
                self.records.mark(Mark::Ack(taken.delivery.tag)).await;
                None
            }
        }
    }

    /// Step 4. Whatever ends it first; a job that is stopped is dropped at its next `.await`.
    async fn run(&self, taken: &Taken<'_>, execution: Execution, hold: Option<&Hold>) -> Ended {
        let options = &taken.kind.options;
        let max_hold = hold.map_or(Duration::MAX, |_| self.policy(taken.kind).max_hold);
        let limit = options.deadline.min(max_hold);
        let signal = hold.map_or_else(StopSignal::default, |hold| hold.stop_signal().clone());
        let deadline = Instant::now() + limit;
        let ctx = Context {
            envelope: Arc::clone(&taken.envelope),
            attempt: execution.attempt,
            fence: hold.map_or_else(|| without_lease(execution), Hold::fence),
            deadline,
            cancelled: signal.token().clone(),
            state: self.state.clone(),
        };
        let _running = self.running.enter(taken.envelope.job, &signal);
        let job = AssertUnwindSafe(taken.kind.run(&taken.envelope.payload, &ctx)).catch_unwind();
        tokio::select! {
            biased;
            reason = signal.stopped() => stopped(reason),
            returned = job => match returned {
                Ok(returned) => Ended::Returned(returned),
                Err(panic) => Ended::Panicked(message(panic.as_ref())),
            },
            () = sleep_until(deadline) => {
                signal.token().cancel();
                if max_hold < options.deadline { Ended::HeldTooLong(limit) } else { Ended::TimedOut(limit) }
            }
        }
    }

    /// Steps 6 and 7.
    async fn end(&self, taken: &Taken<'_>, by: Authority, outcome: Outcome, times: (Duration, Duration)) {
        report(&outcome, times.1);
        self.tally.count(&outcome);
        telemetry::settled(&taken.envelope.kind, &outcome);
        let (waited, ran) = times;
        let settled =
            self.records.settled(Settlement { job: taken.envelope.job, by, outcome, waited, ran }).await;
        tracing::debug!(?settled, "settled");
        self.records.mark(Mark::Ack(taken.delivery.tag)).await;
    }

    /// A job that takes slots of several pools waits and holds as the strictest of them says.
    pub(crate) fn policy(&self, kind: &Entry) -> PoolPolicy {
        let policies = kind.options.needs.iter().map(|need| self.policies.get(&need.pool).copied());
        policies.map(Option::unwrap_or_default).reduce(PoolPolicy::strictest).unwrap_or_default()
    }
}

/// Step 5. `backend_time`: the backend may work on for so long; `None`: it is done.
pub(crate) async fn release(hold: Option<Hold>, backend_time: Option<Duration>) {
    match (hold, backend_time) {
        (None, _) => {}
        (Some(hold), Some(longest)) if !longest.is_zero() => hold.drain(longest).await,
        (Some(hold), _) => hold.release().await,
    }
}

/// The fence of an execution without a lease: as leases' fences do, it grows with the store's clock, so that a kind
/// may be given a pool, or lose it, between two executions.
fn without_lease(execution: Execution) -> Fence {
    Fence(u64::try_from(execution.started_at.0).unwrap_or(0).saturating_mul(1_000))
}

fn stopped(reason: StopReason) -> Ended {
    match reason {
        StopReason::Cancelled => Ended::Cancelled,
        StopReason::WorkerStopped => Ended::Stopped,
        StopReason::LeaseLost | StopReason::NoHeartbeat | StopReason::PoolReset => {
            telemetry::lease_lost(reason);
            Ended::LeaseLost(reason.as_str())
        }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| String::from("without a message"))
}

fn report(outcome: &Outcome, ran: Duration) {
    let (outcome, reason) = (outcome.as_str(), outcome.reason());
    match outcome {
        "failed" => tracing::error!(outcome, reason, ?ran, "job ended"),
        "retry" | "skipped" => tracing::warn!(outcome, reason, ?ran, "job ended"),
        _ => tracing::debug!(outcome, reason, ?ran, "job ended"),
    }
}
