-- Returns the slots that each tenant uses of pools. A tenant that uses none has no row.
-- ?1 JSON array of pools.
select n.pool, n.tenant, sum(n.weight) as used
from json_each(?1) x cross join lease_needs n on n.pool = x.value
group by n.pool, n.tenant
