-- Stores the slots that registered leases use.
-- ?1 JSON array of {id, tenant, needs}, where needs is JSON text [{pool, weight}].
insert into lease_needs (lease, pool, tenant, weight)
select x.value ->> 'id', n.value ->> 'pool', x.value ->> 'tenant', n.value ->> 'weight'
from json_each(?1) x cross join json_each(x.value ->> 'needs') n
