//! Waiting for something to become true, with a deadline, instead of sleeping and hoping.

use std::time::Duration;

use tokio::time::Instant;

use crate::Result;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until `look` answers something, and returns it.
///
/// # Errors
/// When the deadline passes first: the error names what was waited for. An error of `look` ends the wait.
pub fn eventually<T>(what: &str, within: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        anyhow::ensure!(Instant::now() < deadline, "not within {within:?}: {what}");
        nap(); // eventually
    }
}

/// As [`eventually`], from a test that is asynchronous.
///
/// # Errors
/// When the deadline passes first: the error names what was waited for.
pub async fn eventually_async<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(seen) = look().await {
            return Ok(seen);
        }
        anyhow::ensure!(Instant::now() < deadline, "not within {within:?}: {what}");
        tokio::time::sleep(LOOK).await; // eventually
    }
}

/// Does asynchronous work to its end, from a test that is not asynchronous itself, or from one that is: it runs on a
/// thread of its own.
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

#[expect(clippy::disallowed_methods, reason = "the one nap of the system tests, between two looks")]
fn nap() {
    std::thread::sleep(LOOK); // eventually
}
