-- Who holds slots of pool ?1, the longest first; granted_at in virtual ms.
select l.id, n.tenant, n.weight, l.fence, l.session, l.process, l.granted_at, l.draining_until is not null as draining
from lease_needs n join leases l on l.id = n.lease
where n.pool = ?1 order by l.granted_at, l.fence
