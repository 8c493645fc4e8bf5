-- Stores leases that did not wait in the file: granted at once, or registered again after a loss of state.
-- ?1 session, ?2 JSON array of {id, request, fence, drain_for (ms)}, ?3 now (virtual ms).
insert into leases (id, session, process, request, fence, granted_at, drain_for, from_line)
select value ->> 'id', ?1, coalesce((select process from sessions where id = ?1), ''), value ->> 'request',
    value ->> 'fence', ?3, value ->> 'drain_for', 0
from json_each(?2)
