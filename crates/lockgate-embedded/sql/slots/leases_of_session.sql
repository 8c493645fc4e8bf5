-- Returns the leases of a session that do not drain.
-- ?1 session.
select id, session, request, fence, granted_at, stop, draining_until
from leases where session = ?1 and draining_until is null
