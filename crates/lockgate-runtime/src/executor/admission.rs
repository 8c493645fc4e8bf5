//! Step 2 of a job's way: its slots, and then its tokens, all or none.
//!
//! It must never keep slots for a job that does not start.

use std::pin::pin;
use std::time::Duration;

use lockgate_core::Outcome;
use lockgate_core::lease::SlotRequest;
use lockgate_core::ledger::Started;
use tokio::time::{Instant, sleep};

use crate::executor::outcome::{Denied, without_slots};
use crate::executor::{Executor, Taken};
use crate::job::registry::Entry;
use crate::rates::Later;
use crate::slots::Hold;
use crate::telemetry;
use crate::worker::options::PoolPolicy;

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
    /// The ledger does not let the job run from this delivery.
    Dropped(Started),
    /// The worker drains: another one takes it.
    Return,
}

/// How often the ledger is asked whether a delivery that waits may still start its job.
const CHECK_AGAIN: Duration = Duration::from_secs(2);
/// How long a delivery may wait although others of its kind fill the kind's share of the places in flight: what is granted
/// by then did not wait for busy slots.
const GRACE: Duration = Duration::from_millis(100);

impl Executor {
    /// Slots, then tokens; both within the longest wait of its pools. Where the tokens would come later, the slots go back
    /// at once, and the job comes again when it is told to, without an attempt used. A delivery whose job will not run takes
    /// neither: the ledger is asked first, and again while it waits.
    pub(crate) async fn admit(&self, taken: &mut Taken<'_>, role: Role) -> Admitted {
        let has_rate = self.rates.has_limit(&taken.envelope.kind, &taken.kind.options.needs);
        if has_rate || !taken.kind.options.needs.is_empty() {
            match self.check(taken).await {
                Ok(deferrals) => taken.deferrals = deferrals,
                Err(refused) => return Admitted::Dropped(refused),
            }
        }
        let (taken, since) = (&*taken, Instant::now());
        let until = since + self.policy(taken.kind).max_wait;
        let mut gives_up = pin!(self.gives_up(taken));
        let taking = self.take_slots(taken, role, until);
        let hold = match prefer(taking, gives_up.as_mut()).await {
            Admitted::Yes(hold) if role == Role::First => hold,
            answer => return answer,
        };
        let passing = self.take_tokens(taken, has_rate && since.elapsed() > GRACE, until);
        let answer = prefer(passing, gives_up).await;
        match (answer, hold) {
            (Admitted::Yes(_), hold) => Admitted::Yes(hold),
            (answer, None) => answer,
            (answer, Some(hold)) => {
                hold.release().await;
                answer
            }
        }
    }

    /// Completes when a delivery must not wait any longer: its worker drains, other kinds need its place, or its job will
    /// not run.
    async fn gives_up(&self, taken: &Taken<'_>) -> Admitted {
        let watching = async {
            if taken.in_flight.is_limited() {
                sleep(GRACE).await;
                if taken.in_flight.leave_if_crowded() {
                    let reason = String::from(
                        "its pools are busy, and as many jobs of its kind wait as leave room for the other kinds of the queue",
                    );
                    let after = taken.later(Duration::ZERO);
                    return Admitted::No(Outcome::Deferred { after, reason });
                }
            }
            loop {
                sleep(CHECK_AGAIN).await;
                if let Err(refused) = self.check(taken).await {
                    return Admitted::Dropped(refused);
                }
            }
        };
        self.draining.run_until_cancelled(watching).await.unwrap_or(Admitted::Return)
    }

    async fn take_tokens(&self, taken: &Taken<'_>, check: bool, until: Instant) -> Admitted {
        // A token cannot be given back, so a delivery that waited for its slots is checked once more.
        if check && let Err(refused) = self.check(taken).await {
            return Admitted::Dropped(refused);
        }
        match self.rates.pass(&taken.envelope.kind, &taken.kind.options.needs, until).await {
            Ok(()) => Admitted::Yes(None),
            Err(later) => Admitted::No(deferred(later, taken)),
        }
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
        let asked_at = Instant::now();
        let denied = loop {
            let denied = match self.slots.acquire(request.clone()).await {
                Ok(hold) => {
                    if role == Role::First {
                        telemetry::waited(&taken.envelope.kind, asked_at.elapsed());
                    }
                    return Admitted::Yes(Some(hold));
                }
                Err(denied) => denied,
            };
            if !denied.is_of_a_lost_pool() || Instant::now() + MADE_AGAIN > until {
                break denied;
            }
            // Its worker made the pool when it started, so the store has lost it: upkeep makes it again at once.
            self.pools_lost.notify_one();
            sleep(MADE_AGAIN).await;
        };
        if let Denied::Unreachable(error) = &denied {
            // The slot client has warned of it, once for all jobs.
            tracing::debug!(error, "no slot store");
        }
        Admitted::No(without_slots(denied, policy.on_busy, |floor| taken.later(floor)))
    }

    /// A job that takes slots of several pools waits and holds as the strictest of them says.
    pub(crate) fn policy(&self, kind: &Entry) -> PoolPolicy {
        let policies = kind.options.needs.iter().map(|need| self.policies.get(&need.pool).copied());
        policies.map(Option::unwrap_or_default).reduce(PoolPolicy::strictest).unwrap_or_default()
    }
}

/// Whichever of two answers comes first; the first one when both are there.
async fn prefer(first: impl Future<Output = Admitted>, second: impl Future<Output = Admitted>) -> Admitted {
    tokio::select! {
        biased;
        answer = first => answer,
        answer = second => answer,
    }
}

/// Refused is not failed. The time that was told is the least: who was refused together does not come back together.
fn deferred(later: Later, taken: &Taken<'_>) -> Outcome {
    let Later { retry_after, reason } = later;
    Outcome::Deferred { after: taken.later(retry_after), reason }
}
