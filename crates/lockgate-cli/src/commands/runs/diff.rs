//! `runs diff`: the keys that one run has and the other lacks.
//!
//! It must never hold more of a run in memory than the keys it prints.

use clap::Args;
use lockgate::core::ledger::JobQuery;
use lockgate::{Lockgate, RunId, RunName};
use serde::Serialize;

use super::find;
use crate::{Exit, Terminal};

/// Keys read at once.
const PAGE_SIZE: u32 = 1_000;

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// One run, by name or id
    a: RunName,
    /// The other
    b: RunName,
}

#[derive(Debug, Serialize)]
struct Differences {
    a: String,
    b: String,
    only_in_a: Vec<String>,
    only_in_b: Vec<String>,
}

impl Diff {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let a = find(lockgate, &self.a, false).await?.run;
        let b = find(lockgate, &self.b, false).await?.run;
        let answer = Differences {
            a: a.name.to_string(),
            b: b.name.to_string(),
            only_in_a: only_in(lockgate, a.id, b.id).await?,
            only_in_b: only_in(lockgate, b.id, a.id).await?,
        };
        terminal.show(&answer, |look| {
            let Differences { a, b, only_in_a, only_in_b } = &answer;
            if only_in_a.is_empty() && only_in_b.is_empty() {
                return format!("{a} and {b} have the same keys.");
            }
            let rows = |run: &str, keys: &[String]| {
                keys.iter().map(|key| [key.clone(), run.to_owned()]).collect::<Vec<_>>()
            };
            look.table(["key", "only in"], [rows(a, only_in_a), rows(b, only_in_b)].concat())
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
