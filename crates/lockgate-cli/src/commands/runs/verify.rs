//! `runs verify`: the account of a run, and whether it balances.
//!
//! It must never call an account balanced whose plan is not whole.

use clap::Args;
use lockgate::core::run::{Counts, RunStatus, RunSummary};
use lockgate::{Lockgate, RunName};
use serde::Serialize;

use super::find;
use crate::{Exit, Look, Terminal};

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Its name or id
    run: RunName,
}

#[derive(Debug, Serialize)]
struct Account {
    run: String,
    balanced: bool,
    /// Whether every job is in a terminal state.
    settled: bool,
    planned: u64,
    total: u64,
    #[serde(skip)]
    planning: bool,
    #[serde(flatten)]
    counts: Counts,
}

impl Verify {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let account = Account::of(&find(lockgate, &self.run, false).await?);
        terminal.show(&account, |look| account.describe(look))?;
        Ok(if account.balanced { Exit::Ok } else { Exit::Negative })
    }
}

impl Account {
    /// A plan that is not whole promises nothing yet: it does not balance.
    fn of(summary: &RunSummary) -> Self {
        let planning = summary.run.status == RunStatus::Planning;
        Self {
            run: summary.run.name.to_string(),
            planning,
            balanced: !planning && summary.balanced(),
            settled: summary.settled(),
            planned: summary.run.planned,
            total: summary.counts.total(),
            counts: summary.counts,
        }
    }

    fn describe(&self, look: &Look) -> String {
        let Counts { scheduled, enqueued, succeeded, skipped, failed, cancelled } = self.counts;
        let figures = look.pairs(&[
            ("planned", self.planned.to_string()),
            ("succeeded", succeeded.to_string()),
            ("skipped", skipped.to_string()),
            ("failed", failed.to_string()),
            ("cancelled", cancelled.to_string()),
            ("scheduled", scheduled.to_string()),
            ("enqueued", enqueued.to_string()),
        ]);
        let verdict = match (self.balanced, self.settled) {
            (true, true) => String::from("balanced: every job is in one terminal state"),
            (true, false) => String::from("balanced: every job is accounted for, and some are not over yet"),
            (false, _) if self.planning => String::from(
                "not whole: its planning was cut off; `enqueue` with the same name takes it up again",
            ),
            (false, _) => format!("NOT balanced: {} planned, {} counted", self.planned, self.total),
        };
        format!("{}\n{figures}{verdict}", self.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_does_not_add_up_says_by_how_much() {
        let counts = Counts { succeeded: 8, failed: 1, ..Counts::default() };
        let account = Account {
            run: "r".into(),
            balanced: false,
            settled: true,
            planned: 10,
            total: 9,
            planning: false,
            counts,
        };
        let text = account.describe(&Look { width: 80, colour: false, cut: true });
        assert!(text.contains("NOT balanced: 10 planned, 9 counted"), "{text}");
    }
}
