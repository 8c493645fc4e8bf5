//! Operations on pools: create, change, reset, read. None of them revokes a lease.

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
use super::history;
use super::link::Link;
use super::reply::{self, Row};
use super::request::capped_millis;
use super::script::Script;

const DOING: &str = "reading the pools";

pub(super) async fn control(link: &Link, command: PoolCommand) -> Result<PoolStatus, EngineError> {
    let mut args = Args::default();
    let (script, pool) = match command {
        PoolCommand::Ensure(PoolSpec { name, slots, per_tenant }) => {
            args.text(name.as_str()).display(slots).display(or_none(per_tenant));
            (Script::Ensure, name)
        }
        PoolCommand::Set { pool, change, version } => {
            link.note_drain(&pool, change.longest_drain.map_or(0, capped_millis));
            push_change(&mut args, &pool, &change.bounded(), version);
            (Script::Set, pool)
        }
        PoolCommand::Reset { pool } => return reset(link, &pool).await,
    };
    let answer = link.call(script, None, &args).await?;
    status_or_conflict(&pool, answer)
}

/// Resets a pool, one page of its leases in each call, so that no call blocks the store for long.
async fn reset(link: &Link, pool: &PoolName) -> Result<PoolStatus, EngineError> {
    let mut cursor = String::from("0");
    loop {
        let mut args = Args::default();
        args.text(pool.as_str()).text(&cursor);
        let mut row = reply::row(DOING, link.call(Script::Reset, None, &args).await?)?;
        let status = row.value();
        if let Value::BulkString(_) = &status {
            return status_or_conflict(pool, Value::Array(vec![status]));
        }
        cursor = row.text()?;
        if cursor == "0" {
            return status_or_conflict(pool, status);
        }
    }
}

fn push_change(args: &mut Args, pool: &PoolName, change: &PoolChange, version: Option<u64>) {
    args.text(pool.as_str());
    args.display(version.map_or(-1, |version| i64::try_from(version).unwrap_or(i64::MAX)));
    args.display(or_none(change.slots));
    args.display(change.per_tenant.map_or(-2, or_none));
    match &change.tenant {
        Some(TenantChange { tenant, cap, weight }) => args
            .text(tenant.as_str())
            .display(cap.map_or(-2, or_none))
            .display(weight.map_or(0, |weight| weight.max(1))),
        None => args.text("").display(-2).display(0),
    };
    args.display(change.pause.map_or(0, millis));
    match &change.recommendation {
        None => args.display(-1).display(0).text(""),
        Some(None) => args.display(-2).display(0).text(""),
        Some(Some(recommendation)) => args
            .display(recommendation.slots)
            .display(u8::from(recommendation.enforced))
            .text(&recommendation.why),
    };
    args.display(u8::from(change.is_new_version()));
    args.display(change.ramp.map_or(-1, |step| step.map_or(-2, i64::from)));
    args.display(change.longest_drain.map_or(0, capped_millis));
}

fn or_none(number: Option<u32>) -> i64 {
    number.map_or(-1, i64::from)
}

fn status_or_conflict(pool: &PoolName, answer: Value) -> Result<PoolStatus, EngineError> {
    let parts = reply::list(DOING, answer)?;
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
            let reason =
                format!("pool {pool} is at version {version} now; read it again, then repeat the change");
            Err(EngineError::Conflict { reason })
        }
    }
}

fn status(row: &mut Row) -> Result<PoolStatus, EngineError> {
    Ok(PoolStatus {
        name: row.parsed()?,
        configured: Configured { slots: row.number()?, per_tenant: row.optional()? },
        slots: row.number()?,
        ramp: row.optional()?,
        per_tenant: row.optional()?,
        version: row.number()?,
        epoch: row.number()?,
        held: row.number()?,
        draining: row.number()?,
        peak: row.number()?,
        waiters: row.number()?,
        oldest_wait: row.optional()?.map(std::time::Duration::from_millis),
        recovering: row.optional()?.map(std::time::Duration::from_millis),
        paused: row.optional()?.map(std::time::Duration::from_millis),
        recommendation: recommendation(row)?,
    })
}

fn recommendation(row: &mut Row) -> Result<Option<Recommendation>, EngineError> {
    let Some(slots) = row.optional()? else { return Ok(None) };
    let (enforced, age) = (row.integer()? == 1, row.time()?);
    Ok(Some(Recommendation { slots, why: row.text()?, enforced, age }))
}

pub(super) async fn inspect(link: &Link, query: &PoolQuery) -> Result<Vec<PoolView>, EngineError> {
    let (mut row, mut holders) = inspect_part(link, query, "0").await?;
    let (found, mut cursor) = (row.value(), row.text()?);
    let mut history = history::page(row.value())?;
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
        history: history.take(),
    };
    Ok(found.into_iter().map(view).collect())
}

/// Reads one page of the holders, from `cursor` on. Returns it with the rest of the reply: pools, next
/// cursor, history page.
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
