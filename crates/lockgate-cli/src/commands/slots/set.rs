//! `slots set`: changes slots, caps and weights while workers run. Values that are not named stay unchanged.

use clap::{ArgGroup, Args};
use lockgate::core::pool::{PoolChange, PoolCommand, TenantChange, TenantShare};
use lockgate::{Lockgate, PoolName, Tenant};

use super::control;
use crate::arguments::number;
use crate::commands::views::{PoolView, none};
use crate::{Exit, Problem, Terminal};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("share").multiple(true))]
pub(super) struct SetArgs {
    /// Name of the pool
    pool: PoolName,

    /// Number of slots; 0 closes the pool: no new grants, and jobs keep the slots they hold
    #[arg(long, value_name = "N", required_unless_present_any = ["per_tenant", "tenant"],
          value_parser = number(0, 1_000_000))]
    slots: Option<u32>,

    /// Cap on the slots of each tenant, or none
    #[arg(long, value_name = "N|none", value_parser = parse_cap)]
    per_tenant: Option<Cap>,

    /// Tenant that gets its own cap or weight; `slots show` lists those that have one
    #[arg(long, value_name = "TENANT", requires = "share")]
    tenant: Option<Tenant>,

    /// Cap of that tenant; none removes it, so that the cap of the pool applies
    #[arg(long, value_name = "N|none", requires = "tenant", value_parser = parse_cap, group = "share")]
    cap: Option<Cap>,

    /// Weight of that tenant against others that wait; 1 is the default and removes it
    #[arg(long, value_name = "N", requires = "tenant", group = "share",
          value_parser = number(1, 1_000))]
    weight: Option<u32>,

    /// Remove the tenant's own cap and weight
    #[arg(long, requires = "tenant", group = "share", conflicts_with_all = ["cap", "weight"])]
    remove: bool,

    /// Fail unless the pool is at this version, as `slots show --output json` prints it
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

/// A cap. `None`: no cap.
#[derive(Debug, Clone, Copy)]
struct Cap(Option<u32>);

impl SetArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { pool, slots, per_tenant, tenant, cap, weight, remove, if_version } = self;
        let tenant = tenant.map(|tenant| match remove {
            true => TenantChange { tenant, cap: Some(None), weight: Some(1) },
            false => TenantChange { tenant, cap: cap.map(|Cap(cap)| cap), weight },
        });
        let tenant_name = tenant.as_ref().map(|change| change.tenant.to_string());
        let change =
            PoolChange { slots, per_tenant: per_tenant.map(|Cap(cap)| cap), tenant, ..PoolChange::default() };
        let command = PoolCommand::Set { pool, change, version: if_version };
        let done = |pool: &PoolView| {
            let cap = pool.per_tenant.map_or_else(none, |cap| cap.to_string());
            let mut text =
                format!("pool {}: {} slots, tenant cap {cap}, {} in use", pool.name, pool.slots, pool.in_use);
            if let Some(tenant) = &tenant_name {
                text.push_str(&describe_tenant(pool, tenant));
            }
            if pool.stranded > 0 {
                text.push_str(&format!("\nwarning: {}", stranded(pool)));
            }
            text
        };
        control(lockgate, terminal, command, done).await
    }
}

fn describe_tenant(pool: &PoolView, tenant: &str) -> String {
    match pool.shares.iter().find(|share| share.tenant.as_str() == tenant) {
        Some(TenantShare { cap, weight, .. }) => {
            let cap = cap.map_or_else(none, |cap| cap.to_string());
            format!("\ntenant {tenant}: own cap {cap}, weight {weight}")
        }
        None => format!("\ntenant {tenant}: no cap or weight of its own"),
    }
}

/// Describes the waiting jobs that need more slots than they can get.
fn stranded(pool: &PoolView) -> String {
    format!(
        "{} of {} waiting jobs need more slots than they can get now; other jobs overtake them, and they are \
         deferred or skipped when their wait ends",
        pool.stranded, pool.waiters
    )
}

fn parse_cap(text: &str) -> Result<Cap, Problem> {
    match (text, text.parse::<u32>()) {
        ("none", _) => Ok(Cap(None)),
        (_, Ok(cap)) if cap > 0 => Ok(Cap(Some(cap))),
        _ => Err(Problem::usage(format!("{text:?} is not a cap; give a number from 1, or none"))),
    }
}
