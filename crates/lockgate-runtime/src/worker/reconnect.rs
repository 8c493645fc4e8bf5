//! The wait for a store that is away when a process starts: longer from time to time, without end, and told of once.
//!
//! It must never decide what is worth waiting for: its caller does.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::outage::LoggedCauses;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// The waits between the attempts to reach a store.
#[derive(Debug)]
pub struct Patience {
    next: Duration,
    logged: LoggedCauses,
}

impl Default for Patience {
    fn default() -> Self {
        Self { next: FIRST, logged: LoggedCauses::default() }
    }
}

impl Patience {
    /// Waits before the next attempt; `why` the last one failed is logged when it is a new reason.
    /// Answers whether there is to be a next one: not when `stop` fires, which ends the wait at once.
    pub async fn wait(&mut self, why: String, stop: &CancellationToken) -> bool {
        if self.logged.is_new(&why) {
            tracing::warn!(error = why, "a store is away; it is asked again until it answers");
        }
        // Half of it by chance: many processes that wait for one store do not all come at once.
        let wait = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(LONGEST);
        stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_grow_to_a_bound_and_end_at_once_when_told_to() {
        let (mut patience, stop) = (Patience::default(), CancellationToken::new());
        let begun = Instant::now();
        for _ in 0..20 {
            assert!(patience.wait(String::from("away"), &stop).await);
        }
        let took = begun.elapsed();
        assert!(took > Duration::from_secs(40) && took < Duration::from_secs(100), "{took:?}");
        stop.cancel();
        let begun = Instant::now();
        assert!(!patience.wait(String::from("away"), &stop).await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
