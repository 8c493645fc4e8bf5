-- Adds jobs to an external run, as if their first dispatch had been published now. Skips jobs whose id or key
-- exists.
-- ?1 number of the run, ?2 JSON array of {id, key, tenant, payload}, ?3 now (ms since 1970).
insert into jobs (id, run, key, tenant, payload, state, dispatch, dispatched, updated_at)
select value ->> 'id', ?1, value ->> 'key', value ->> 'tenant', value ->> 'payload', 'enqueued', 1, 1, ?3
from json_each(?2)
where true
order by json_each.key
on conflict do nothing
