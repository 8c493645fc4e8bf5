-- Moves the average time that slots of a pool are held by an eighth towards the newest: ?1 is a JSON array of {pool, hold}
-- (ms).
update pools set hold = coalesce((pools.hold * 7 + x.hold) / 8, x.hold)
from (select value ->> 'pool' as pool, value ->> 'hold' as hold from json_each(?1)) x
where pools.name = x.pool
