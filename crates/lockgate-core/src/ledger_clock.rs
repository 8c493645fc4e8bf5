//! Ledger time: a clock that every process of a ledger shares, and that no step of a wall clock moves.
//!
//! Due times, deadlines and the ages of messages are kept in ledger time. Were they kept in wall time, a wall
//! clock that is set back by an hour, or a failover to a server whose clock is behind, would stop every run
//! for an hour; one that is set forward would end deadlines and claims that have not passed.
//!
//! Each process counts ledger time by its own monotonic clock. The store keeps a [`ClockPoint`], from which a
//! process that starts goes on; running processes renew it. Wall time is used only where no process has
//! counted, and for people: times that they read or write are converted by the present [`WallOffset`].

use crate::job::JobRow;
use crate::planning::PlanStep;
use crate::run::{RunRow, RunSpec, RunSummary, RunTiming};
use crate::time::Timestamp;

/// Wall and ledger time that differ by less than this, in milliseconds, are the same to a person.
const TOLERANCE: i64 = 2_000;

/// A point of ledger time as the store keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockPoint {
    /// Ledger time at this point.
    pub ledger: Timestamp,
    /// What the store's wall clock showed then.
    pub wall: Timestamp,
}

/// The longest time between two points, in milliseconds, while a process counts.
const LONGEST_GAP: i64 = 5_000;

impl ClockPoint {
    /// Ledger time for a process that starts, now that the wall clock shows `wall`.
    ///
    /// Where no other process has counted since the point, the time that has passed counts: a run whose
    /// deadline passes overnight, while no process runs, is overdue in the morning. Where another one has
    /// (`is_counted`), it has renewed the point a moment ago, so a wall clock that is far ahead of it was set
    /// forward. One that is behind it was set back, and says nothing about the time that has passed.
    #[must_use]
    pub fn at(self, wall: Timestamp, is_counted: bool) -> Timestamp {
        let gap = wall.0.saturating_sub(self.wall.0).max(0);
        Timestamp(self.ledger.0.saturating_add(if is_counted { gap.min(LONGEST_GAP) } else { gap }))
    }
}

/// Ledger time as one process counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerClock {
    ledger: Timestamp,
    monotonic: i64,
}

impl LedgerClock {
    /// A clock that shows `ledger` when the process's monotonic clock shows `monotonic` milliseconds.
    #[must_use]
    pub fn new(ledger: Timestamp, monotonic: i64) -> Self {
        Self { ledger, monotonic }
    }

    /// Ledger time when the monotonic clock shows this many milliseconds.
    #[must_use]
    pub fn now(self, monotonic: i64) -> Timestamp {
        Timestamp(self.ledger.0.saturating_add(monotonic.saturating_sub(self.monotonic)))
    }

    /// The clock after another process has told its ledger time: the later of the two counts. A process that
    /// was suspended may be behind; ledger time never goes back.
    #[must_use]
    pub fn at_least(self, ledger: Timestamp, monotonic: i64) -> Self {
        if ledger > self.now(monotonic) { Self { ledger, monotonic } } else { self }
    }
}

/// How far the wall clock is ahead of ledger time. Zero unless the wall clock was stepped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WallOffset(i64);

impl WallOffset {
    /// The offset when the clocks show this at the same moment.
    #[must_use]
    pub fn between(wall: Timestamp, ledger: Timestamp) -> Self {
        let ahead = wall.0.saturating_sub(ledger.0);
        Self(if ahead.saturating_abs() < TOLERANCE { 0 } else { ahead })
    }

    /// A time of the ledger as the wall clock shows it.
    #[must_use]
    pub fn to_wall(self, time: Timestamp) -> Timestamp {
        Timestamp(time.0.saturating_add(self.0))
    }

    /// A time of the wall clock in ledger time.
    #[must_use]
    pub fn to_ledger(self, time: Timestamp) -> Timestamp {
        Timestamp(time.0.saturating_sub(self.0))
    }

    /// The step with the time that a person chose for the run's start in ledger time.
    #[must_use]
    pub fn step(self, step: PlanStep) -> PlanStep {
        match step {
            PlanStep::Open(spec) => {
                PlanStep::Open(RunSpec { start_at: spec.start_at.map(|time| self.to_ledger(time)), ..spec })
            }
            other => other,
        }
    }

    /// The run with its times as people read them.
    #[must_use]
    pub fn run(self, run: RunRow) -> RunRow {
        RunRow {
            next_due: run.next_due.map(|time| self.to_wall(time)),
            deadline_at: run.deadline_at.map(|time| self.to_wall(time)),
            created_at: self.to_wall(run.created_at),
            ..run
        }
    }

    /// The summary with its times as people read them.
    #[must_use]
    pub fn summary(self, summary: RunSummary) -> RunSummary {
        let timing = summary.timing.map(|timing| RunTiming {
            first: self.to_wall(timing.first),
            last: self.to_wall(timing.last),
            ..timing
        });
        RunSummary { run: self.run(summary.run), timing, ..summary }
    }

    /// The job with its times as people read them.
    #[must_use]
    pub fn job(self, job: JobRow) -> JobRow {
        JobRow {
            due_at: job.due_at.map(|time| self.to_wall(time)),
            updated_at: self.to_wall(job.updated_at),
            ..job
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_process_that_starts_goes_on_from_the_point_whatever_the_wall_clock_did() {
        let point = ClockPoint { ledger: Timestamp(5 * HOUR), wall: Timestamp(7 * HOUR) };
        for is_counted in [true, false] {
            assert_eq!(point.at(Timestamp(7 * HOUR + 30), is_counted), Timestamp(5 * HOUR + 30));
            assert_eq!(point.at(Timestamp(6 * HOUR), is_counted), Timestamp(5 * HOUR), "it was set back");
        }
        assert_eq!(point.at(Timestamp(8 * HOUR), false), Timestamp(6 * HOUR), "nobody counted for an hour");
        assert_eq!(
            point.at(Timestamp(8 * HOUR), true),
            Timestamp(5 * HOUR + LONGEST_GAP),
            "it was set forward"
        );
    }

    #[test]
    fn a_process_counts_by_its_monotonic_clock_and_never_goes_back() {
        let clock = LedgerClock::new(Timestamp(1_000), 50);
        assert_eq!(clock.now(250), Timestamp(1_200));
        assert_eq!(clock.at_least(Timestamp(1_100), 250).now(250), Timestamp(1_200), "the other is behind");
        assert_eq!(
            clock.at_least(Timestamp(9_000), 250).now(251),
            Timestamp(9_001),
            "this one was suspended"
        );
    }

    #[test]
    fn people_read_and_write_wall_time() {
        let (wall, ledger) = (Timestamp(3 * HOUR), Timestamp(4 * HOUR));
        let offset = WallOffset::between(wall, ledger);
        assert_eq!(offset.to_wall(ledger), wall);
        assert_eq!(offset.to_ledger(wall), ledger);
        assert_eq!(
            WallOffset::between(Timestamp(1_999), Timestamp(0)),
            WallOffset::default(),
            "a little apart"
        );
    }
}
