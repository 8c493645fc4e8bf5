-- Writes down that the leases in ?1 (JSON array of ids) end, at ?2 (ms since 1970) and number ?3, and how (?4; null: released, or
-- confirmed when they drained). To be called before they are freed.
-- Keeps: what a hold was is on record in the transaction that ends it.
insert into record (pool, at, number, lease, fence, weight, ended)
select n.pool, ?2, ?3, l.id, l.fence, n.weight,
    coalesce(?4, iif(l.draining_until is null, 'released', 'confirmed'))
from json_each(?1) x cross join leases l on l.id = x.value cross join lease_needs n on n.lease = l.id
