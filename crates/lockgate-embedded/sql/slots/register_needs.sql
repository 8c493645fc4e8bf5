-- Writes down what those leases take: ?1 is a JSON array of {id, tenant, needs}, needs being JSON text [{pool, weight}].
insert into lease_needs (lease, pool, tenant, weight)
select x.value ->> 'id', n.value ->> 'pool', x.value ->> 'tenant', n.value ->> 'weight'
from json_each(?1) x cross join json_each(x.value ->> 'needs') n
