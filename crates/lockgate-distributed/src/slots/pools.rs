//! Pools: making, changing, resetting, reading. It must never take away what is held.

use std::collections::HashSet;

use lockgate_core::PoolName;
use lockgate_core::error::EngineError;
use lockgate_core::lease::Holder;
use lockgate_core::pool::{
    Configured, PoolChange, PoolCommand, PoolSpec, PoolStatus, Recommendation, TenantChange,
};
use lockgate_core::slots::{PoolQuery, PoolView};
use lockgate_core::time::millis;
use redis::Value;

use super::call::Args;
use super::details;
use super::link::Link;
use super::record;
use super::reply::{self, Row};
use super::request::within_reason;
use super::script::Script;

const DOING: &str = "reading the pools";

pub(super) async fn control(link: &Link, command: PoolCommand) -> Result<PoolStatus, EngineError> {
    let mut args = Args::default();
    let (script, pool) = match command {
        PoolCommand::Ensure(PoolSpec { name, slots, per_tenant }) => {
            args.text(name.as_str()).show(slots).show(or_none(per_tenant));
            (Script::Ensure, name)
        }
        PoolCommand::Set { pool, change, version } => {
            link.may_drain(&pool, change.longest_drain.map_or(0, within_reason));
            put_change(&mut args, &pool, &change.bounded(), version);
            (Script::Set, pool)
        }
        PoolCommand::Reset { pool } => return reset(link, &pool).await,
    };
    let said = link.call(script, None, &args).await?;
    answered(&pool, said)
}

/// Resets a pool, a part of its leases in each call, so that no call keeps the store busy for long.
async fn reset(link: &Link, pool: &PoolName) -> Result<PoolStatus, EngineError> {
    let mut cursor = String::from("0");
    loop {
        let mut args = Args::default();
        args.text(pool.as_str()).text(&cursor);
        let mut row = reply::row(DOING, link.call(Script::Reset, None, &args).await?)?;
        let status = row.value();
        if let Value::BulkString(_) = &status {
            return answered(pool, Value::Array(vec![status]));
        }
        cursor = row.text()?;
        if cursor == "0" {
            return answered(pool, status);
        }
    }
}

fn put_change(args: &mut Args, pool: &PoolName, change: &PoolChange, version: Option<u64>) {
    args.text(pool.as_str());
    args.show(version.map_or(-1, |version| i64::try_from(version).unwrap_or(i64::MAX)));
    args.show(or_none(change.slots));
    args.show(change.per_tenant.map_or(-2, or_none));
    match &change.tenant {
        Some(TenantChange { tenant, cap, weight }) => args
            .text(tenant.as_str())
            .show(cap.map_or(-2, or_none))
            .show(weight.map_or(0, |weight| weight.max(1))),
        None => args.text("").show(-2).show(0),
    };
    args.show(change.pause.map_or(0, millis));
    match &change.recommendation {
        None => args.show(-1).show(0).text(""),
        Some(None) => args.show(-2).show(0).text(""),
        Some(Some(recommendation)) => {
            args.show(recommendation.slots).show(u8::from(recommendation.enforced)).text(&recommendation.why)
        }
    };
    args.show(u8::from(change.is_new_version()));
    args.show(change.ramp.map_or(-1, |step| step.map_or(-2, i64::from)));
    args.show(change.longest_drain.map_or(0, within_reason));
}

fn or_none(number: Option<u32>) -> i64 {
    number.map_or(-1, i64::from)
}

fn answered(pool: &PoolName, said: Value) -> Result<PoolStatus, EngineError> {
    let parts = reply::list(DOING, said)?;
    let word = match parts.first() {
        Some(Value::BulkString(word)) if parts.len() <= 2 => word.clone(),
        _ => return status(&mut reply::row(DOING, Value::Array(parts))?),
    };
    let mut row = reply::row(DOING, Value::Array(parts))?;
    row.value();
    match word.as_slice() {
        b"missing" => Err(EngineError::NotFound { what: "pool", name: pool.to_string() }),
        _ => {
            let version: u64 = row.number()?;
            let reason = format!("pool {pool} is at version {version} by now; read it again");
            Err(EngineError::Conflict { reason })
        }
    }
}

fn status(row: &mut Row) -> Result<PoolStatus, EngineError> {
    Ok(PoolStatus {
        name: row.parsed()?,
        configured: Configured { slots: row.number()?, per_tenant: row.perhaps()? },
        slots: row.number()?,
        ramp: row.perhaps()?,
        per_tenant: row.perhaps()?,
        version: row.number()?,
        epoch: row.number()?,
        held: row.number()?,
        draining: row.number()?,
        peak: row.number()?,
        waiters: row.number()?,
        oldest_wait: row.perhaps()?.map(std::time::Duration::from_millis),
        recovering: row.perhaps()?.map(std::time::Duration::from_millis),
        paused: row.perhaps()?.map(std::time::Duration::from_millis),
        recommendation: recommendation(row)?,
    })
}

fn recommendation(row: &mut Row) -> Result<Option<Recommendation>, EngineError> {
    let Some(slots) = row.perhaps()? else { return Ok(None) };
    let (enforced, age) = (row.integer()? == 1, row.time()?);
    Ok(Some(Recommendation { slots, why: row.text()?, enforced, age }))
}

pub(super) async fn inspect(link: &Link, query: &PoolQuery) -> Result<Vec<PoolView>, EngineError> {
    let (mut row, mut holders) = inspect_part(link, query, "0").await?;
    let (found, mut cursor) = (row.value(), row.text()?);
    let mut record = record::page(row.value())?;
    while cursor != "0" {
        let (mut row, more) =
            inspect_part(link, &PoolQuery { history: None, ..query.clone() }, &cursor).await?;
        row.value();
        cursor = row.text()?;
        holders.extend(more);
    }
    let mut found: Vec<PoolStatus> =
        reply::rows(DOING, found)?.into_iter().map(|mut row| status(&mut row)).collect::<Result<_, _>>()?;
    found.sort_by(|one, other| one.name.cmp(&other.name));
    holders.sort_by_key(|holder| (std::cmp::Reverse(holder.held_for), holder.fence));
    let mut seen = HashSet::new();
    holders.retain(|holder| seen.insert(holder.lease));
    let (mut stranded, mut shares) = (0, Vec::new());
    if let (Some(name), [status]) = (&query.pool, found.as_slice()) {
        shares = details::shares(link, name).await?;
        stranded = if status.waiters > 0 { details::stranded(link, name).await? } else { 0 };
    }
    let view = |status| PoolView {
        status,
        holders: std::mem::take(&mut holders),
        stranded,
        shares: std::mem::take(&mut shares),
        history: record.take(),
    };
    Ok(found.into_iter().map(view).collect())
}

/// Reads a part of the holders from `cursor` on. Returns the rest of the reply with them: pools, next cursor, page.
async fn inspect_part(
    link: &Link,
    query: &PoolQuery,
    cursor: &str,
) -> Result<(Row, Vec<Holder>), EngineError> {
    let script = if query.writable { Script::Probe } else { Script::Inspect };
    let mut args = Args::default();
    args.text(query.pool.as_ref().map_or("", PoolName::as_str));
    args.text(&query.history.map_or_else(String::new, |after| after.to_string()));
    args.text(cursor);
    let mut row = reply::row(DOING, link.call(script, None, &args).await?)?;
    let pools = row.value();
    let holders = reply::rows(DOING, row.value())?.into_iter().map(holder).collect::<Result<_, _>>()?;
    let rest = std::iter::once(pools).chain(row.rest()).collect();
    Ok((reply::row(DOING, Value::Array(rest))?, holders))
}

fn holder(mut row: Row) -> Result<Holder, EngineError> {
    Ok(Holder {
        lease: row.parsed()?,
        tenant: row.parsed()?,
        weight: row.number()?,
        fence: row.fence()?,
        session: row.parsed()?,
        process: row.text()?,
        held_for: row.time()?,
        draining: row.integer()? == 1,
    })
}
