-- Pauses a pool. Invariant: a running pause is not extended.
-- ?1 pool, ?2 end of the pause (virtual ms).
update pools set paused_until = ?2 where name = ?1 and paused_until is null
