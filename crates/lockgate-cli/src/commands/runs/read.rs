//! `runs list` and `runs show`.
//!
//! They must never change a run.

use clap::Args;
use lockgate::core::ledger::RunQuery;
use lockgate::{Lockgate, RunName};
use serde::Serialize;

use super::find;
use crate::arguments::number;
use crate::commands::views::RunView;
use crate::{Exit, Terminal};

#[derive(Debug, Args)]
pub(super) struct List {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = number(1, 10_000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Its name or id
    run: RunName,

    /// When its jobs ran and how long they waited, also of a run of more than 50,000 jobs, whose jobs take a second or
    /// two to look at
    #[arg(long)]
    timing: bool,
}

/// The jobs that are looked at unasked: what takes some hundredths of a second.
const QUICK: u64 = 50_000;

#[derive(Debug, Serialize)]
struct Listed {
    runs: Vec<RunView>,
}

#[derive(Debug, Serialize)]
struct Shown {
    run: RunView,
}

impl List {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let query = RunQuery { limit: self.limit, ..RunQuery::default() };
        let found = lockgate.engine.ledger.runs(query).await?;
        let listed = Listed { runs: found.iter().map(RunView::from).collect() };
        terminal.show(&listed, |look| {
            if listed.runs.is_empty() {
                return String::from("There are no runs yet; `enqueue` plans one.");
            }
            let rows = listed.runs.iter().map(|run| {
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
            look.table(headers, rows)
        })?;
        Ok(Exit::Ok)
    }
}

impl Show {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let summary = find(lockgate, &self.run, self.timing).await?;
        let asks_more = !self.timing && (1..=QUICK).contains(&summary.counts.terminal());
        let summary = if asks_more { find(lockgate, &self.run, true).await? } else { summary };
        let mut shown = Shown { run: (&summary).into() };
        if summary.counts.enqueued > 0 {
            // A broker that is away keeps nobody from reading the ledger.
            shown.run.consumers = lockgate.engine.broker.consumers(&summary.run.queue).await.ok();
        }
        terminal.show(&shown, |look| shown.run.describe(look))?;
        Ok(Exit::Ok)
    }
}
