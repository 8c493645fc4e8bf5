-- What session ?1 is to be told since number ?2: grants to its waiters, and orders to stop (stop is their number).
select id, request, fence, null as stop from leases
where session = ?1 and from_line = 1 and fence > ?2 and draining_until is null
union all
select id, request, fence, stop from leases where session = ?1 and stop > ?2 and draining_until is null
