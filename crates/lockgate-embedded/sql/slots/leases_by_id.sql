-- Returns leases by their ids, draining ones included.
-- ?1 JSON array of lease ids.
select l.id, l.session, l.request, l.fence, l.granted_at, l.stop, l.draining_until
from json_each(?1) x cross join leases l on l.id = x.value
