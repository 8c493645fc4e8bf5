//! Follows a run to its end: with a live display on a terminal, else with a line every few seconds. It only
//! reads.

use std::collections::VecDeque;
use std::time::Duration;

use lockgate::core::ledger::RunQuery;
use lockgate::core::run::{RunStatus, RunSummary};
use lockgate::core::slots::{PoolQuery, PoolView};
use lockgate::{JobState, Lockgate, RunName};
use tokio::time::Instant;

use crate::problem::Problem;
use crate::terminal::Terminal;
use crate::times::coarse;

/// The time between two reads of the run.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The time between two lines when standard error is not a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// The rate is that of this time.
const RATE_PERIOD: Duration = Duration::from_secs(10);

/// Follows the run of this name or id until all its jobs are in a terminal state. Returns its summary.
///
/// # Errors
/// When the run does not exist, or the ledger cannot be read.
pub async fn until_settled(
    lockgate: &Lockgate,
    run: &RunName,
    terminal: &Terminal,
) -> anyhow::Result<RunSummary> {
    let bar = terminal.progress(run.as_str(), Some(0));
    let mut rate = Rate::default();
    let mut last_line: Option<Instant> = None;
    loop {
        let summary = read(lockgate, run).await?;
        rate.add(summary.counts.terminal(), Instant::now());
        if summary.settled() || summary.run.status == RunStatus::Cancelled {
            return Ok(summary);
        }
        let pools = lockgate.engine.slots.inspect(&PoolQuery::all()).await?;
        let progress = describe(&summary, &pools, rate.per_second());
        if terminal.is_interactive() {
            bar.set(summary.counts.terminal(), summary.counts.total());
            bar.message(progress);
        } else if last_line.is_none_or(|at| at.elapsed() >= LINE_INTERVAL) {
            last_line = Some(Instant::now());
            let (done, all) = (summary.counts.terminal(), summary.counts.total());
            terminal.note(&format!("{run}: {done} of {all}, {}", progress.replace('\n', ", ")));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn read(lockgate: &Lockgate, run: &RunName) -> anyhow::Result<RunSummary> {
    let query = RunQuery { run: Some(run.clone()), ..RunQuery::default() };
    let summary = lockgate.engine.ledger.runs(query).await?.pop();
    Ok(summary.ok_or_else(|| {
        Problem::not_found(format!("there is no run {:?}; `runs list` lists all runs", run.as_str()))
    })?)
}

/// Jobs per second in the last [`RATE_PERIOD`], which is long enough to smooth out single batches.
#[derive(Debug, Default)]
struct Rate {
    reads: VecDeque<(Instant, u64)>,
}

impl Rate {
    fn add(&mut self, done: u64, now: Instant) {
        self.reads.push_back((now, done));
        while self.reads.front().is_some_and(|(at, _)| now.duration_since(*at) > RATE_PERIOD) {
            self.reads.pop_front();
        }
    }

    fn per_second(&self) -> Option<f64> {
        let ((start, before), (end, after)) = (self.reads.front()?, self.reads.back()?);
        let done = u32::try_from(after.saturating_sub(*before)).unwrap_or(u32::MAX);
        let rate = f64::from(done) / end.duration_since(*start).as_secs_f64();
        rate.is_finite().then_some(rate)
    }
}

fn describe(summary: &RunSummary, pools: &[PoolView], rate: Option<f64>) -> String {
    let (run, counts) = (&summary.run, &summary.counts);
    let states = [
        (JobState::Scheduled, counts.scheduled),
        (JobState::Enqueued, counts.enqueued),
        (JobState::Succeeded, counts.succeeded),
        (JobState::Skipped, counts.skipped),
        (JobState::Failed, counts.failed),
        (JobState::Cancelled, counts.cancelled),
    ];
    let states = states.map(|(state, n)| format!("{state} {n}")).join(", ");
    let slots: Vec<String> = pools
        .iter()
        .map(|PoolView { status, .. }| format!("{} {}/{}", status.name, status.in_use(), status.slots))
        .collect();
    let batches = batches(summary);
    let status = summary.status().as_str();
    let pace = match rate {
        Some(rate) => format!("{rate:.1} jobs/s, {} left", time_left(summary, rate)),
        None => String::from("- jobs/s"),
    };
    let slots = if slots.is_empty() { String::from("none") } else { slots.join(", ") };
    format!("{pace}\n{status}, batches {}/{batches}, {states}\nslots {slots}", run.batches)
}

/// Returns the expected number of batches.
fn batches(summary: &RunSummary) -> u64 {
    let sent = u64::from(summary.run.batches);
    if summary.run.next_due.is_none() && sent > 0 {
        return sent;
    }
    summary.run.cadence.batches(summary.counts.total()).max(sent)
}

/// Estimates the remaining time: that of the jobs or that of the dispatch, whichever is longer.
fn time_left(summary: &RunSummary, rate: f64) -> String {
    let left = summary.counts.scheduled.saturating_add(summary.counts.enqueued);
    let left_of_batches = batches(summary).saturating_sub(summary.run.batches.into());
    let gaps = u32::try_from(left_of_batches).unwrap_or(u32::MAX);
    let dispatch = summary.run.cadence.batch_delay.saturating_mul(gaps);
    let work = if rate > 0.0 {
        Duration::try_from_secs_f64(f64::from(u32::try_from(left).unwrap_or(u32::MAX)) / rate).ok()
    } else {
        None
    };
    match work {
        Some(work) => coarse(work.max(dispatch)),
        None => String::from("?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_that_of_the_last_ten_seconds() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        rate.add(0, start);
        assert_eq!(rate.per_second(), None);
        for second in 1..=60_u64 {
            let done = if second <= 40 { second } else { 40 + (second - 40) * 50 };
            rate.add(done, start + Duration::from_secs(second));
        }
        assert_eq!(rate.per_second(), Some(50.0));
        rate.add(1_040, start + Duration::from_secs(70));
        assert_eq!(rate.per_second(), Some(0.0));
    }
}
