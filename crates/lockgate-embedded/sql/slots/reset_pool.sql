-- Begins a new epoch of pool ?1; its peak counts from what is in use.
update pools set epoch = epoch + 1,
    peak = coalesce((select sum(n.weight) from lease_needs n where n.pool = pools.name), 0)
where name = ?1
