-- Starts a new epoch of a pool. Its peak starts at the slots in use now.
-- ?1 pool.
update pools set epoch = epoch + 1,
    peak = coalesce((select sum(n.weight) from lease_needs n where n.pool = pools.name), 0)
where name = ?1
