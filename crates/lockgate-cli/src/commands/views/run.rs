//! How commands print a run. The ledger counts its jobs in one consistent read.

use std::time::Duration;

use lockgate::core::run::{Counts, RunRow, RunSummary, RunTiming};
use serde::Serialize;

use super::{ms, none, of_measured_ms, of_ms};
use crate::terminal::Style;
use crate::times::rfc3339;

/// A run.
#[derive(Debug, Serialize)]
pub(crate) struct RunView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) queue: String,
    /// Processes that consume the queue. Absent: not read, or the broker is unreachable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) consumers: Option<u64>,
    pub(crate) as_of: String,
    pub(crate) status: &'static str,
    pub(crate) batch_size: u32,
    pub(crate) batch_delay_ms: u64,
    pub(crate) batches: u32,
    pub(crate) next_due: Option<String>,
    pub(crate) deadline_at: Option<String>,
    pub(crate) created_at: String,
    pub(crate) planned: u64,
    #[serde(flatten)]
    pub(crate) counts: Counts,
    pub(crate) deferrals: u64,
    pub(crate) balanced: bool,
    #[serde(flatten)]
    pub(crate) timing: Option<TimingView>,
}

/// When a run's jobs ran.
#[derive(Debug, Serialize)]
pub(crate) struct TimingView {
    pub(crate) first_settled: String,
    pub(crate) last_settled: String,
    pub(crate) wait_p50_ms: u64,
    pub(crate) wait_p99_ms: u64,
    pub(crate) jobs_per_second: Option<f64>,
}

impl From<&RunSummary> for RunView {
    fn from(summary: &RunSummary) -> Self {
        let run: &RunRow = &summary.run;
        Self {
            id: run.id.to_string(),
            name: run.name.to_string(),
            kind: run.kind.to_string(),
            queue: run.queue.to_string(),
            consumers: None,
            as_of: rfc3339(run.as_of),
            status: summary.status().as_str(),
            batch_size: run.cadence.batch_size,
            batch_delay_ms: ms(run.cadence.batch_delay),
            batches: run.batches,
            next_due: run.next_due.map(rfc3339),
            deadline_at: run.deadline_at.map(rfc3339),
            created_at: rfc3339(run.created_at),
            planned: run.planned,
            counts: summary.counts,
            deferrals: summary.deferrals,
            balanced: summary.balanced(),
            timing: summary.timing.as_ref().map(|timing| TimingView::new(timing, summary.counts.terminal())),
        }
    }
}

impl TimingView {
    fn new(timing: &RunTiming, terminal: u64) -> Self {
        Self {
            first_settled: rfc3339(timing.first),
            last_settled: rfc3339(timing.last),
            wait_p50_ms: ms(timing.wait_p50),
            wait_p99_ms: ms(timing.wait_p99),
            jobs_per_second: per_second(terminal, timing.last.since(timing.first)),
        }
    }
}

impl RunView {
    /// Formats all fields for people.
    pub(crate) fn describe(&self, style: &Style) -> String {
        let counts = &self.counts;
        let mut pairs = vec![
            ("run", self.name.clone()),
            ("id", self.id.clone()),
            ("kind", self.kind.clone()),
            ("queue", self.describe_queue()),
            ("hour", self.as_of.clone()),
            ("status", self.status.to_owned()),
            ("planned", self.planned.to_string()),
            ("scheduled", counts.scheduled.to_string()),
            ("enqueued", counts.enqueued.to_string()),
            ("succeeded", counts.succeeded.to_string()),
            ("skipped", counts.skipped.to_string()),
            ("failed", counts.failed.to_string()),
            ("cancelled", counts.cancelled.to_string()),
            ("deferrals", self.deferrals.to_string()),
            ("batches", format!("{} sent, {}", self.batches, cadence(self.batch_size, self.batch_delay_ms))),
            ("next batch", self.next_due.clone().unwrap_or_else(none)),
            ("deadline", self.deadline_at.clone().unwrap_or_else(none)),
            ("created", self.created_at.clone()),
        ];
        if let Some(timing) = &self.timing {
            pairs.extend([
                ("first settled", timing.first_settled.clone()),
                ("last settled", timing.last_settled.clone()),
                ("wait p50", of_measured_ms(timing.wait_p50_ms)),
                ("wait p99", of_measured_ms(timing.wait_p99_ms)),
                ("jobs per second", timing.jobs_per_second.map_or_else(none, |rate| format!("{rate:.1}"))),
            ]);
        }
        style.pairs(&pairs)
    }

    fn describe_queue(&self) -> String {
        match self.consumers {
            None => self.queue.clone(),
            Some(0) => format!("{}, which has no consumer; start a worker that knows this kind", self.queue),
            Some(1) => format!("{}, 1 consumer", self.queue),
            Some(consumers) => format!("{}, {consumers} consumers", self.queue),
        }
    }
}

/// Formats a cadence, such as `25 jobs every 250ms`.
pub(crate) fn cadence(batch_size: u32, batch_delay_ms: u64) -> String {
    match batch_delay_ms {
        0 => format!("{batch_size} jobs each, without delay"),
        delay => format!("{batch_size} jobs every {}", of_ms(delay)),
    }
}

fn per_second(jobs: u64, time: Duration) -> Option<f64> {
    let rate = f64::from(u32::try_from(jobs).ok()?) / time.as_secs_f64();
    rate.is_finite().then(|| (rate * 10.0).round() / 10.0)
}
