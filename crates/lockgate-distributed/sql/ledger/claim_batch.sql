-- Claims the next batch of one run for $1 (ms): of the active run whose batch has been due longest, unless
-- another process is claiming it. Returns its messages in the order of planning; no row when no batch is due;
-- one row without an id when the run has no job left that waits for a batch. $2 is the ledger time (ms).
-- Keeps: each dispatch of a job has a number of its own. The run's `place` only grows, so the last batch of a
-- million jobs costs as much as the first one.
with t as (
    select $2::bigint as now
), run as (
    select r.number, r.place, r.batch_size, r.batch_delay, r.batches, r.next_due, r.id, r.kind, r.queue
    from runs r
    where r.next_due <= $2::bigint and r.status = 'active' and (r.deadline_at is null or r.deadline_at > $2::bigint)
    order by r.next_due limit 1
    for update skip locked
), waiting as (
    -- One more than the batch, to know whether another batch follows.
    select w.id, w.seq, row_number() over (order by w.seq) as nth
    from run cross join lateral (
        select s.id, s.seq from standings s
        where s.run = run.number and s.seq > run.place and s.state = 'scheduled' and s.dispatch = 0 and s.due_at is null
        order by s.seq limit run.batch_size + 1
    ) w
), claimed as (
    update standings s set
        dispatch = 1, dispatched = true, batch = run.batches + 1, held_until = t.now + $1, updated_at = t.now
    from waiting w cross join run cross join t
    where s.id = w.id and w.nth <= run.batch_size
        and s.state = 'scheduled' and s.dispatch = 0 and s.due_at is null
    returning s.id, s.seq, s.dispatch
), new_claim as (
    insert into claims (until, run, jobs)
    select t.now + $1, run.number, array_agg(k.id) from claimed k cross join run cross join t group by t.now, run.number
), advanced as (
    update runs r set
        batches = r.batches + (select least(count(*), 1)::integer from claimed),
        place = coalesce((select max(w.seq) from waiting w where w.nth <= run.batch_size), r.place),
        last_batch_at = t.now,
        next_due = case
            when (select count(*) from waiting) > run.batch_size then greatest(run.next_due + run.batch_delay, t.now)
        end
    from run cross join t where r.number = run.number
)
select k.id, k.dispatch, run.id as run_id, run.kind, run.queue, j.key, j.tenant, j.payload
from run left join (
    -- Forces one index look-up for each job: a merge join would read all jobs from the first one on.
    claimed k cross join lateral (select key, tenant, payload from jobs where seq = k.seq limit 1) j
) on true
order by k.seq
