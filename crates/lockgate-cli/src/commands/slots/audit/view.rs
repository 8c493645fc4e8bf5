//! What `slots audit` prints. The last line is the verdict.

use lockgate::core::audit::Audit;
use lockgate::{PoolName, Timestamp};
use serde::Serialize;

use crate::commands::views::{ms, of_ms};
use crate::program::BackendCount;
use crate::terminal::Style;
use crate::times::rfc3339;

#[derive(Debug, Serialize)]
pub(super) struct AuditOutput {
    pool: String,
    /// The history is complete from here on.
    since: String,
    until: String,
    grants: u64,
    peak: u32,
    /// The most slots that were in force at once.
    limit: u32,
    broken_grants: u64,
    above_ms: u64,
    longest_above_ms: u64,
    run: Option<RunShare>,
    backend: Option<BackendCount>,
    /// Why the backend's count is missing. Null: it is there, or the program has none.
    backend_error: Option<String>,
    pub(super) kept: bool,
}

/// The holds of one run.
#[derive(Debug, Serialize)]
pub(super) struct RunShare {
    name: String,
    created_at: String,
    holds: u64,
    peak: u32,
    /// Whether the history reaches back to the start of the run.
    whole: bool,
}

impl RunShare {
    pub(super) fn new(name: String, created_at: Timestamp, whole: bool, counts: (usize, u32)) -> Self {
        let holds = u64::try_from(counts.0).unwrap_or(u64::MAX);
        Self { name, created_at: rfc3339(created_at), holds, peak: counts.1, whole }
    }
}

impl AuditOutput {
    pub(super) fn new(
        pool: &PoolName,
        audit: &Audit,
        run: Option<RunShare>,
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

    pub(super) fn describe(&self, style: &Style) -> String {
        let figures = style.pairs(&[
            ("history", format!("{} to {}", self.since, self.until)),
            ("grants", self.grants.to_string()),
            ("peak", format!("{} of {} slots", self.peak, self.limit)),
            ("above its slots", of_ms(self.above_ms)),
            ("longest above", of_ms(self.longest_above_ms)),
        ]);
        let lines = [self.describe_run(), self.describe_backend(), Some(self.verdict())];
        let lines: Vec<String> = lines.into_iter().flatten().collect();
        format!("{}\n{figures}{}", self.pool, lines.join("\n"))
    }

    fn describe_run(&self) -> Option<String> {
        let RunShare { name, created_at, holds, peak, whole } = self.run.as_ref()?;
        let share = format!("run {name}: {holds} holds, {peak} slots at once");
        Some(if *whole {
            share
        } else {
            format!(
                "{share}; the history does not reach back to its start at {created_at}: older entries were \
                 removed, or were lost with the state of the store"
            )
        })
    }

    fn describe_backend(&self) -> Option<String> {
        if let Some(error) = &self.backend_error {
            return Some(format!("the count of the backend could not be read: {error}"));
        }
        let BackendCount { source, peak, refused } = self.backend.as_ref()?;
        Some(format!("{source}: at least {peak} at once, {refused} refused"))
    }

    fn verdict(&self) -> String {
        match (self.kept, self.broken_grants) {
            (true, _) => String::from("kept: no grant exceeded the slots that were in force"),
            (false, 0) => {
                format!("BROKEN: the backend counted more executions at once than the {} slots", self.limit)
            }
            (false, grants) => {
                format!("BROKEN: {grants} grants exceeded the slots that were in force")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn output(broken: u64, backend: Option<u64>, whole: bool) -> AuditOutput {
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
        let run = RunShare::new("r".into(), Timestamp(1_767_225_500_000), whole, (40, 9));
        let backend = backend.map(|peak| BackendCount { source: "the server".into(), peak, refused: 2 });
        AuditOutput::new(&PoolName::new("p").unwrap(), &audit, Some(run), backend, None)
    }

    fn text_of(output: &AuditOutput) -> String {
        output.describe(&Style { width: 100, colour: false, cut: true })
    }

    #[test]
    fn kept_verdict_is_printed_with_its_figures() {
        let kept = output(0, Some(10), true);
        assert!(kept.kept);
        let text = text_of(&kept);
        for part in
            ["10 of 10 slots", "run r: 40 holds", "the server: at least 10 at once, 2 refused", "kept:"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("does not reach back"), "{text}");
    }

    #[test]
    fn broken_verdict_is_printed_for_the_history_and_for_the_backend() {
        let by_history = output(3, None, true);
        assert!(
            !by_history.kept
                && text_of(&by_history).ends_with("BROKEN: 3 grants exceeded the slots that were in force")
        );
        let by_backend = output(0, Some(11), true);
        assert!(!by_backend.kept && text_of(&by_backend).contains("BROKEN: the backend counted more"));
    }

    #[test]
    fn history_that_begins_after_the_run_is_reported() {
        let text = text_of(&output(0, None, false));
        assert!(text.contains("does not reach back to its start at 2025-12-31T23:58:20Z"), "{text}");
    }
}
