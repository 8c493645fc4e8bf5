-- What each tenant has in use of the pools in ?1 (JSON array of names); one that has nothing has no row.
select n.pool, n.tenant, sum(n.weight) as used
from json_each(?1) x cross join lease_needs n on n.pool = x.value
group by n.pool, n.tenant
