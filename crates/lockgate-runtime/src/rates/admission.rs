//! The second half of a job's admission: its slots are there, now its tokens, all or none.
//!
//! It must never keep slots for a job that does not start.

use lockgate_core::{KindOptions, Outcome};
use tokio::time::Instant;

use super::Later;
use crate::executor::{Admitted, Executor, Taken, release};

impl Executor {
    /// Slots, then tokens; both within the longest wait of its pools. Where the tokens would come later, the slots go back
    /// at once, and the job comes again when it is told to, without an attempt used.
    pub(crate) async fn admit_within_rates(&self, taken: &Taken<'_>, asked_at: Instant) -> Admitted {
        let hold = match self.admit(taken).await {
            Admitted::Yes(hold) => hold,
            refused => return refused,
        };
        let options = &taken.kind.options;
        let until = asked_at + self.policy(taken.kind).max_wait;
        let passing = self.rates.pass(&taken.envelope.kind, &options.needs, until);
        match self.draining.run_until_cancelled(passing).await {
            Some(Ok(())) => Admitted::Yes(hold),
            Some(Err(later)) => {
                release(hold, None).await;
                Admitted::No(deferred(later, options, fastrand::f64()))
            }
            None => {
                release(hold, None).await;
                Admitted::Return
            }
        }
    }
}

/// Refused is not failed. The time that was told is the least: who was refused together does not come back together.
fn deferred(later: Later, options: &KindOptions, random: f64) -> Outcome {
    let Later { retry_after, reason } = later;
    Outcome::Deferred { after: options.backoff.wait(1, random, retry_after), reason }
}
