-- Returns how many requests wait in each of these queues, stranded ones excluded.
-- ?1 JSON array of {tenant, pools}.
select x.value ->> 'tenant' as tenant, x.value ->> 'pools' as pools,
    (select count(*) from waiters w
        where w.tenant = x.value ->> 'tenant' and w.pools = x.value ->> 'pools' and w.stranded = 0) as waiting
from json_each(?1) x
