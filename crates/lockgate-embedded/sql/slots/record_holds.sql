-- Adds the end of holds to the history. Must run before the leases are deleted, in the same transaction.
-- ?1 JSON array of lease ids, ?2 now (ms since 1970), ?3 last number, ?4 cause (null: released, or confirmed
-- for a draining lease).
insert into record (pool, at, number, lease, fence, weight, ended)
select n.pool, ?2, ?3, l.id, l.fence, n.weight,
    coalesce(?4, iif(l.draining_until is null, 'released', 'confirmed'))
from json_each(?1) x cross join leases l on l.id = x.value cross join lease_needs n on n.lease = l.id
