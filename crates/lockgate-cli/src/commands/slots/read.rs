//! `slots show` and `slots holders`.
//!
//! They must never change a pool.

use clap::Args;
use lockgate::{Lockgate, PoolName};
use serde::Serialize;

use super::inspect;
use crate::commands::views::{AdviceView, HolderView, PoolView, none, of_ms};
use crate::{Exit, Look, Terminal};

/// Tenants with a cap or a weight of their own that are listed.
const MOST_SHARES: usize = 100;

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
        let mut pools = Vec::new();
        for found in inspect(lockgate, self.pool.as_ref()).await? {
            // One by one: tenants' shares are read with a single pool alone.
            let views = inspect(lockgate, Some(&found.status.name)).await?;
            pools.extend(views.into_iter().map(|view| PoolView::new(view, lockgate.settings())));
        }
        let shown = Shown { pools };
        terminal.show(&shown, |look| table(&shown.pools, look))?;
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

fn table(pools: &[PoolView], look: &Look) -> String {
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
    let mut text = look.table(headers, rows);
    let shares = || pools.iter().flat_map(|pool| pool.shares.iter().map(move |share| (pool, share)));
    if shares().next().is_some() {
        let rows = shares().take(MOST_SHARES).map(|(pool, share)| {
            let cap = share.cap.map_or_else(none, |cap| cap.to_string());
            [pool.name.clone(), share.tenant.to_string(), cap, share.weight.to_string()]
        });
        text.push('\n');
        text.push_str(&look.table(["pool", "tenant", "own cap", "weight"], rows));
    }
    let more = shares().count().saturating_sub(MOST_SHARES);
    if more > 0 {
        text.push_str(&format!("and {more} tenants more; --output json lists all\n"));
    }
    text
}

/// What is out of the ordinary about a pool, the gravest first.
fn note(pool: &PoolView) -> String {
    if let Some(left) = pool.learning_ms {
        return format!("learning for {}", of_ms(left));
    }
    if let Some(left) = pool.paused_ms {
        return format!("paused for {}: its backend is overloaded", of_ms(left));
    }
    if pool.stranded > 0 {
        return format!("{} waiting need more slots than they may have now", pool.stranded);
    }
    if let Some(step) = pool.ramp.filter(|step| *step < pool.slots) {
        return format!("ramp step of {step}");
    }
    let recommendation =
        pool.recommendation.as_ref().filter(|recommendation| recommendation.slots < pool.slots);
    match (recommendation, pool.over_by, pool.slots, pool.configured_slots) {
        (Some(AdviceView { slots, why, enforced: true, .. }), ..) => format!("grants obey {slots}: {why}"),
        (Some(AdviceView { slots, why, .. }), ..) => format!("{slots} would be better: {why}"),
        (_, over @ 1.., ..) => format!("over by {over}"),
        (_, _, 0, _) => String::from("closed"),
        (_, _, slots, Some(configured)) if configured != slots => format!("config says {configured}"),
        _ => none(),
    }
}
