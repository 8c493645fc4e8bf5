-- Adds jobs to a run in the order of the array. Skips jobs whose key exists in the run.
-- ?1 number of the run, ?2 JSON array of {id, key, tenant, payload}, ?3 now (ms since 1970).
-- Invariant: a run has one job per key.
insert into jobs (id, run, key, tenant, payload, updated_at)
select value ->> 'id', ?1, value ->> 'key', value ->> 'tenant', value ->> 'payload', ?3
from json_each(?2)
where true
order by json_each.key
on conflict (run, key) do nothing
