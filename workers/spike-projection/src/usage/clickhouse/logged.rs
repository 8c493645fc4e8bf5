//! What the server's log says of the queries of executions: how many certainly ran at once, and how many were refused.
//!
//! The log knows the second in which a query began, and how many milliseconds it took. So it ran for certain from the end of that
//! second on, until its duration after the beginning of that second. What may have overlapped beyond that is not counted.

use serde::Deserialize;

use super::answer::Number;
use crate::usage::QueryId;
use lockgate::{Fence, JobId};

/// Queries of executions, as the server has logged them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoggedPeak {
    /// The most that are certain to have run at once.
    pub peak: u64,
    /// Queries refused because as many ran as may.
    pub refused: u64,
}

/// A row of `queries/logged`: id, second of the beginning, milliseconds, whether it was refused.
#[derive(Debug, Deserialize)]
pub(super) struct Row(String, Number, Number, Number);

/// Counts the rows of some executions.
#[derive(Debug, Default)]
pub(super) struct Tally {
    refused: u64,
    /// When a query certainly ran: the beginning and the end, in milliseconds.
    spans: Vec<(u64, u64)>,
}

impl Tally {
    /// Adds the rows of executions that are `ours`.
    pub(super) fn add(&mut self, rows: Vec<Row>, ours: impl Fn(JobId, Fence) -> bool) {
        for Row(id, Number(second), Number(took), Number(refused)) in rows {
            let execution = id.parse::<QueryId>().ok().and_then(|id| id.execution());
            if !execution.is_some_and(|(job, fence)| ours(job, fence)) {
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

    /// The count of all rows.
    pub(super) fn peak(self) -> LoggedPeak {
        // A query that ends in the millisecond in which another begins did not certainly run together with it.
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
        let mut tally = Tally::default();
        tally.add(rows, |job, fence| job == JobId(Uuid::from_u128(1)) && fence == Fence(OURS));
        tally.peak()
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
    fn only_what_certainly_ran_together_is_counted() {
        // The first ended at 12.5 s at the earliest; the second began at 12.0 s at the earliest and 13.0 s at the latest.
        assert_eq!(counted(vec![row(OURS, 10, 2_500, 0), row(OURS, 12, 2_000, 0)]).peak, 1);
        assert_eq!(counted(vec![row(OURS, 10, 3_500, 0), row(OURS, 12, 2_000, 0)]).peak, 2);
        assert_eq!(counted(vec![row(OURS, 10, 3_000, 0), row(OURS, 12, 2_000, 0)]).peak, 1);
    }
}
