//! `limits show`: shows the rates in force.

use clap::Args;
use lockgate::{Lockgate, settings};
use serde::Serialize;

use super::{LimitTarget, read_all};
use crate::commands::views::{LimitView, none};
use crate::{Exit, Problem, Style, Terminal};

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Show only this limit: a pool, or kind:NAME
    target: Option<LimitTarget>,
}

#[derive(Debug, Serialize)]
struct LimitsOutput {
    limits: Vec<LimitView>,
}

impl ShowArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let wanted = self.target.map(|target| target.limit());
        let limits = limits(lockgate).await?;
        let is_wanted = |limit: &LimitView| wanted.as_ref().is_none_or(|wanted| *wanted == limit.name);
        let limits: Vec<LimitView> = limits.into_iter().filter(is_wanted).collect();
        if let Some(wanted) = wanted.filter(|_| limits.is_empty()) {
            let problem = format!(
                "there is no limit {wanted:?}; `limits show` lists all limits, and `limits set` or rate in the config \
                 creates one"
            );
            return Err(Problem::not_found(problem).into());
        }
        let output = LimitsOutput { limits };
        terminal.show(&output, |style| table(&output.limits, style))?;
        Ok(Exit::Ok)
    }
}

/// Returns the limits of the store, and those of the config that are not used yet.
async fn limits(lockgate: &Lockgate) -> anyhow::Result<Vec<LimitView>> {
    let mut configured = settings::quotas(lockgate.settings());
    let mut limits = Vec::new();
    for status in read_all(lockgate).await?.into_iter().filter(|status| !status.is_unset()) {
        let config = configured.remove(&status.name);
        limits.push(LimitView::new(&status, config));
    }
    limits.extend(configured.into_iter().map(|(name, quota)| LimitView::configured(name, quota)));
    limits.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(limits)
}

fn table(limits: &[LimitView], style: &Style) -> String {
    if limits.is_empty() {
        return String::from("There are no rate limits; create one with `limits set` or rate in the config.");
    }
    let rows = limits.iter().map(|limit| {
        [
            limit.name.clone(),
            limit.rate.clone().unwrap_or_else(none),
            limit.burst.map_or_else(none, |burst| burst.to_string()),
            limit.tokens.map_or_else(none, |tokens| tokens.to_string()),
            limit.out.to_string(),
            note(limit),
        ]
    });
    style.table(["limit", "rate", "burst", "tokens", "out", "note"], rows)
}

/// Returns what is unusual about a limit.
fn note(limit: &LimitView) -> String {
    let without_ramp = limit.rate_without_ramp.as_deref().unwrap_or("no rate");
    match (&limit.step, &limit.configured_rate) {
        (Some(step), _) => format!("step {}; {without_ramp} without ramp", step + 1),
        (_, Some(rate)) if limit.rate.as_ref() != Some(rate) => format!("config says {rate}"),
        _ if limit.version == 0 => String::from("not used yet"),
        _ => none(),
    }
}
