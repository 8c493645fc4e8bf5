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

#[expect(clippy::disallowed_methods, reason = "the one nap of the system tests, between two looks")]
fn nap() {
    std::thread::sleep(LOOK); // eventually
}
