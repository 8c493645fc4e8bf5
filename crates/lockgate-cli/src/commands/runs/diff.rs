//! `runs diff`: shows the keys that only one of two runs has. Only these keys are held in memory.

use clap::Args;
use lockgate::core::ledger::JobQuery;
use lockgate::{Lockgate, RunId, RunName};
use serde::Serialize;

use super::find;
use crate::{Exit, Terminal};

/// Jobs that one query reads.
const PAGE_SIZE: u32 = 1_000;

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// Name or id of one run
    a: RunName,
    /// Name or id of the other run
    b: RunName,
}

#[derive(Debug, Serialize)]
struct DiffOutput {
    a: String,
    b: String,
    only_in_a: Vec<String>,
    only_in_b: Vec<String>,
}

impl DiffArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let a = find(lockgate, &self.a, false).await?.run;
        let b = find(lockgate, &self.b, false).await?.run;
        let output = DiffOutput {
            a: a.name.to_string(),
            b: b.name.to_string(),
            only_in_a: only_in(lockgate, a.id, b.id).await?,
            only_in_b: only_in(lockgate, b.id, a.id).await?,
        };
        terminal.show(&output, |style| {
            let DiffOutput { a, b, only_in_a, only_in_b } = &output;
            if only_in_a.is_empty() && only_in_b.is_empty() {
                return format!("{a} and {b} have the same keys.");
            }
            let rows = |run: &str, keys: &[String]| {
                keys.iter().map(|key| [key.clone(), run.to_owned()]).collect::<Vec<_>>()
            };
            style.table(["key", "only in"], [rows(a, only_in_a), rows(b, only_in_b)].concat())
        })?;
        Ok(Exit::Ok)
    }
}

async fn only_in(lockgate: &Lockgate, run: RunId, other: RunId) -> anyhow::Result<Vec<String>> {
    let mut keys = Vec::new();
    let mut query =
        JobQuery { run: Some(run), absent_from: Some(other), limit: PAGE_SIZE, ..JobQuery::default() };
    loop {
        let page = lockgate.engine.ledger.jobs(query.clone()).await?;
        query.after = page.last().map(|job| job.id);
        keys.extend(page.into_iter().map(|job| job.key.into()));
        if query.after.is_none() {
            return Ok(keys);
        }
    }
}
