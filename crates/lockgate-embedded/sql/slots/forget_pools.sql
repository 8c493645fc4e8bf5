-- Forgets all pools.
delete from pools
