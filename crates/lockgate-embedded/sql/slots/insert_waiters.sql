-- Adds waiters in the order of the array. The caller sets the heads of their queues afterwards.
-- ?1 session, ?2 JSON array of {id, tenant, pools, needs, request, drain_for (ms), heaviest, stranded},
-- ?3 now (virtual ms).
insert into waiters (id, session, tenant, pools, needs, request, drain_for, heaviest, stranded, since, head)
select value ->> 'id', ?1, value ->> 'tenant', value ->> 'pools', value ->> 'needs', value ->> 'request',
    value ->> 'drain_for', value ->> 'heaviest', value ->> 'stranded', ?3, 0
from json_each(?2) order by key
