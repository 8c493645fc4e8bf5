-- At most ?2 leases whose draining is over at ?1 (virtual ms), the longest over first.
select id from leases where draining_until <= ?1 order by draining_until limit ?2
