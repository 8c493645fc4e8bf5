//! Follows a run to its end: a live display when somebody watches, else a line every few seconds.
//!
//! It only reads: a run does not notice whether it is followed.

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

/// Between two looks when somebody watches.
const WATCHED: Duration = Duration::from_millis(250);
/// Between two lines when nobody does.
const UNWATCHED: Duration = Duration::from_secs(5);
/// How far back the rate looks.
const WINDOW: Duration = Duration::from_secs(10);

/// Follows the run of this name, or id, until every job of it is over.
///
/// # Errors
/// When there is no such run, or the ledger cannot be read.
pub async fn until_settled(
    lockgate: &Lockgate,
    run: &RunName,
    terminal: &Terminal,
) -> anyhow::Result<RunSummary> {
    let bar = terminal.progress(run.as_str(), Some(0));
    let mut rate = Rate::default();
    let mut said: Option<Instant> = None;
    loop {
        let summary = read(lockgate, run).await?;
        rate.see(summary.counts.terminal(), Instant::now());
        if summary.settled() || summary.run.status == RunStatus::Cancelled {
            return Ok(summary);
        }
        let pools = lockgate.engine.slots.inspect(&PoolQuery::all()).await?;
        let line = line(&summary, &pools, rate.per_second());
        if terminal.is_watched() {
            bar.set(summary.counts.terminal(), summary.counts.total());
            bar.message(line);
        } else if said.is_none_or(|at| at.elapsed() >= UNWATCHED) {
            said = Some(Instant::now());
            let (done, all) = (summary.counts.terminal(), summary.counts.total());
            terminal.note(&format!("{run}: {done} of {all}, {}", line.replace('\n', ", ")));
        }
        tokio::time::sleep(WATCHED).await;
    }
}

async fn read(lockgate: &Lockgate, run: &RunName) -> anyhow::Result<RunSummary> {
    let query = RunQuery { run: Some(run.clone()), ..RunQuery::default() };
    let found = lockgate.engine.ledger.runs(query).await?.pop();
    Ok(found.ok_or_else(|| {
        Problem::not_found(format!("there is no run {:?}; `runs list` names all", run.as_str()))
    })?)
}

/// Jobs a second over the last looks, so many that a batch more or less does not show.
#[derive(Debug, Default)]
struct Rate {
    looks: VecDeque<(Instant, u64)>,
}

impl Rate {
    fn see(&mut self, done: u64, now: Instant) {
        self.looks.push_back((now, done));
        while self.looks.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.looks.pop_front();
        }
    }

    fn per_second(&self) -> Option<f64> {
        let ((start, before), (end, after)) = (self.looks.front()?, self.looks.back()?);
        let done = u32::try_from(after.saturating_sub(*before)).unwrap_or(u32::MAX);
        let rate = f64::from(done) / end.duration_since(*start).as_secs_f64();
        rate.is_finite().then_some(rate)
    }
}

fn line(summary: &RunSummary, pools: &[PoolView], rate: Option<f64>) -> String {
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

/// How many batches it will have been, as far as is known now.
fn batches(summary: &RunSummary) -> u64 {
    let gone = u64::from(summary.run.batches);
    if summary.run.next_due.is_none() && gone > 0 {
        return gone;
    }
    summary.run.cadence.batches(summary.counts.total()).max(gone)
}

/// Whichever takes longer: the work, or its dispatch.
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
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        rate.see(0, start);
        assert_eq!(rate.per_second(), None);
        for second in 1..=60_u64 {
            let done = if second <= 40 { second } else { 40 + (second - 40) * 50 };
            rate.see(done, start + Duration::from_secs(second));
        }
        assert_eq!(rate.per_second(), Some(50.0));
        rate.see(1_040, start + Duration::from_secs(70));
        assert_eq!(rate.per_second(), Some(0.0));
    }
}
