-- Adds jobs to the inbox of number ?1, as if their first dispatch had been published at ?3 (now, ms since 1970): ?2 is a
-- JSON array of {id, key, tenant, payload}. One that is there already, or whose key is taken, is passed over.
insert into jobs (id, run, key, tenant, payload, state, dispatch, dispatched, updated_at)
select value ->> 'id', ?1, value ->> 'key', value ->> 'tenant', value ->> 'payload', 'enqueued', 1, 1, ?3
from json_each(?2)
where true
order by json_each.key
on conflict do nothing
