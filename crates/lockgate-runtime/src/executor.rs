//! What happens to one job, from the hand-over of its message to the end of its delivery:
//!
//! 1. **read** the message and find its kind; the ledger **ingests** the job of one that the dispatcher did not send
//!    (`reading.rs`);
//! 2. **admit** it: drop a delivery that is stale, wait for its slots, then for the tokens of its rates (`admission.rs`);
//! 3. **start** it: ask the ledger, which may refuse a delivery that is stale (`starting.rs`);
//! 4. **run** it, under its deadline, stopped when its lease is lost, when it is cancelled, or when its worker ends;
//! 5. **release** its slots, or let them drain while the backend may still work for it, and have that ended;
//! 6. **settle** its outcome in the ledger;
//! 7. **acknowledge** the delivery.
//!
//! The order is the promise: a crash at any point leads to another delivery, never to a lost job, and the ledger
//! counts the job once. No step is ever skipped because a later one is sure to work.

use std::collections::{BTreeMap, VecDeque};
use std::iter::once;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lockgate_core::bounds::MAX_DURATION;
use lockgate_core::broker::{Delivery, Disposition, Rejection};
use lockgate_core::dead::DeadReason;
use lockgate_core::error::chain;
use lockgate_core::ledger::{Execution, Settlement, SettlementToken};
use lockgate_core::{Envelope, Fence, Outcome, PoolName};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::admission::{Admitted, Role};
use crate::canceller::Leftover;
use crate::congestion::Congestion;
use crate::execution::{self, Limit, Member};
use crate::job::{Context, State};
use crate::leftovers::Leftovers;
use crate::observe::{Observer, Steps};
use crate::options::PoolPolicy;
use crate::rates::Rates;
use crate::records::Records;
use crate::registry::{Entry, Registry};
use crate::shares::{InFlight, Shares};
use crate::slots::{Hold, SlotClient};
use crate::starting::StartedJob;
use crate::stop::StopSignal;
use crate::tally::Tally;
use crate::telemetry;
use crate::verdict::{Cut, Ended, outcome};
use crate::watch::Running;

/// What all executions of a worker share.
pub(crate) struct Executor {
    pub(crate) registry: Registry,
    pub(crate) state: State,
    pub(crate) policies: BTreeMap<PoolName, PoolPolicy>,
    pub(crate) slots: SlotClient,
    pub(crate) rates: Arc<Rates>,
    pub(crate) records: Arc<Records>,
    pub(crate) leftovers: Arc<Leftovers>,
    pub(crate) running: Running,
    pub(crate) shares: Shares,
    pub(crate) congestion: Congestion,
    pub(crate) tally: Tally,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// Rung when the slot store does not know a pool any more.
    pub(crate) pools_lost: Arc<Notify>,
    /// Fires when the worker takes nothing new: who still waits for slots goes back to the queue.
    pub(crate) draining: CancellationToken,
}

/// A delivery that was read: its message, its kind, and the mark that will end it.
pub(crate) struct Taken<'a> {
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) kind: &'a Entry,
    pub(crate) delivery: Delivery,
    pub(crate) in_flight: InFlight,
    /// Deferrals of its job in a row, as far as is known.
    pub(crate) deferrals: u32,
}

impl Taken<'_> {
    /// How long its job waits when it is deferred now, at least `floor`.
    pub(crate) fn later(&self, floor: Duration) -> Duration {
        self.kind.options.backoff.defer(self.deferrals, fastrand::f64(), floor)
    }
}

/// A delivery whose job has its slots, and may run.
struct Begun<'a> {
    taken: Taken<'a>,
    hold: Option<Hold>,
    started: StartedJob,
    asked_at: Instant,
    admitted_at: Instant,
}

impl Executor {
    /// Sees deliveries of one kind through that may share an execution: one, unless the kind runs in groups.
    pub(crate) async fn execute(&self, deliveries: Vec<Delivery>) {
        let read = join_all(deliveries.into_iter().map(|delivery| self.read(delivery))).await;
        let group: VecDeque<Taken<'_>> = read.into_iter().flatten().collect();
        let Some(first) = group.front() else { return };
        let span = tracing::info_span!(
            "job",
            kind = %first.envelope.kind,
            job = %first.envelope.job,
            key = %first.envelope.key,
            run = first.envelope.run.map(tracing::field::display),
            pool = first.kind.options.needs.first().map(|need| tracing::field::display(&need.pool)),
            group = (group.len() > 1).then_some(group.len()),
            attempt = tracing::field::Empty,
        );
        self.see_through(group).instrument(span).await;
    }

    /// The first that may begin waits for the slots, and holds them for all.
    async fn see_through(&self, mut group: VecDeque<Taken<'_>>) {
        while let Some(first) = group.pop_front() {
            let Some(first) = self.begin(first, Role::First).await else { continue };
            let others = join_all(group.into_iter().map(|taken| self.begin(taken, Role::Beside))).await;
            return self.carry_out(once(first).chain(others.into_iter().flatten()).collect()).await;
        }
    }

    /// Steps 2 and 3. `None`: the job does not run from this delivery, which is ended.
    async fn begin<'a>(&self, mut taken: Taken<'a>, role: Role) -> Option<Begun<'a>> {
        let asked_at = Instant::now();
        let hold = match self.admit(&mut taken, role).await {
            Admitted::Yes(hold) => hold,
            Admitted::No(outcome) => {
                let by = SettlementToken::Delivery(taken.envelope.dispatch);
                self.end(&taken, by, outcome, (asked_at.elapsed(), Duration::ZERO)).await;
                return None;
            }
            Admitted::Dropped(refused) => {
                self.drop_delivery(&taken, refused).await;
                return None;
            }
            Admitted::Return => {
                self.records.mark(Disposition::Return(taken.delivery.tag)).await;
                return None;
            }
        };
        let admitted_at = Instant::now();
        match self.start(&taken).await {
            Some(started) => Some(Begun { taken, hold, started, asked_at, admitted_at }),
            None => {
                self.release(&taken, hold, false).await;
                None
            }
        }
    }

    /// Steps 4 to 7.
    async fn carry_out(&self, group: Vec<Begun<'_>>) {
        let Some(first) = group.first() else { return };
        let (kind, name) = (first.taken.kind, &first.taken.envelope.kind);
        let waited = first.admitted_at.duration_since(first.asked_at);
        tracing::Span::current().record("attempt", first.started.execution.attempt);
        let started_at = Instant::now();
        let limit = self.limit(first);
        let members: Vec<Member> =
            group.iter().map(|one| self.member(one, started_at + limit.longest)).collect();
        let over = execution::run(kind, &members, &self.running, limit).await;
        let ended_at = Instant::now();
        if let Some(observer) = &self.observer {
            let (asked_at, admitted_at) = (first.asked_at, first.admitted_at);
            observer.executed(&Steps { asked_at, admitted_at, started_at, ended_at });
        }
        let ran = ended_at.duration_since(started_at);
        telemetry::ran(name, ran);
        self.congestion.hear(name, &kind.options.needs, &over.ended, ran);
        let ends = group.into_iter().zip(over.ended).enumerate().map(|(place, (begun, ended))| {
            // The backend works for the first, under whose slots all ran.
            self.finish(begun, ended, over.backend_may_run && place == 0, (waited, ran))
        });
        join_all(ends).await;
    }

    /// Steps 5 to 7, for one job.
    async fn finish(
        &self,
        begun: Begun<'_>,
        ended: Ended,
        backend_may_run: bool,
        times: (Duration, Duration),
    ) {
        let Begun { taken, hold, started, .. } = begun;
        self.release(&taken, hold, backend_may_run).await;
        self.rates.ended(&taken.envelope.kind, &taken.kind.options.needs, &ended, times.1);
        let outcome = outcome(ended, &started.execution, &taken.kind.options, fastrand::f64());
        self.end(&taken, started.authority().await, outcome, times).await;
    }

    /// How long the execution may take, and what it came to when it takes longer.
    fn limit(&self, first: &Begun<'_>) -> Limit {
        let deadline = first.taken.kind.options.deadline;
        let max_hold = first.hold.as_ref().map_or(Duration::MAX, |_| self.policy(first.taken.kind).max_hold);
        let longest = deadline.min(max_hold).min(MAX_DURATION);
        Limit {
            longest,
            cut: if max_hold < deadline { Cut::HeldTooLong(longest) } else { Cut::TimedOut(longest) },
        }
    }

    fn member(&self, begun: &Begun<'_>, deadline: Instant) -> Member {
        let Begun { taken, hold, started, .. } = begun;
        let execution = started.execution;
        let signal = hold.as_ref().map_or_else(StopSignal::default, |hold| hold.stop_signal().clone());
        let ctx = Context {
            envelope: Arc::clone(&taken.envelope),
            attempt: execution.attempt,
            fence: hold.as_ref().map_or_else(|| without_lease(execution), Hold::fence),
            deadline,
            cancelled: signal.token().clone(),
            state: self.state.clone(),
        };
        Member { ctx, signal }
    }

    /// Step 5. While the backend may still work for the job, its slots drain; a canceller ends that as soon as it can.
    async fn release(&self, taken: &Taken<'_>, hold: Option<Hold>, backend_may_run: bool) {
        let Some(hold) = hold else { return };
        let backend_time = taken.kind.options.backend_time;
        if !backend_may_run || backend_time.is_zero() {
            return hold.release().await;
        }
        let leftover = Leftover { job: taken.envelope.job, fence: hold.fence() };
        hold.drain(backend_time).await;
        self.leftovers.see_to(&taken.envelope.kind, leftover);
    }

    /// Steps 6 and 7.
    pub(crate) async fn end(
        &self,
        taken: &Taken<'_>,
        by: SettlementToken,
        outcome: Outcome,
        times: (Duration, Duration),
    ) {
        let outcome = outcome.bounded();
        report(&outcome, times.1);
        self.tally.count(&outcome);
        telemetry::settled(&taken.envelope.kind, &outcome);
        let (waited, ran) = times;
        let settlement = Settlement { job: taken.envelope.job, token: by, outcome, waited, ran };
        match self.records.settled(settlement).await {
            Ok(settled) => {
                tracing::debug!(?settled, "settled");
                self.records.mark(Disposition::Ack(taken.delivery.tag)).await;
            }
            Err(error) => {
                let detail = format!("the ledger refuses the outcome of its job: {}", chain(error.as_ref()));
                self.reject(taken.delivery.tag, Rejection::new(DeadReason::Refused, detail)).await;
            }
        }
    }
}

/// The fence of an execution without a lease: as leases' fences do, it grows with the store's clock, so that a kind
/// may be given a pool, or lose it, between two executions.
fn without_lease(execution: Execution) -> Fence {
    Fence(u64::try_from(execution.started_at.0).unwrap_or(0).saturating_mul(1_000))
}

fn report(outcome: &Outcome, ran: Duration) {
    let (outcome, reason) = (outcome.as_str(), outcome.reason());
    match outcome {
        "failed" => tracing::error!(outcome, reason, ?ran, "job ended"),
        "retry" | "skipped" => tracing::warn!(outcome, reason, ?ran, "job ended"),
        _ => tracing::debug!(outcome, reason, ?ran, "job ended"),
    }
}
