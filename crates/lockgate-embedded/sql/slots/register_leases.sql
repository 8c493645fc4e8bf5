-- Writes down leases of session ?1 that never stood in line, or are registered again after a loss of state: ?2 is a JSON
-- array of {id, request, fence, drain_for}, held since ?3 (virtual ms).
insert into leases (id, session, process, request, fence, granted_at, drain_for, from_line)
select value ->> 'id', ?1, coalesce((select process from sessions where id = ?1), ''), value ->> 'request',
    value ->> 'fence', ?3, value ->> 'drain_for', 0
from json_each(?2)
