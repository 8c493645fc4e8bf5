//! `slots set`: fewer or more slots, caps and weights, while everything runs.
//!
//! It must never change what it was not asked to.

use clap::{ArgGroup, Args};
use lockgate::core::pool::{PoolChange, PoolCommand, TenantShare};
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

    /// A tenant that has a cap or a weight of its own
    #[arg(long, value_name = "TENANT", requires = "share")]
    tenant: Option<Tenant>,

    /// That tenant's cap, or none for the pool's
    #[arg(long, value_name = "N|none", requires = "tenant", value_parser = parse_cap, group = "share")]
    cap: Option<Cap>,

    /// That tenant's share against others that wait; 1 by default
    #[arg(long, value_name = "N", requires = "tenant", group = "share",
          value_parser = number(1, 1_000))]
    weight: Option<u32>,

    /// Only when the pool is still at this version, as `slots show --output json` tells it
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

/// A cap, or that there is none.
#[derive(Debug, Clone, Copy)]
struct Cap(Option<u32>);

impl Set {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { pool, slots, per_tenant, tenant, cap, weight, if_version } = self;
        let tenant = tenant.map(|tenant| TenantShare {
            tenant,
            cap: cap.and_then(|Cap(cap)| cap),
            weight: weight.unwrap_or(1),
        });
        let change =
            PoolChange { slots, per_tenant: per_tenant.map(|Cap(cap)| cap), tenant, ..PoolChange::default() };
        let command = PoolCommand::Set { pool, change, version: if_version };
        let done = |pool: &PoolView| {
            let cap = pool.per_tenant.map_or_else(none, |cap| cap.to_string());
            format!("pool {}: {} slots, tenant cap {cap}, {} in use", pool.name, pool.slots, pool.in_use)
        };
        control(lockgate, terminal, command, done).await
    }
}

fn parse_cap(text: &str) -> Result<Cap, Problem> {
    match (text, text.parse::<u32>()) {
        ("none", _) => Ok(Cap(None)),
        (_, Ok(cap)) if cap > 0 => Ok(Cap(Some(cap))),
        _ => Err(Problem::usage(format!("{text:?} is not a cap; a number from 1, or none"))),
    }
}
