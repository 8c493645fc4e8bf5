-- Returns the notifications of a session since a number: grants to its waiters, and orders to stop (`stop` is
-- the number of the order, null for a grant).
-- ?1 session, ?2 number of the last notification.
select id, request, fence, null as stop from leases
where session = ?1 and from_line = 1 and fence > ?2 and draining_until is null
union all
select id, request, fence, stop from leases where session = ?1 and stop > ?2 and draining_until is null
