-- Adds jobs to run number ?1: ?2 is a JSON array of {id, key, tenant, payload}, ?3 is now (ms since 1970).
-- Keeps: one job for each key of a run; what is there already is passed over. The array's order is the order of planning.
insert into jobs (id, run, key, tenant, payload, updated_at)
select value ->> 'id', ?1, value ->> 'key', value ->> 'tenant', value ->> 'payload', ?3
from json_each(?2)
where true
order by json_each.key
on conflict (run, key) do nothing
