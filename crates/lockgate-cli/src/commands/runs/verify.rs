//! `runs verify`: checks that the account of a run balances. A run whose plan is not complete never balances.

use clap::Args;
use lockgate::core::run::{Counts, RunStatus, RunSummary};
use lockgate::{Lockgate, RunName};
use serde::Serialize;

use super::find;
use crate::{Exit, Style, Terminal};

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Name or id of the run
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

impl VerifyArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let account = Account::of(&find(lockgate, &self.run, false).await?);
        terminal.show(&account, |style| account.describe(style))?;
        Ok(if account.balanced { Exit::Ok } else { Exit::Negative })
    }
}

impl Account {
    /// Creates the account. It does not balance while the run is being planned.
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

    fn describe(&self, style: &Style) -> String {
        let Counts { scheduled, enqueued, succeeded, skipped, failed, cancelled } = self.counts;
        let figures = style.pairs(&[
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
            (true, false) => {
                String::from("balanced: every job is accounted for; some are not in a terminal state yet")
            }
            (false, _) if self.planning => String::from(
                "not complete: its planning was interrupted; `enqueue` with the same name continues it",
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
    fn unbalanced_account_shows_both_numbers() {
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
        let text = account.describe(&Style { width: 80, colour: false, cut: true });
        assert!(text.contains("NOT balanced: 10 planned, 9 counted"), "{text}");
    }
}
