//! Analyses the server's query log: how many queries of given executions certainly ran at once, and how many
//! were rejected.
//!
//! The log has the second in which a query started and its duration in milliseconds. So the query certainly
//! ran from the end of that second until its duration after the start of that second. Only overlaps of these
//! spans are counted.

use serde::Deserialize;

use super::answer::Number;
use crate::usage::QueryId;
use lockgate::{Fence, JobId};

/// Queries of executions, as logged by the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoggedPeak {
    /// Largest number of queries that certainly ran at once.
    pub peak: u64,
    /// Queries rejected because too many ran.
    pub refused: u64,
}

/// A row of `queries/logged`: query id, second of the start, duration in milliseconds, 1 if it was rejected.
#[derive(Debug, Deserialize)]
pub(super) struct Row(String, Number, Number, Number);

/// Counts the log rows of given executions.
#[derive(Debug, Default)]
pub(super) struct PeakCounter {
    refused: u64,
    /// Spans in which a query certainly ran, as start and end in milliseconds.
    spans: Vec<(u64, u64)>,
}

impl PeakCounter {
    /// Adds the rows that belong to executions selected by `is_own`.
    pub(super) fn add(&mut self, rows: Vec<Row>, is_own: impl Fn(JobId, Fence) -> bool) {
        for Row(id, Number(second), Number(took), Number(refused)) in rows {
            let execution = id.parse::<QueryId>().ok().and_then(|id| id.execution());
            if !execution.is_some_and(|(job, fence)| is_own(job, fence)) {
                continue;
            }
            let begin = second.saturating_mul(1_000);
            if refused == 0 {
                self.spans.push((begin.saturating_add(1_000), begin.saturating_add(took)));
            } else {
                self.refused = self.refused.saturating_add(1);
            }
        }
    }

    /// Returns the result for all added rows.
    pub(super) fn peak(self) -> LoggedPeak {
        // A query that ends in the millisecond in which another starts did not certainly run together with
        // it.
        let ends = self.spans.iter().map(|(_, end)| (*end, -1_i64));
        let mut steps: Vec<(u64, i64)> =
            self.spans.iter().map(|(begin, _)| (*begin, 1)).chain(ends).collect();
        steps.sort_unstable();
        let at_once = steps.iter().scan(0_i64, |at_once, (_, step)| {
            *at_once += step;
            Some(*at_once)
        });
        let peak = at_once.max().and_then(|peak| u64::try_from(peak).ok()).unwrap_or(0);
        LoggedPeak { peak, refused: self.refused }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const OURS: u64 = 7;

    fn row(fence: u64, second: u64, took: u64, refused: u64) -> Row {
        let id = QueryId::of(JobId(Uuid::from_u128(1)), 1, Fence(fence));
        Row(id.to_string(), Number(second), Number(took), Number(refused))
    }

    fn counted(rows: Vec<Row>) -> LoggedPeak {
        let mut counter = PeakCounter::default();
        counter.add(rows, |job, fence| job == JobId(Uuid::from_u128(1)) && fence == Fence(OURS));
        counter.peak()
    }

    #[test]
    fn queries_of_other_systems_are_not_counted() {
        let rows = vec![row(OURS, 10, 3_000, 0), row(8, 10, 3_000, 0), row(8, 10, 0, 1), row(OURS, 10, 0, 1)];
        assert_eq!(counted(rows), LoggedPeak { peak: 1, refused: 1 });
        assert_eq!(
            counted(vec![Row("else".into(), Number(1), Number(9_000), Number(0))]),
            LoggedPeak::default()
        );
    }

    #[test]
    fn only_certain_overlaps_are_counted() {
        // The first ended at 12.5 s at the earliest; the second started between 12.0 s and 13.0 s.
        assert_eq!(counted(vec![row(OURS, 10, 2_500, 0), row(OURS, 12, 2_000, 0)]).peak, 1);
        assert_eq!(counted(vec![row(OURS, 10, 3_500, 0), row(OURS, 12, 2_000, 0)]).peak, 2);
        assert_eq!(counted(vec![row(OURS, 10, 3_000, 0), row(OURS, 12, 2_000, 0)]).peak, 1);
    }
}
