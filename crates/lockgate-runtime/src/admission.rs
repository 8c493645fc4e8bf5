//! Step 2 of a job's way: its slots, and then its tokens, all or none.
//!
//! It must never keep slots for a job that does not start.

use std::time::Duration;

use lockgate_core::lease::SlotRequest;
use lockgate_core::{KindOptions, Outcome};
use tokio::time::Instant;

use crate::executor::{Executor, Taken};
use crate::options::PoolPolicy;
use crate::rates::Later;
use crate::registry::Entry;
use crate::slots::Hold;
use crate::verdict::{Denied, without_slots};

/// How long it takes to make a pool again that the slot store has lost.
const MADE_AGAIN: Duration = Duration::from_millis(500);

/// What a job is in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It takes slots and tokens for all; alone, it is its own first.
    First,
    /// It runs beside the first, and takes its lease alone: nobody else runs it meanwhile.
    Beside,
}

/// How the wait for slots and tokens ended.
pub(crate) enum Admitted {
    /// It may run; the hold is `None` for a kind without pools.
    Yes(Option<Hold>),
    /// It may not, and this is what the delivery came to.
    No(Outcome),
    /// The worker drains: another one takes it.
    Return,
}

impl Executor {
    /// Slots, then tokens; both within the longest wait of its pools. Where the tokens would come later, the slots go back
    /// at once, and the job comes again when it is told to, without an attempt used.
    pub(crate) async fn admit(&self, taken: &Taken<'_>, role: Role) -> Admitted {
        let until = Instant::now() + self.policy(taken.kind).max_wait;
        let hold = match self.take_slots(taken, role, until).await {
            Admitted::Yes(hold) if role == Role::First => hold,
            answer => return answer,
        };
        let options = &taken.kind.options;
        let passing = self.rates.pass(&taken.envelope.kind, &options.needs, until);
        let answer = match self.draining.run_until_cancelled(passing).await {
            Some(Ok(())) => return Admitted::Yes(hold),
            Some(Err(later)) => Admitted::No(deferred(later, options, fastrand::f64())),
            None => Admitted::Return,
        };
        if let Some(hold) = hold {
            hold.release().await;
        }
        answer
    }

    async fn take_slots(&self, taken: &Taken<'_>, role: Role, until: Instant) -> Admitted {
        let options = &taken.kind.options;
        if options.needs.is_empty() {
            return Admitted::Yes(None);
        }
        let policy = self.policy(taken.kind);
        let (needs, drain_for) = match role {
            Role::First => (options.needs.clone(), options.backend_time),
            Role::Beside => (Vec::new(), Duration::ZERO),
        };
        let (lease, tenant) = (taken.envelope.job.into(), taken.envelope.tenant.clone());
        let request = SlotRequest { lease, tenant, needs, drain_for, max_wait: policy.max_wait };
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

    /// A job that takes slots of several pools waits and holds as the strictest of them says.
    pub(crate) fn policy(&self, kind: &Entry) -> PoolPolicy {
        let policies = kind.options.needs.iter().map(|need| self.policies.get(&need.pool).copied());
        policies.map(Option::unwrap_or_default).reduce(PoolPolicy::strictest).unwrap_or_default()
    }
}

/// Refused is not failed. The time that was told is the least: who was refused together does not come back together.
fn deferred(later: Later, options: &KindOptions, random: f64) -> Outcome {
    let Later { retry_after, reason } = later;
    Outcome::Deferred { after: options.backoff.wait(1, random, retry_after), reason }
}
