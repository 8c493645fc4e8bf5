-- Adds jobs to the external run of number $1, as if their first dispatch had just been published. Returns the
-- id of each.
-- $2 ids, $3 keys, $4 tenants, $5 payloads: arrays of one length, no id twice. $6 is the ledger time (ms). A
-- job whose id or key exists is skipped. This transaction has locked the run.
with added as (
    insert into jobs (run, id, key, tenant, payload)
    select $1::integer, x.id, x.key, x.tenant, x.payload
    from unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) with ordinality as x (id, key, tenant, payload, nth)
    where not exists (select from standings s where s.id = x.id)
    order by x.nth
    on conflict (run, key) do nothing
    returning seq, id
), inserted as (
    insert into standings (id, seq, run, state, dispatch, dispatched, updated_at)
    select id, seq, $1, 'enqueued', 1, true, $6::bigint from added order by seq
), publication as (
    insert into publications (at, queue, run, jobs)
    select $6::bigint, r.queue, r.number, x.jobs
    from (select array_agg(id) as jobs from added having count(*) > 0) x join runs r on r.number = $1
)
select id from added
