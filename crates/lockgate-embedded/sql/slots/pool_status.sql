-- Returns pools with the slots in use, the number of waiters and when the oldest of them began to wait
-- (`since`, virtual ms, null: none waits).
-- ?1 pool (null: all).
select p.name, p.configured_slots, p.configured_per_tenant, p.slots, p.per_tenant, p.ramp, p.version, p.epoch,
    p.peak,
    p.paused_until, p.recommended_slots, p.recommendation_enforced, p.recommendation_reason, p.recommended_at,
    coalesce((select sum(n.weight) from lease_needs n join leases l on l.id = n.lease
        where n.pool = p.name and l.draining_until is null), 0) as held,
    coalesce((select sum(n.weight) from lease_needs n join leases l on l.id = n.lease
        where n.pool = p.name and l.draining_until is not null), 0) as draining,
    (select count(*) from waiters w, json_each(w.pools) x where x.value = p.name) as waiters,
    (select min(w.since) from waiters w, json_each(w.pools) x where x.value = p.name) as since
from pools p where ?1 is null or p.name = ?1
order by p.name
