//! What `slots audit` prints.
//!
//! It must never soften a verdict: a broken promise is said in the last line.

use lockgate::core::audit::Audit;
use lockgate::{PoolName, Timestamp};
use serde::Serialize;

use crate::commands::views::{ms, of_ms};
use crate::program::BackendCount;
use crate::terminal::Look;
use crate::times::rfc3339;

#[derive(Debug, Serialize)]
pub(super) struct Audited {
    pool: String,
    /// From here on the record is whole.
    since: String,
    until: String,
    grants: u64,
    peak: u32,
    /// The largest limit that was in force.
    limit: u32,
    broken_grants: u64,
    above_ms: u64,
    longest_above_ms: u64,
    run: Option<OfRun>,
    backend: Option<BackendCount>,
    /// Why the backend's count is missing, when it should be there.
    backend_error: Option<String>,
    pub(super) kept: bool,
}

/// The share of one run.
#[derive(Debug, Serialize)]
pub(super) struct OfRun {
    name: String,
    created_at: String,
    holds: u64,
    peak: u32,
    /// Whether the record reaches back to the beginning of the run.
    whole: bool,
}

impl OfRun {
    pub(super) fn new(name: String, created_at: Timestamp, whole: bool, counts: (usize, u32)) -> Self {
        let holds = u64::try_from(counts.0).unwrap_or(u64::MAX);
        Self { name, created_at: rfc3339(created_at), holds, peak: counts.1, whole }
    }
}

impl Audited {
    pub(super) fn new(
        pool: &PoolName,
        audit: &Audit,
        run: Option<OfRun>,
        backend: Option<BackendCount>,
        backend_error: Option<String>,
    ) -> Self {
        let agrees = backend.as_ref().is_none_or(|count| count.peak <= u64::from(audit.limit));
        Self {
            pool: pool.to_string(),
            since: rfc3339(audit.since),
            until: rfc3339(audit.until),
            grants: audit.grants,
            peak: audit.peak,
            limit: audit.limit,
            broken_grants: audit.broken,
            above_ms: ms(audit.above),
            longest_above_ms: ms(audit.longest),
            run,
            backend,
            backend_error,
            kept: audit.is_kept() && agrees,
        }
    }

    pub(super) fn describe(&self, look: &Look) -> String {
        let figures = look.pairs(&[
            ("on record", format!("{} to {}", self.since, self.until)),
            ("grants", self.grants.to_string()),
            ("peak", format!("{} of {} slots", self.peak, self.limit)),
            ("above the limit", of_ms(self.above_ms)),
            ("longest", of_ms(self.longest_above_ms)),
        ]);
        let lines = [self.of_run(), self.of_backend(), Some(self.verdict())];
        let lines: Vec<String> = lines.into_iter().flatten().collect();
        format!("{}\n{figures}{}", self.pool, lines.join("\n"))
    }

    fn of_run(&self) -> Option<String> {
        let OfRun { name, created_at, holds, peak, whole } = self.run.as_ref()?;
        let share = format!("run {name}: {holds} holds, {peak} slots at once");
        Some(if *whole {
            share
        } else {
            format!(
                "{share}; the record does not reach back to its beginning at {created_at}: older holds fell out, or \
                 were lost with the state of the store"
            )
        })
    }

    fn of_backend(&self) -> Option<String> {
        if let Some(error) = &self.backend_error {
            return Some(format!("the backend did not tell its own count: {error}"));
        }
        let BackendCount { source, peak, refused } = self.backend.as_ref()?;
        Some(format!("{source}: at least {peak} at once, {refused} refused"))
    }

    fn verdict(&self) -> String {
        match (self.kept, self.broken_grants) {
            (true, _) => String::from("kept: no grant took the pool above the limit that was in force"),
            (false, 0) => {
                format!("BROKEN: the backend counted more at once than the {} slots there were", self.limit)
            }
            (false, grants) => {
                format!("BROKEN: {grants} grants took the pool above the limit that was in force")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn audited(broken: u64, backend: Option<u64>, whole: bool) -> Audited {
        let audit = Audit {
            since: Timestamp(1_767_225_600_000),
            until: Timestamp(1_767_225_660_000),
            grants: 60,
            peak: 10,
            limit: 10,
            broken,
            above: Duration::from_millis(1_500) * u32::try_from(broken).unwrap(),
            longest: Duration::from_millis(1_500),
        };
        let run = OfRun::new("r".into(), Timestamp(1_767_225_500_000), whole, (40, 9));
        let backend = backend.map(|peak| BackendCount { source: "the server".into(), peak, refused: 2 });
        Audited::new(&PoolName::new("p").unwrap(), &audit, Some(run), backend, None)
    }

    fn said(audited: &Audited) -> String {
        audited.describe(&Look { width: 100, colour: false, cut: true })
    }

    #[test]
    fn a_kept_promise_is_said_with_its_figures() {
        let kept = audited(0, Some(10), true);
        assert!(kept.kept);
        let text = said(&kept);
        for part in
            ["10 of 10 slots", "run r: 40 holds", "the server: at least 10 at once, 2 refused", "kept:"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("does not reach back"), "{text}");
    }

    #[test]
    fn a_broken_promise_is_said_whoever_saw_it() {
        let by_record = audited(3, None, true);
        assert!(
            !by_record.kept
                && said(&by_record)
                    .ends_with("BROKEN: 3 grants took the pool above the limit that was in force")
        );
        let by_backend = audited(0, Some(11), true);
        assert!(!by_backend.kept && said(&by_backend).contains("BROKEN: the backend counted more"));
    }

    #[test]
    fn a_record_that_begins_after_the_run_says_so() {
        let text = said(&audited(0, None, false));
        assert!(text.contains("does not reach back to its beginning at 2025-12-31T23:58:20Z"), "{text}");
    }
}
