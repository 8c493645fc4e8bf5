-- Raises the peaks of pools to the slots in use now, draining ones included.
-- ?1 JSON array of pools.
update pools set
    peak = max(peak, coalesce((select sum(n.weight) from lease_needs n where n.pool = pools.name), 0))
where name in (select value from json_each(?1))
