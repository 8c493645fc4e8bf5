//! `slots set`: changes slots, caps and weights while everything runs. What is not named stays.

use clap::{ArgGroup, Args};
use lockgate::core::pool::{PoolChange, PoolCommand, TenantChange, TenantShare};
use lockgate::{Lockgate, PoolName, Tenant};

use super::control;
use crate::arguments::number;
use crate::commands::views::{PoolView, none};
use crate::{Exit, Problem, Terminal};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("share").multiple(true))]
pub(super) struct Set {
    /// The pool
    pool: PoolName,

    /// Its slots; 0 closes it: nothing new is granted, nothing held is taken away
    #[arg(long, value_name = "N", required_unless_present_any = ["per_tenant", "tenant"],
          value_parser = number(0, 1_000_000))]
    slots: Option<u32>,

    /// The most slots of one tenant, or none for no cap
    #[arg(long, value_name = "N|none", value_parser = parse_cap)]
    per_tenant: Option<Cap>,

    /// A tenant to give a cap or a weight of its own; `slots show` lists those that have one
    #[arg(long, value_name = "TENANT", requires = "share")]
    tenant: Option<Tenant>,

    /// That tenant's cap; none removes it, so that the pool's holds. Its weight stays
    #[arg(long, value_name = "N|none", requires = "tenant", value_parser = parse_cap, group = "share")]
    cap: Option<Cap>,

    /// That tenant's share against others that wait; 1 is the default, and removes it. Its cap stays
    #[arg(long, value_name = "N", requires = "tenant", group = "share",
          value_parser = number(1, 1_000))]
    weight: Option<u32>,

    /// Remove that tenant's own cap and weight
    #[arg(long, requires = "tenant", group = "share", conflicts_with_all = ["cap", "weight"])]
    remove: bool,

    /// Only when the pool is still at this version, as `slots show --output json` tells it
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

/// A cap, or that there is none.
#[derive(Debug, Clone, Copy)]
struct Cap(Option<u32>);

impl Set {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { pool, slots, per_tenant, tenant, cap, weight, remove, if_version } = self;
        let tenant = tenant.map(|tenant| match remove {
            true => TenantChange { tenant, cap: Some(None), weight: Some(1) },
            false => TenantChange { tenant, cap: cap.map(|Cap(cap)| cap), weight },
        });
        let named = tenant.as_ref().map(|change| change.tenant.to_string());
        let change =
            PoolChange { slots, per_tenant: per_tenant.map(|Cap(cap)| cap), tenant, ..PoolChange::default() };
        let command = PoolCommand::Set { pool, change, version: if_version };
        let done = |pool: &PoolView| {
            let cap = pool.per_tenant.map_or_else(none, |cap| cap.to_string());
            let mut text =
                format!("pool {}: {} slots, tenant cap {cap}, {} in use", pool.name, pool.slots, pool.in_use);
            if let Some(tenant) = &named {
                text.push_str(&of_tenant(pool, tenant));
            }
            if pool.stranded > 0 {
                text.push_str(&format!("\nwarning: {}", stranded(pool)));
            }
            text
        };
        control(lockgate, terminal, command, done).await
    }
}

fn of_tenant(pool: &PoolView, tenant: &str) -> String {
    match pool.shares.iter().find(|share| share.tenant.as_str() == tenant) {
        Some(TenantShare { cap, weight, .. }) => {
            let cap = cap.map_or_else(none, |cap| cap.to_string());
            format!("\ntenant {tenant}: own cap {cap}, weight {weight}")
        }
        None => format!("\ntenant {tenant}: no cap or weight of its own"),
    }
}

/// How many waiting jobs cannot be granted.
fn stranded(pool: &PoolView) -> String {
    format!(
        "{} of {} waiting jobs need more slots than they may have now; others pass them, and they are deferred (or skipped) when their wait ends",
        pool.stranded, pool.waiters
    )
}

fn parse_cap(text: &str) -> Result<Cap, Problem> {
    match (text, text.parse::<u32>()) {
        ("none", _) => Ok(Cap(None)),
        (_, Ok(cap)) if cap > 0 => Ok(Cap(Some(cap))),
        _ => Err(Problem::usage(format!("{text:?} is not a cap; a number from 1, or none"))),
    }
}
