//! Details of one pool for an operator: shares of tenants and stranded waiters. They are read in pages, so
//! that no call blocks the server.

use std::collections::{BTreeMap, BTreeSet};

use lockgate_core::error::EngineError;
use lockgate_core::pool::TenantShare;
use lockgate_core::{PoolName, Tenant};
use redis::Value;

use super::call::Args;
use super::link::Link;
use super::reply;
use super::script::Script;

/// Returns the tenants with a cap or a weight of their own, by name.
pub(super) async fn shares(link: &Link, pool: &PoolName) -> Result<Vec<TenantShare>, EngineError> {
    let mut shares: BTreeMap<Tenant, TenantShare> = BTreeMap::new();
    for value in read(link, pool, "shares").await? {
        let mut row = reply::row(Script::Details.doing(), value)?;
        let tenant: Tenant = row.parsed()?;
        let share = TenantShare { tenant: tenant.clone(), cap: row.optional()?, weight: row.number()? };
        shares.insert(tenant, share);
    }
    Ok(shares.into_values().collect())
}

/// Returns the number of stranded waiters.
pub(super) async fn stranded(link: &Link, pool: &PoolName) -> Result<u32, EngineError> {
    let leases = read(link, pool, "stranded").await?.into_iter().filter_map(|value| match value {
        Value::BulkString(lease) => Some(lease),
        _ => None,
    });
    // The server may return a waiter twice.
    let leases: BTreeSet<Vec<u8>> = leases.collect();
    Ok(u32::try_from(leases.len()).unwrap_or(u32::MAX))
}

async fn read(link: &Link, pool: &PoolName, what: &str) -> Result<Vec<Value>, EngineError> {
    let doing = Script::Details.doing();
    let (mut found, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let mut args = Args::default();
        args.text(pool.as_str()).text(what).text(&cursor);
        let mut row = reply::row(doing, link.call(Script::Details, None, &args).await?)?;
        cursor = row.text()?;
        found.extend(reply::list(doing, row.value())?);
        if cursor == "0" {
            return Ok(found);
        }
    }
}
