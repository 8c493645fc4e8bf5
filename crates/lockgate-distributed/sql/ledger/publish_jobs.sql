-- Records that the messages of jobs were confirmed. Returns the ids of the jobs that this changed.
-- $1 ids, no id twice, $2 dispatches: arrays of one length. $3 is the ledger time (ms).
-- Keeps: a report counts only for the latest dispatch, and only when that was not returned, started or
-- settled before.
with published as (
    update standings s set state = 'enqueued', due_at = null, updated_at = $3::bigint
    from unnest($1::uuid[], $2::integer[]) as x (id, dispatch)
    where s.id = x.id and s.dispatch = x.dispatch and s.dispatched and s.state = 'scheduled'
    returning s.id, s.run
), publication as (
    insert into publications (at, queue, run, jobs)
    select $3::bigint, r.queue, t.run, array_agg(t.id) from published t join runs r on r.number = t.run group by t.run, r.queue
)
select id from published
