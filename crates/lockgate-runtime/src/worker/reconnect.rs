//! Backoff between attempts to reach a store when a process starts.
//!
//! The caller decides which errors are worth another attempt.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::outage::LoggedCauses;

const FIRST_DELAY: Duration = Duration::from_millis(250);
const MAX_DELAY: Duration = Duration::from_secs(5);

/// Waits between the attempts to reach a store: 250 ms at first, doubled up to 5 s, with jitter. The number
/// of attempts is not limited.
#[derive(Debug)]
pub struct ReconnectBackoff {
    next: Duration,
    logged: LoggedCauses,
}

impl Default for ReconnectBackoff {
    fn default() -> Self {
        Self { next: FIRST_DELAY, logged: LoggedCauses::default() }
    }
}

impl ReconnectBackoff {
    /// Waits before the next attempt. Logs `cause`, the error of the last attempt, once for each distinct
    /// cause.
    ///
    /// Returns `false` when `stop` fires, which ends the wait at once.
    pub async fn wait(&mut self, cause: String, stop: &CancellationToken) -> bool {
        if self.logged.is_new(&cause) {
            tracing::warn!(error = cause, "store unreachable, retrying");
        }
        // Half of the delay is random, so that the processes that wait for a store do not reconnect all at
        // once.
        let delay = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(MAX_DELAY);
        stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_some()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn delay_grows_to_its_maximum_and_ends_at_once_when_stopped() {
        let (mut backoff, stop) = (ReconnectBackoff::default(), CancellationToken::new());
        let started_at = Instant::now();
        for _ in 0..20 {
            assert!(backoff.wait(String::from("away"), &stop).await);
        }
        let took = started_at.elapsed();
        assert!(took > Duration::from_secs(40) && took < Duration::from_secs(100), "{took:?}");
        stop.cancel();
        let started_at = Instant::now();
        assert!(!backoff.wait(String::from("away"), &stop).await);
        assert_eq!(started_at.elapsed(), Duration::ZERO);
    }
}
