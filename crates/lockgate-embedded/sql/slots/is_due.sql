-- Returns whether a session is dead, a lease has drained or a pause has ended: one row, 1 or 0.
-- ?1 now (virtual ms).
select exists (select 1 from sessions where deadline <= ?1)
    or exists (select 1 from leases where draining_until <= ?1)
    or exists (select 1 from pools where paused_until <= ?1)
