-- Returns the queue heads of tenants for a pool set. `more`: whether others wait behind the head (1 or 0).
-- ?1 JSON array of tenants, ?2 pool set (JSON, as stored).
select w.ticket, w.id, w.tenant, w.pools, w.needs,
    exists (select 1 from waiters n where n.tenant = w.tenant and n.pools = w.pools and n.ticket > w.ticket
        and n.stranded = 0) as more
from json_each(?1) x cross join waiters w on w.tenant = x.value and w.pools = ?2 and w.head = 1
