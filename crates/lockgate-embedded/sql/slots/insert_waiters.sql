-- Puts requests in line, in the order of the array ?2 (JSON: id, tenant, pools, needs, request, drain_for, heaviest, stranded), for session ?1,
-- at ?3 (virtual ms). The heads of their lines are named afterwards.
insert into waiters (id, session, tenant, pools, needs, request, drain_for, heaviest, stranded, since, head)
select value ->> 'id', ?1, value ->> 'tenant', value ->> 'pools', value ->> 'needs', value ->> 'request',
    value ->> 'drain_for', value ->> 'heaviest', value ->> 'stranded', ?3, 0
from json_each(?2) order by key
