-- The leases in ?1 (JSON array of ids), draining ones included.
select l.id, l.session, l.request, l.fence, l.granted_at, l.stop, l.draining_until
from json_each(?1) x cross join leases l on l.id = x.value
