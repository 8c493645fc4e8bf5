-- The caps and weights of their own that the tenants in ?1 (JSON array of names) have.
select s.pool, s.tenant, s.cap, s.weight
from shares s where s.tenant in (select value from json_each(?1))
