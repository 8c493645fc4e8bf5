//! Waits until a condition is true, with a deadline, instead of sleeping for a fixed time.

use std::time::Duration;

use tokio::time::Instant;

use crate::Result;

/// Interval between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Polls until `poll` returns a value, and returns it.
///
/// # Errors
/// When the deadline passes first. The error contains `what`. An error of `poll` ends the wait.
pub fn eventually<T>(what: &str, within: Duration, mut poll: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(seen) = poll()? {
            return Ok(seen);
        }
        anyhow::ensure!(Instant::now() < deadline, "not within {within:?}: {what}");
        nap(); // eventually
    }
}

/// Does the same as [`eventually`] in an asynchronous test.
///
/// # Errors
/// When the deadline passes first. The error contains `what`.
pub async fn eventually_async<T>(
    what: &str,
    within: Duration,
    mut poll: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(seen) = poll().await {
            return Ok(seen);
        }
        anyhow::ensure!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(POLL_INTERVAL).await; // eventually
    }
}

/// Runs asynchronous work to its end on a thread of its own. Works in synchronous and asynchronous tests.
///
/// # Errors
/// When the work fails.
pub fn block_on<T: Send>(work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done = scope.spawn(move || runtime()?.block_on(work));
        done.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the work panicked")))
    })
}

#[expect(clippy::disallowed_methods, reason = "the only sleep of the system tests, between two polls")]
fn nap() {
    std::thread::sleep(POLL_INTERVAL); // eventually
}
