//! `runs list` and `runs show`.

use clap::Args;
use lockgate::core::ledger::RunQuery;
use lockgate::{Lockgate, RunName};
use serde::Serialize;

use super::find;
use crate::arguments::number;
use crate::commands::views::RunView;
use crate::{Exit, Terminal};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// List at most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = number(1, 10_000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Name or id of the run
    run: RunName,

    /// Show when its jobs ran and how long they waited; automatic up to 50,000 jobs, beyond that it takes
    /// seconds
    #[arg(long)]
    timing: bool,
}

/// The timing of a run of up to this many jobs is read without `--timing`, because it takes some hundredths
/// of a second.
const AUTOMATIC_TIMING_JOBS: u64 = 50_000;

#[derive(Debug, Serialize)]
struct RunsOutput {
    runs: Vec<RunView>,
}

#[derive(Debug, Serialize)]
struct RunOutput {
    run: RunView,
}

impl ListArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let query = RunQuery { limit: self.limit, ..RunQuery::default() };
        let runs = lockgate.engine.ledger.runs(query).await?;
        let output = RunsOutput { runs: runs.iter().map(RunView::from).collect() };
        terminal.show(&output, |style| {
            if output.runs.is_empty() {
                return String::from("There are no runs yet; plan one with `enqueue`.");
            }
            let rows = output.runs.iter().map(|run| {
                let (counts, open) = (&run.counts, run.counts.scheduled + run.counts.enqueued);
                let numbers =
                    [run.planned, counts.succeeded, counts.skipped, counts.failed, counts.cancelled, open];
                let [planned, succeeded, skipped, failed, cancelled, open] = numbers.map(|n| n.to_string());
                [
                    run.name.clone(),
                    run.status.to_owned(),
                    planned,
                    succeeded,
                    skipped,
                    failed,
                    cancelled,
                    open,
                ]
            });
            let headers = ["run", "status", "jobs", "ok", "skip", "fail", "canc", "open"];
            style.table(headers, rows)
        })?;
        Ok(Exit::Ok)
    }
}

impl ShowArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let summary = find(lockgate, &self.run, self.timing).await?;
        let reads_timing = !self.timing && (1..=AUTOMATIC_TIMING_JOBS).contains(&summary.counts.terminal());
        let summary = if reads_timing { find(lockgate, &self.run, true).await? } else { summary };
        let mut output = RunOutput { run: (&summary).into() };
        if summary.counts.enqueued > 0 {
            // The run is shown even when the broker is unreachable.
            output.run.consumers = lockgate.engine.broker.consumers(&summary.run.queue).await.ok();
        }
        terminal.show(&output, |style| output.run.describe(style))?;
        Ok(Exit::Ok)
    }
}
