-- Returns the ids of leases whose draining has ended, earliest end first.
-- ?1 now (virtual ms), ?2 maximum number of rows.
select id from leases where draining_until <= ?1 order by draining_until limit ?2
