-- Adds jobs to the run of id $1 and returns it, with `added`; no row when the run is not being planned. $2
-- ids, $3 keys, $4 tenants, $5 payloads: arrays of one length, in the order of planning. $6 is the ledger
-- time (ms).
-- Keeps: one job for each key of a run: a job whose key exists is skipped. A sealed run gets no job.
with run as (
    select number from runs where id = $1 and status = 'planning' for update
), added as (
    insert into jobs (run, id, key, tenant, payload)
    select run.number, x.id, x.key, x.tenant, x.payload
    from run cross join unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) with ordinality as x (id, key, tenant, payload, nth)
    order by x.nth
    on conflict (run, key) do nothing
    returning seq, run, id
), inserted as (
    insert into standings (id, seq, run, updated_at)
    select id, seq, run, $6::bigint from added order by seq
)
update runs r set planned = r.planned + (select count(*) from added)
from run where r.number = run.number
returning r.*, (select count(*) from added) as added
