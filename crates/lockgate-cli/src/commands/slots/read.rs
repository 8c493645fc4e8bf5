//! `slots show` and `slots holders`.
//!
//! They must never change a pool.

use clap::Args;
use lockgate::{Lockgate, PoolName};
use serde::Serialize;

use super::inspect;
use crate::commands::views::{AdviceView, HolderView, PoolView, none, of_ms};
use crate::{Exit, Look, Terminal};

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Only this pool
    pool: Option<PoolName>,
}

#[derive(Debug, Args)]
pub(super) struct Holders {
    /// The pool
    pool: PoolName,
}

#[derive(Debug, Serialize)]
struct Shown {
    pools: Vec<PoolView>,
}

#[derive(Debug, Serialize)]
struct Held {
    pool: String,
    holders: Vec<HolderView>,
}

impl Show {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let found = inspect(lockgate, self.pool.as_ref()).await?;
        let shown = Shown {
            pools: found.iter().map(|view| PoolView::new(&view.status, lockgate.settings())).collect(),
        };
        terminal.show(&shown, |look| pools(&shown.pools, look))?;
        Ok(Exit::Ok)
    }
}

impl Holders {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let found = inspect(lockgate, Some(&self.pool)).await?;
        let holders: Vec<_> = found.iter().flat_map(|view| &view.holders).map(HolderView::from).collect();
        let held = Held { pool: self.pool.to_string(), holders };
        terminal.show(&held, |look| {
            if held.holders.is_empty() {
                return format!("Nobody holds a slot of {}.", held.pool);
            }
            let rows = held.holders.iter().map(|holder| {
                let state = if holder.draining { "draining" } else { "held" };
                [
                    holder.lease.clone(),
                    holder.tenant.clone(),
                    holder.weight.to_string(),
                    state.to_owned(),
                    of_ms(holder.held_ms),
                    holder.process.clone(),
                ]
            });
            look.table(["lease", "tenant", "slots", "state", "for", "process"], rows)
        })?;
        Ok(Exit::Ok)
    }
}

fn pools(pools: &[PoolView], look: &Look) -> String {
    if pools.is_empty() {
        return String::from("There are no pools yet; [pools.NAME] in the config makes one.");
    }
    let rows = pools.iter().map(|pool| {
        let note = note(pool);
        [
            pool.name.clone(),
            pool.slots.to_string(),
            pool.held.to_string(),
            pool.draining.to_string(),
            pool.peak.to_string(),
            pool.waiters.to_string(),
            pool.oldest_wait_ms.map_or_else(none, of_ms),
            pool.per_tenant.map_or_else(none, |cap| cap.to_string()),
            note,
        ]
    });
    let headers = ["pool", "slots", "held", "draining", "peak", "waiting", "oldest", "tenant cap", "note"];
    look.table(headers, rows)
}

/// What is out of the ordinary about a pool, the gravest first.
fn note(pool: &PoolView) -> String {
    if let Some(left) = pool.learning_ms {
        return format!("learning for {}", of_ms(left));
    }
    if let Some(left) = pool.paused_ms {
        return format!("paused for {}: its backend is overloaded", of_ms(left));
    }
    let advice = pool.advice.as_ref().filter(|advice| advice.slots < pool.slots);
    match (advice, pool.over_by, pool.slots, pool.configured_slots) {
        (Some(AdviceView { slots, why, enforced: true, .. }), ..) => format!("grants obey {slots}: {why}"),
        (Some(AdviceView { slots, why, .. }), ..) => format!("{slots} would be better: {why}"),
        (_, over @ 1.., ..) => format!("over by {over}"),
        (_, _, 0, _) => String::from("closed"),
        (_, _, slots, Some(configured)) if configured != slots => format!("config says {configured}"),
        _ => none(),
    }
}
