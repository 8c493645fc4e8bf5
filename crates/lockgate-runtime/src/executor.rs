//! Tells what happens to one job, from the delivery of its message to the acknowledgement:
//!
//! 1. **parse** the message and look up its kind. The ledger ingests a job that an external client sent.
//! 2. **admit** the job: drop a stale delivery, wait for slots, then for the tokens of its rates.
//! 3. **start** it: the ledger confirms the start, or refuses it when the delivery is stale.
//! 4. **run** it until it returns, exceeds its deadline, loses its lease, is cancelled, or its worker stops.
//! 5. **release** its slots. They drain instead while the backend may still work for the job.
//! 6. **settle** its outcome in the ledger.
//! 7. **acknowledge** the delivery at the broker.
//!
//! A crash before step 7 leads to a redelivery, never to a lost job, and the ledger counts the job once. This
//! depends on the order of the steps.
//!
//! The methods below are these steps. Each takes the value that the step before has returned (`steps.rs`).

pub(crate) mod admission;
pub(crate) mod counters;
pub(crate) mod ledger_writer;
pub(crate) mod observer;
pub(crate) mod outcome;
mod parse;
pub(crate) mod pool_policy;
pub(crate) mod prefetch;
mod run;
pub(crate) mod running_jobs;
mod start;
mod steps;

use std::collections::VecDeque;
use std::iter::once;
use std::sync::Arc;

use futures_util::future::join_all;
use lockgate_core::broker::{Delivery, DeliveryTag, Disposition, Origin, Rejection};
use lockgate_core::dead::DeadReason;
use lockgate_core::error::chain;
use lockgate_core::ledger::{Settlement, SettlementToken};
use tokio::time::Instant;
use tracing::Instrument;

use crate::congestion::Congestion;
use crate::job::State;
use crate::job::canceller::OrphanedQuery;
use crate::job::registry::Registry;
use crate::orphans::Orphans;
use crate::rates::Rates;
use crate::slots::Hold;
use crate::telemetry;
use admission::Admission;
use counters::OutcomeCounters;
use ledger_writer::LedgerWriter;
use observer::{ExecutionTimes, Observer};
use prefetch::PrefetchShares;
use running_jobs::RunningJobs;
use steps::{
    AdmittedJob, Completion, ExecutedJob, GroupRole, NotStarted, ParsedDelivery, StartedJob, Timings,
};

/// Executes the jobs of one worker. All executions share its fields.
pub(crate) struct Executor {
    pub(crate) registry: Registry,
    pub(crate) state: State,
    pub(crate) admission: Admission,
    pub(crate) rates: Arc<Rates>,
    pub(crate) ledger_writer: Arc<LedgerWriter>,
    pub(crate) orphans: Arc<Orphans>,
    pub(crate) running: RunningJobs,
    pub(crate) shares: PrefetchShares,
    pub(crate) congestion: Congestion,
    pub(crate) counters: OutcomeCounters,
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

impl Executor {
    /// Executes one delivery, or the deliveries of a job group: several jobs of one kind that share an
    /// execution.
    pub(crate) async fn execute(&self, deliveries: Vec<Delivery>) {
        let parsed = join_all(deliveries.into_iter().map(|delivery| self.parse(delivery))).await;
        let group: VecDeque<ParsedDelivery<'_>> = parsed.into_iter().flatten().collect();
        let Some(first) = group.front() else { return };
        let span = steps::span_of(first, group.len());
        self.execute_group(group).instrument(span).await;
    }

    /// Executes steps 2 to 7. The first job that starts becomes the leader: it acquires the slots and tokens
    /// of the whole group.
    async fn execute_group(&self, mut group: VecDeque<ParsedDelivery<'_>>) {
        while let Some(delivery) = group.pop_front() {
            let Some(leader) = self.admit_and_start(delivery, GroupRole::Leader).await else { continue };
            let members = group.into_iter().map(|other| self.admit_and_start(other, GroupRole::Member));
            let members = join_all(members).await;
            let executed = self.run(once(leader).chain(members.into_iter().flatten()).collect()).await;
            join_all(executed.into_iter().map(|job| self.complete(job))).await;
            return;
        }
    }

    /// Executes steps 2 and 3. `None`: the job does not run from this delivery, which is acknowledged
    /// already.
    async fn admit_and_start<'a>(
        &self,
        delivery: ParsedDelivery<'a>,
        role: GroupRole,
    ) -> Option<StartedJob<'a>> {
        let admitted = self.admit(delivery, role).await?;
        self.start(admitted).await
    }

    /// Executes steps 5 to 7 for one job of an execution.
    async fn complete(&self, executed: ExecutedJob<'_>) {
        let ExecutedJob { job, result, backend_may_run, timings } = executed;
        let StartedJob { delivery, hold, start, .. } = job;
        self.release(&delivery, hold, backend_may_run).await;
        let options = &delivery.kind.options;
        self.rates.executed(&delivery.envelope.kind, &options.needs, &result, timings.ran);
        let outcome = outcome::decide(result, &start.execution, options, fastrand::f64());
        let token = start.settlement_token().await;
        let disposition = self.settle(&delivery, Completion { token, outcome, timings }).await;
        self.acknowledge(disposition).await;
    }

    /// Step 1. Rejects a message that this worker cannot handle, or whose job the ledger refuses: the message
    /// becomes a dead letter with the reason.
    async fn parse(&self, delivery: Delivery) -> Option<ParsedDelivery<'_>> {
        let (envelope, kind) = match parse::envelope_and_kind(&self.registry, &delivery) {
            Ok((envelope, kind)) => (Arc::new(envelope.clone()), kind),
            Err(rejection) => {
                self.acknowledge(self.reject(delivery.tag, rejection)).await;
                return None;
            }
        };
        if delivery.origin == Origin::Client
            && let Err(error) = self.ledger_writer.ingest(&envelope).await
        {
            let detail = format!("the ledger refuses its job: {}", chain(error.as_ref()));
            let rejection = Rejection::new(DeadReason::Refused, detail);
            self.acknowledge(self.reject(delivery.tag, rejection)).await;
            return None;
        }
        let in_flight = self.shares.enter(&envelope.kind);
        let (tag, is_fresh) = (delivery.tag, delivery.is_fresh());
        Some(ParsedDelivery { envelope, kind, tag, is_fresh, in_flight, deferrals: 0 })
    }

    /// Step 2. Waits for the slots and tokens of the job.
    async fn admit<'a>(&self, mut delivery: ParsedDelivery<'a>, role: GroupRole) -> Option<AdmittedJob<'a>> {
        let asked_at = Instant::now();
        match self.admission.admit(&mut delivery, role).await {
            Ok(hold) => Some(AdmittedJob { delivery, hold, asked_at, admitted_at: Instant::now() }),
            Err(reason) => {
                let timings = Timings { waited: asked_at.elapsed(), ..Timings::default() };
                self.end_unstarted(&delivery, reason, timings).await;
                None
            }
        }
    }

    /// Step 3. Asks the ledger to start the job.
    async fn start<'a>(&self, admitted: AdmittedJob<'a>) -> Option<StartedJob<'a>> {
        let AdmittedJob { delivery, hold, asked_at, admitted_at } = admitted;
        match start::start(&self.ledger_writer, &delivery).await {
            Ok(start) => Some(StartedJob { delivery, hold, start, asked_at, admitted_at }),
            Err(reason) => {
                // A job that did not start has no query, so its slots may be released last.
                self.end_unstarted(&delivery, reason, Timings::default()).await;
                self.release(&delivery, hold, false).await;
                None
            }
        }
    }

    /// Step 4. Runs the jobs of a group in one execution, under the slots and the deadline of the leader.
    async fn run<'a>(&self, group: Vec<StartedJob<'a>>) -> Vec<ExecutedJob<'a>> {
        let Some(leader) = group.first() else { return Vec::new() };
        let (kind, name) = (leader.delivery.kind, &leader.delivery.envelope.kind);
        tracing::Span::current().record("attempt", leader.start.execution.attempt);
        let started_at = Instant::now();
        let max_hold = leader.hold.as_ref().map(|_| self.admission.policy(kind).max_hold);
        let limit = run::TimeLimit::new(kind.options.deadline, max_hold);
        let deadline = started_at + limit.longest;
        let jobs: Vec<_> =
            group.iter().map(|job| run::RunningJob::new(job, deadline, self.state.clone())).collect();
        let execution = run::run(kind, &jobs, &self.running, limit).await;
        let ended_at = Instant::now();
        let (asked_at, admitted_at) = (leader.asked_at, leader.admitted_at);
        if let Some(observer) = &self.observer {
            observer.executed(&ExecutionTimes { asked_at, admitted_at, started_at, ended_at });
        }
        let timings = Timings {
            waited: admitted_at.duration_since(asked_at),
            ran: ended_at.duration_since(started_at),
        };
        telemetry::ran(name, timings.ran);
        self.congestion.report(name, &kind.options.needs, &execution.results, timings.ran);
        let executed = group.into_iter().zip(execution.results).enumerate();
        // The backend works for the leader, whose slots the whole group used.
        executed
            .map(|(index, (job, result))| {
                let backend_may_run = execution.backend_may_run && index == 0;
                ExecutedJob { job, result, backend_may_run, timings }
            })
            .collect()
    }

    /// Step 5. Releases the slots of a job. While the backend may still work for it, they drain, and the
    /// kind's canceller stops that work as soon as it can.
    async fn release(&self, delivery: &ParsedDelivery<'_>, hold: Option<Hold>, backend_may_run: bool) {
        let Some(hold) = hold else { return };
        let backend_time = delivery.kind.options.backend_time;
        if !backend_may_run || backend_time.is_zero() {
            return hold.release().await;
        }
        let orphan = OrphanedQuery { job: delivery.envelope.job, fence: hold.fence() };
        hold.drain(backend_time).await;
        self.orphans.cancel(&delivery.envelope.kind, vec![orphan]);
    }

    /// Step 6. Records the outcome of a delivery. Returns when the outcome is durable, with what the broker
    /// has to do with the delivery.
    async fn settle(&self, delivery: &ParsedDelivery<'_>, completion: Completion) -> Disposition {
        let Completion { token, outcome, timings: Timings { waited, ran } } = completion;
        let outcome = outcome.bounded();
        steps::log_outcome(&outcome, ran);
        self.counters.count(&outcome);
        telemetry::settled(&delivery.envelope.kind, &outcome);
        let settlement = Settlement { job: delivery.envelope.job, token, outcome, waited, ran };
        match self.ledger_writer.settle(settlement).await {
            Ok(settled) => {
                tracing::debug!(?settled, "settled");
                Disposition::Ack(delivery.tag)
            }
            Err(error) => {
                let detail = format!("the ledger refuses the outcome of its job: {}", chain(error.as_ref()));
                self.reject(delivery.tag, Rejection::new(DeadReason::Refused, detail))
            }
        }
    }

    /// Step 7. Ends the delivery at the broker.
    pub(crate) async fn acknowledge(&self, disposition: Disposition) {
        self.ledger_writer.acknowledge(disposition).await;
    }

    /// Ends a delivery whose job does not run from it.
    async fn end_unstarted(&self, delivery: &ParsedDelivery<'_>, reason: NotStarted, timings: Timings) {
        let tag = delivery.tag;
        let disposition = match reason {
            NotStarted::Settled(outcome) => {
                let token = SettlementToken::Delivery(delivery.envelope.dispatch);
                self.settle(delivery, Completion { token, outcome, timings }).await
            }
            NotStarted::Refused(refusal) => {
                tracing::info!(?refusal, "delivery dropped");
                telemetry::dropped(&delivery.envelope.kind, refusal);
                Disposition::Ack(tag)
            }
            NotStarted::Returned => Disposition::Return(tag),
        };
        self.acknowledge(disposition).await;
    }

    /// Turns a delivery into a dead letter, once the returned disposition is acknowledged.
    fn reject(&self, tag: DeliveryTag, why: Rejection) -> Disposition {
        tracing::error!(reason = %why.reason, detail = why.detail, "message rejected to the dead letters");
        self.counters.count_rejected();
        telemetry::rejected(why.reason);
        Disposition::Reject { tag, why }
    }
}
