-- Returns pools with their slots in use, the enforced recommended slots (null: none) and whether they are
-- paused (1 or 0). An unknown pool has no row.
-- ?1 JSON array of pools.
select p.name, p.slots, p.per_tenant, p.ramp, p.configured_slots, p.configured_per_tenant,
    p.hold, iif(p.recommendation_enforced, p.recommended_slots, null) as enforced,
    p.paused_until is not null as paused,
    coalesce((select sum(n.weight) from lease_needs n where n.pool = p.name), 0) as used
from json_each(?1) x cross join pools p on p.name = x.value
