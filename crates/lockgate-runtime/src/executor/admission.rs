//! Step 2 of a job: acquires its slots, then the tokens of its rates, or neither.
//!
//! A job that does not start keeps no slots: they are released before [`Admission::admit`] returns its
//! refusal.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use lockgate_core::lease::SlotRequest;
use lockgate_core::{Outcome, PoolName};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::ledger_writer::LedgerWriter;
use super::outcome;
use super::pool_policy::PoolPolicy;
use super::start;
use super::steps::{GroupRole, NotStarted, ParsedDelivery};
use crate::job::registry::RegisteredKind;
use crate::rates::Rates;
use crate::slots::{AcquireError, Hold, SlotClient};
use crate::telemetry;

/// How long upkeep takes to create a pool again that the slot store has lost.
const POOL_RECREATED: Duration = Duration::from_millis(500);

/// Time between two checks whether a waiting delivery may still start its job.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How long a delivery may wait even when its kind exceeds its share of the prefetch. A request that is
/// granted within this time did not wait for busy slots.
const GRACE: Duration = Duration::from_millis(100);

/// Decides when the jobs of a worker may run.
pub(crate) struct Admission {
    pub(crate) slots: SlotClient,
    pub(crate) rates: Arc<Rates>,
    /// How jobs wait for the slots of each pool. A pool without an entry has the default policy.
    pub(crate) policies: BTreeMap<PoolName, PoolPolicy>,
    /// Fires when the worker starts no new jobs. Jobs that still wait for slots then go back to their queue.
    pub(crate) draining: CancellationToken,
    /// Notified when the slot store does not know a pool, so that upkeep creates it again.
    pub(crate) pools_lost: Arc<Notify>,
    pub(crate) ledger_writer: Arc<LedgerWriter>,
}

impl Admission {
    /// Waits for slots, then for tokens, together at most for the `max_wait` of the job's pools.
    ///
    /// When the tokens would come later than that, the slots are released at once and the job is deferred
    /// without using an attempt. The ledger is asked before and during the wait whether the job may still run
    /// from this delivery, so that a stale delivery takes neither slots nor tokens. The hold is `None` for a
    /// kind that uses no pool.
    pub(crate) async fn admit(
        &self,
        delivery: &mut ParsedDelivery<'_>,
        role: GroupRole,
    ) -> Result<Option<Hold>, NotStarted> {
        let needs = &delivery.kind.options.needs;
        let has_rate = self.rates.has_limit(&delivery.envelope.kind, needs);
        if has_rate || !needs.is_empty() {
            delivery.deferrals = start::check(&self.ledger_writer, delivery).await?;
        }
        let (delivery, asked_at) = (&*delivery, Instant::now());
        let deadline = asked_at + self.policy(delivery.kind).max_wait;
        let mut wait_ends = pin!(self.wait_ends(delivery));
        let acquiring = self.acquire_slots(delivery, role, deadline);
        let hold = prefer_first(acquiring, wait_ends.as_mut()).await?;
        if role == GroupRole::Member {
            return Ok(hold);
        }
        let check_again = has_rate && asked_at.elapsed() > GRACE;
        let acquiring = self.acquire_tokens(delivery, check_again, deadline);
        match prefer_first(acquiring, wait_ends).await {
            Ok(()) => Ok(hold),
            Err(reason) => {
                if let Some(hold) = hold {
                    hold.release().await;
                }
                Err(reason)
            }
        }
    }

    /// Returns how a job waits for its slots and holds them. With several pools, the strictest times apply.
    pub(crate) fn policy(&self, kind: &RegisteredKind) -> PoolPolicy {
        let policies = kind.options.needs.iter().map(|need| self.policies.get(&need.pool).copied());
        policies.map(Option::unwrap_or_default).reduce(PoolPolicy::strictest).unwrap_or_default()
    }

    /// Completes when a delivery must stop waiting: its worker drains, other kinds need its place in the
    /// prefetch, or the ledger no longer lets its job run.
    async fn wait_ends(&self, delivery: &ParsedDelivery<'_>) -> NotStarted {
        let watching = async {
            if delivery.in_flight.is_limited() {
                sleep(GRACE).await;
                if delivery.in_flight.leave_if_over_share() {
                    let reason = String::from(
                        "its pools are busy, and its kind already waits with its full share of the queue's prefetch",
                    );
                    let after = delivery.deferral_delay(Duration::ZERO);
                    return NotStarted::Settled(Outcome::Deferred { after, reason });
                }
            }
            loop {
                sleep(CHECK_INTERVAL).await;
                if let Err(refused) = start::check(&self.ledger_writer, delivery).await {
                    return refused;
                }
            }
        };
        self.draining.run_until_cancelled(watching).await.unwrap_or(NotStarted::Returned)
    }

    async fn acquire_slots(
        &self,
        delivery: &ParsedDelivery<'_>,
        role: GroupRole,
        deadline: Instant,
    ) -> Result<Option<Hold>, NotStarted> {
        let options = &delivery.kind.options;
        if options.needs.is_empty() {
            return Ok(None);
        }
        let policy = self.policy(delivery.kind);
        let (needs, drain_for) = match role {
            GroupRole::Leader => (options.needs.clone(), options.backend_time),
            GroupRole::Member => (Vec::new(), Duration::ZERO),
        };
        let (lease, tenant) = (delivery.envelope.job.into(), delivery.envelope.tenant.clone());
        let request = SlotRequest { lease, tenant, needs, drain_for, max_wait: policy.max_wait };
        let asked_at = Instant::now();
        let error = loop {
            let error = match self.slots.acquire(request.clone()).await {
                Ok(hold) => {
                    if role == GroupRole::Leader {
                        telemetry::waited(&delivery.envelope.kind, asked_at.elapsed());
                    }
                    return Ok(Some(hold));
                }
                Err(error) => error,
            };
            if !error.is_unknown_pool() || Instant::now() + POOL_RECREATED > deadline {
                break error;
            }
            // The worker created the pool when it started, so the store has lost it. Upkeep creates it again.
            self.pools_lost.notify_one();
            sleep(POOL_RECREATED).await;
        };
        if let AcquireError::Unreachable(error) = &error {
            // The slot client has logged a warning once for all jobs.
            tracing::debug!(error, "slot store unreachable");
        }
        let delay = |floor| delivery.deferral_delay(floor);
        Err(NotStarted::Settled(outcome::without_slots(error, policy.on_busy, delay)))
    }

    async fn acquire_tokens(
        &self,
        delivery: &ParsedDelivery<'_>,
        check: bool,
        deadline: Instant,
    ) -> Result<(), NotStarted> {
        // A used token cannot be returned, so a delivery that has waited for its slots is checked once more.
        if check {
            start::check(&self.ledger_writer, delivery).await?;
        }
        let needs = &delivery.kind.options.needs;
        let refused = match self.rates.acquire(&delivery.envelope.kind, needs, deadline).await {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        // `retry_after` is a lower bound. The backoff spreads jobs that were refused at the same time.
        let after = delivery.deferral_delay(refused.retry_after);
        Err(NotStarted::Settled(Outcome::Deferred { after, reason: refused.reason }))
    }
}

/// Waits for either future. Prefers the result of `acquiring` when both are ready.
async fn prefer_first<T>(
    acquiring: impl Future<Output = Result<T, NotStarted>>,
    wait_ends: impl Future<Output = NotStarted>,
) -> Result<T, NotStarted> {
    tokio::select! {
        biased;
        acquired = acquiring => acquired,
        reason = wait_ends => Err(reason),
    }
}
