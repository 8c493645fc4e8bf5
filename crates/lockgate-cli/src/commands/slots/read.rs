//! `slots show` and `slots holders`.

use clap::Args;
use lockgate::{Lockgate, PoolName};
use serde::Serialize;

use super::inspect;
use crate::commands::views::{HolderView, PoolView, RecommendationView, none, of_ms};
use crate::{Exit, Style, Terminal};

/// The table lists at most this many tenants that have their own cap or weight.
const MAX_SHARES: usize = 100;

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Show only this pool
    pool: Option<PoolName>,
}

#[derive(Debug, Args)]
pub(super) struct HoldersArgs {
    /// Name of the pool
    pool: PoolName,
}

#[derive(Debug, Serialize)]
struct PoolsOutput {
    pools: Vec<PoolView>,
}

#[derive(Debug, Serialize)]
struct HoldersOutput {
    pool: String,
    holders: Vec<HolderView>,
}

impl ShowArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let mut pools = Vec::new();
        for pool in inspect(lockgate, self.pool.as_ref()).await? {
            // A store returns the shares of tenants only for a single pool.
            let views = inspect(lockgate, Some(&pool.status.name)).await?;
            pools.extend(views.into_iter().map(|view| PoolView::new(view, lockgate.settings())));
        }
        let output = PoolsOutput { pools };
        terminal.show(&output, |style| table(&output.pools, style))?;
        Ok(Exit::Ok)
    }
}

impl HoldersArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let views = inspect(lockgate, Some(&self.pool)).await?;
        let holders: Vec<_> = views.iter().flat_map(|view| &view.holders).map(HolderView::from).collect();
        let output = HoldersOutput { pool: self.pool.to_string(), holders };
        terminal.show(&output, |style| {
            if output.holders.is_empty() {
                return format!("No slot of {} is held.", output.pool);
            }
            let rows = output.holders.iter().map(|holder| {
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
            style.table(["lease", "tenant", "slots", "state", "for", "process"], rows)
        })?;
        Ok(Exit::Ok)
    }
}

fn table(pools: &[PoolView], style: &Style) -> String {
    if pools.is_empty() {
        return String::from("There are no pools yet; create one with [pools.NAME] in the config.");
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
    let mut text = style.table(headers, rows);
    let shares = || pools.iter().flat_map(|pool| pool.shares.iter().map(move |share| (pool, share)));
    if shares().next().is_some() {
        let rows = shares().take(MAX_SHARES).map(|(pool, share)| {
            let cap = share.cap.map_or_else(none, |cap| cap.to_string());
            [pool.name.clone(), share.tenant.to_string(), cap, share.weight.to_string()]
        });
        text.push('\n');
        text.push_str(&style.table(["pool", "tenant", "own cap", "weight"], rows));
    }
    let more = shares().count().saturating_sub(MAX_SHARES);
    if more > 0 {
        text.push_str(&format!("and {more} more tenants; --output json lists all\n"));
    }
    text
}

/// Returns the most important unusual thing about a pool.
fn note(pool: &PoolView) -> String {
    if let Some(left) = pool.recovering_ms {
        return format!("recovering for {}", of_ms(left));
    }
    if let Some(left) = pool.paused_ms {
        return format!("paused for {}: its backend is overloaded", of_ms(left));
    }
    if pool.stranded > 0 {
        return format!("{} waiting need more slots than they can get now", pool.stranded);
    }
    if let Some(step) = pool.ramp.filter(|step| *step < pool.slots) {
        return format!("ramp step with {step} slots");
    }
    let recommendation =
        pool.recommendation.as_ref().filter(|recommendation| recommendation.slots < pool.slots);
    match (recommendation, pool.over_by, pool.slots, pool.configured_slots) {
        (Some(RecommendationView { slots, why, enforced: true, .. }), ..) => {
            format!("limited to {slots}: {why}")
        }
        (Some(RecommendationView { slots, why, .. }), ..) => format!("{slots} recommended: {why}"),
        (_, over @ 1.., ..) => format!("over by {over}"),
        (_, _, 0, _) => String::from("closed"),
        (_, _, slots, Some(configured)) if configured != slots => format!("config says {configured}"),
        _ => none(),
    }
}
