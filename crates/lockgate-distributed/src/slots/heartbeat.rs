//! Heartbeats: keep a session and its leases alive, and report what the session has missed.
//!
//! Leases are registered again only during the recovery grace period of the store.

use std::collections::HashSet;

use lockgate_core::LeaseId;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{HeartbeatReply, Lease, SlotRequest};

use super::call::{Args, Caller};
use super::link::Link;
use super::reply;
use super::request::{capped_millis, push_request};
use super::script::Script;

const DOING: &str = "sending a heartbeat";

/// Leases registered again in one call. Larger calls would block a store that recovers the leases of many
/// processes.
const REGISTER_BATCH: usize = 256;

pub(super) async fn send(
    link: &Link,
    caller: &Caller,
    held: &[Lease],
    waiting: &[SlotRequest],
) -> Result<HeartbeatReply, EngineError> {
    let mut args = Args::default();
    let drains = link.drains();
    args.text(&caller.process).display(held.len()).display(drains.len());
    for (pool, longest) in drains {
        args.text(pool.as_str()).display(longest);
    }
    for lease in held {
        args.display(lease.id()).display(lease.fence);
    }
    for request in waiting {
        args.display(request.lease);
    }
    let answer = link.call(Script::Heartbeat, Some(caller.session), &args).await?;
    let mut row = reply::row(DOING, answer)?;
    let recovering = row.integer()? == 1;
    let granted = reply::rows(DOING, row.value())?;
    let ids: Vec<LeaseId> = held.iter().map(Lease::id).collect();
    let mut lost = row.positions(&ids)?;
    let unknown = row.positions(&ids)?;
    let stop = row.positions(&ids)?;
    let asked: Vec<LeaseId> = waiting.iter().map(|request| request.lease).collect();
    let forgotten = row.positions(&asked)?;
    let granted = granted.into_iter().map(|mut row| row.lease()).collect::<Result<_, _>>()?;
    if recovering && !unknown.is_empty() {
        let unknown: HashSet<LeaseId> = unknown.into_iter().collect();
        let missing: Vec<&Lease> = held.iter().filter(|lease| unknown.contains(&lease.id())).collect();
        for some in missing.chunks(REGISTER_BATCH) {
            lost.extend(register(link, caller, some).await?);
        }
    } else {
        lost.extend(unknown);
    }
    Ok(HeartbeatReply { granted, lost: in_order(&ids, lost), forgotten, stop })
}

/// Registers leases again, with their fences. Returns those that are lost.
async fn register(link: &Link, caller: &Caller, leases: &[&Lease]) -> Result<Vec<LeaseId>, EngineError> {
    let mut args = Args::default();
    args.text(&caller.process);
    for lease in leases {
        let request = &lease.request;
        args.display(lease.id())
            .display(lease.fence)
            .text(request.tenant.as_str())
            .display(capped_millis(request.drain_for));
        push_request(DOING, request, &mut args)?;
    }
    let answer = link.call(Script::Register, Some(caller.session), &args).await?;
    let ids: Vec<LeaseId> = leases.iter().map(|lease| lease.id()).collect();
    reply::row(DOING, redis::Value::Array(vec![answer]))?.positions(&ids)
}

fn in_order(named: &[LeaseId], some: Vec<LeaseId>) -> Vec<LeaseId> {
    if some.len() < 2 {
        return some;
    }
    let some: HashSet<LeaseId> = some.into_iter().collect();
    named.iter().copied().filter(|id| some.contains(id)).collect()
}
