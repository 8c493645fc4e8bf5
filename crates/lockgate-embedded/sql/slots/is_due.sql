-- Whether a session is dead, a lease has drained, or a pause is over, at ?1 (virtual ms): one row, 1 or 0.
select exists (select 1 from sessions where deadline <= ?1)
    or exists (select 1 from leases where draining_until <= ?1)
    or exists (select 1 from pools where paused_until <= ?1)
