-- Ends expired pauses of pools.
-- ?1 now (virtual ms).
update pools set paused_until = null where paused_until <= ?1
