//! Heartbeats: a session stays alive with all that it holds, and learns what it has missed.
//!
//! It must never register a lease, except while the store says that it learns who held what.

use std::collections::HashSet;

use lockgate_core::LeaseId;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{HeartbeatReply, Lease, SlotRequest};

use super::call::{Args, Caller};
use super::link::Link;
use super::reply;
use super::request::{put, within_reason};
use super::script::Script;

const DOING: &str = "sending a heartbeat";

/// Leases that are registered again in one call: a store that has lost everything must not stand still for one process.
const AT_ONCE: usize = 256;

pub(super) async fn beat(
    link: &Link,
    caller: &Caller,
    held: &[Lease],
    waiting: &[SlotRequest],
) -> Result<HeartbeatReply, EngineError> {
    let mut args = Args::default();
    let drains = link.drains();
    args.text(&caller.process).show(held.len()).show(drains.len());
    for (pool, longest) in drains {
        args.text(pool.as_str()).show(longest);
    }
    for lease in held {
        args.show(lease.id()).show(lease.fence);
    }
    for request in waiting {
        args.show(request.lease);
    }
    let said = link.call(Script::Heartbeat, Some(caller.session), &args).await?;
    let mut row = reply::row(DOING, said)?;
    let recovering = row.integer()? == 1;
    let granted = reply::rows(DOING, row.value())?;
    let ids: Vec<LeaseId> = held.iter().map(Lease::id).collect();
    let mut lost = row.places(&ids)?;
    let unknown = row.places(&ids)?;
    let stop = row.places(&ids)?;
    let asked: Vec<LeaseId> = waiting.iter().map(|request| request.lease).collect();
    let forgotten = row.places(&asked)?;
    let granted = granted.into_iter().map(|mut row| row.lease()).collect::<Result<_, _>>()?;
    if recovering && !unknown.is_empty() {
        let unknown: HashSet<LeaseId> = unknown.into_iter().collect();
        let missing: Vec<&Lease> = held.iter().filter(|lease| unknown.contains(&lease.id())).collect();
        for some in missing.chunks(AT_ONCE) {
            lost.extend(register(link, caller, some).await?);
        }
    } else {
        lost.extend(unknown);
    }
    Ok(HeartbeatReply { granted, lost: in_order(&ids, lost), forgotten, stop })
}

/// Registers leases again, with their fences; answers those that are lost all the same.
async fn register(link: &Link, caller: &Caller, leases: &[&Lease]) -> Result<Vec<LeaseId>, EngineError> {
    let mut args = Args::default();
    args.text(&caller.process);
    for lease in leases {
        let request = &lease.request;
        args.show(lease.id())
            .show(lease.fence)
            .text(request.tenant.as_str())
            .show(within_reason(request.drain_for));
        put(DOING, request, &mut args)?;
    }
    let said = link.call(Script::Register, Some(caller.session), &args).await?;
    let ids: Vec<LeaseId> = leases.iter().map(|lease| lease.id()).collect();
    reply::row(DOING, redis::Value::Array(vec![said]))?.places(&ids)
}

fn in_order(named: &[LeaseId], some: Vec<LeaseId>) -> Vec<LeaseId> {
    if some.len() < 2 {
        return some;
    }
    let some: HashSet<LeaseId> = some.into_iter().collect();
    named.iter().copied().filter(|id| some.contains(id)).collect()
}
