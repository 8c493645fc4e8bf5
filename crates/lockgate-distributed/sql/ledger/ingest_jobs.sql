-- Adds jobs to the inbox of number $1, as if their first dispatch had just been published; returns the id of each.
-- $2 ids, $3 keys, $4 tenants, $5 payloads: arrays of one length, no id twice. One that is there already by its id, or
-- whose key is taken, is passed over. The inbox is locked by this transaction.
-- $6 is ledger time, now (ms).
with added as (
    insert into jobs (run, id, key, tenant, payload)
    select $1::integer, x.id, x.key, x.tenant, x.payload
    from unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) with ordinality as x (id, key, tenant, payload, nth)
    where not exists (select from standings s where s.id = x.id)
    order by x.nth
    on conflict (run, key) do nothing
    returning seq, id
), standing as (
    insert into standings (id, seq, run, state, dispatch, dispatched, updated_at)
    select id, seq, $1, 'enqueued', 1, true, $6::bigint from added order by seq
), noted as (
    insert into publications (at, queue, run, jobs)
    select $6::bigint, r.queue, r.number, x.jobs
    from (select array_agg(id) as jobs from added having count(*) > 0) x join runs r on r.number = $1
)
select id from added
