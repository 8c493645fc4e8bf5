-- How many wait already in each line of ?1 (JSON array of {tenant, pools}).
select x.value ->> 'tenant' as tenant, x.value ->> 'pools' as pools,
    (select count(*) from waiters w
        where w.tenant = x.value ->> 'tenant' and w.pools = x.value ->> 'pools') as waiting
from json_each(?1) x
