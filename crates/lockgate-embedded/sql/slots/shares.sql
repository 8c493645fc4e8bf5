-- Returns the own caps and weights of tenants in all pools.
-- ?1 JSON array of tenants.
select s.pool, s.tenant, s.cap, s.weight
from shares s where s.tenant in (select value from json_each(?1))
