-- Returns the oldest queue heads for a pool set whose tenants use none of its slots. `more`: whether others
-- wait behind the head (1 or 0).
-- ?1 pool set (JSON, as stored), ?2 maximum number of rows.
select w.ticket, w.id, w.tenant, w.pools, w.needs,
    exists (select 1 from waiters n where n.tenant = w.tenant and n.pools = w.pools and n.ticket > w.ticket
        and n.stranded = 0) as more
from waiters w
where w.pools = ?1 and w.head = 1 and not exists (
    select 1 from json_each(?1) p cross join lease_needs n on n.pool = p.value and n.tenant = w.tenant
)
order by w.ticket limit ?2
