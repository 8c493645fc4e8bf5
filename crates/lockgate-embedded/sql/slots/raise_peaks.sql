-- Raises the peaks of the pools in ?1 (JSON array of names) to what is in use now, draining slots included.
update pools set peak = max(peak, coalesce((select sum(n.weight) from lease_needs n where n.pool = pools.name), 0))
where name in (select value from json_each(?1))
