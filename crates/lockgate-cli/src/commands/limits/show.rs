//! `limits show`: the rates in force.

use clap::Args;
use lockgate::{Lockgate, settings};
use serde::Serialize;

use super::{Named, look};
use crate::commands::views::{LimitView, none};
use crate::{Exit, Look, Problem, Terminal};

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Only this one: a pool, or kind:NAME
    name: Option<Named>,
}

#[derive(Debug, Serialize)]
struct Shown {
    limits: Vec<LimitView>,
}

impl Show {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let wanted = self.name.map(|name| name.limit());
        let limits = limits(lockgate).await?;
        let is_wanted = |limit: &LimitView| wanted.as_ref().is_none_or(|wanted| *wanted == limit.name);
        let limits: Vec<LimitView> = limits.into_iter().filter(is_wanted).collect();
        if let Some(wanted) = wanted.filter(|_| limits.is_empty()) {
            let problem = format!(
                "there is no limit {wanted:?}; `limits show` names all, and `limits set` or rate in the config makes one"
            );
            return Err(Problem::not_found(problem).into());
        }
        let shown = Shown { limits };
        terminal.show(&shown, |look| table(&shown.limits, look))?;
        Ok(Exit::Ok)
    }
}

/// The limits of the store, and those of the config that nobody has drawn from yet.
async fn limits(lockgate: &Lockgate) -> anyhow::Result<Vec<LimitView>> {
    let mut configured = settings::quotas(lockgate.settings());
    let mut limits = Vec::new();
    for status in look(lockgate).await?.into_iter().filter(|status| !status.is_unset()) {
        let config = configured.remove(&status.name);
        limits.push(LimitView::new(&status, config));
    }
    limits.extend(configured.into_iter().map(|(name, quota)| LimitView::configured(name, quota)));
    limits.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(limits)
}

fn table(limits: &[LimitView], look: &Look) -> String {
    if limits.is_empty() {
        return String::from("There are no limits of rate; `limits set` or rate in the config makes one.");
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
    look.table(["limit", "rate", "burst", "tokens", "out", "note"], rows)
}

/// What is out of the ordinary about a limit.
fn note(limit: &LimitView) -> String {
    let without_stages = limit.rate_without_stages.as_deref().unwrap_or("no rate");
    match (&limit.stage, &limit.configured_rate) {
        (Some(stage), _) => format!("stage {}; {without_stages} without ramp", stage + 1),
        (_, Some(rate)) if limit.rate.as_ref() != Some(rate) => format!("config says {rate}"),
        _ if limit.version == 0 => String::from("not used yet"),
        _ => none(),
    }
}
