-- Stores the average hold times of pools.
-- ?1 JSON array of {pool, hold (ms)}.
update pools set hold = x.hold
from (select value ->> 'pool' as pool, value ->> 'hold' as hold from json_each(?1)) x
where pools.name = x.pool
