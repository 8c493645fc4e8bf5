-- Returns waiters by their ids.
-- ?1 JSON array of lease ids.
select w.id, w.session, w.tenant, w.pools, w.request, w.stranded
from json_each(?1) x cross join waiters w on w.id = x.value
