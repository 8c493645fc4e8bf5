-- What session ?1 holds, draining leases left out.
select id, session, request, fence, granted_at, stop, draining_until
from leases where session = ?1 and draining_until is null
