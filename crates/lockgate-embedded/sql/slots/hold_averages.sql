-- Returns the average hold time of pools (ms; null: nothing was released yet).
-- ?1 JSON array of pools.
select p.name, p.hold from json_each(?1) x cross join pools p on p.name = x.value
