-- Records that the messages of jobs were confirmed, and returns the id of each for which that was news: $1 ids, each
-- once, $2 dispatches: arrays of one length.
-- Keeps: only the latest dispatch counts, and not when it was taken back, started or settled before this report came.
-- $3 is ledger time, now (ms).
with taken as (
    update standings s set state = 'enqueued', due_at = null, updated_at = $3::bigint
    from unnest($1::uuid[], $2::integer[]) as x (id, dispatch)
    where s.id = x.id and s.dispatch = x.dispatch and s.dispatched and s.state = 'scheduled'
    returning s.id, s.run
), noted as (
    insert into publications (at, queue, run, jobs)
    select $3::bigint, r.queue, t.run, array_agg(t.id) from taken t join runs r on r.number = t.run group by t.run, r.queue
)
select id from taken
