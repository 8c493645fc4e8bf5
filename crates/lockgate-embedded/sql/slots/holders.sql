-- Returns the holders of slots of a pool, oldest grant first. granted_at is in virtual ms.
-- ?1 pool.
select l.id, n.tenant, n.weight, l.fence, l.session, l.process, l.granted_at,
    l.draining_until is not null as draining
from lease_needs n join leases l on l.id = n.lease
where n.pool = ?1 order by l.granted_at, l.fence
