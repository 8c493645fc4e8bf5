-- Claims at most $1 jobs of active runs that are due again, longest due first, for $2 (ms): retries,
-- deferrals, returned jobs, and claims that were not published in time. Returns their messages. $3 is the
-- ledger time (ms).
-- Keeps: each dispatch of a job has a number of its own.
with recursive t as (select $3::bigint as now), waiting (run) as (
    (select run from standings where due_at is not null order by run limit 1)
    union all
    select (select s.run from standings s where s.due_at is not null and s.run > w.run order by s.run limit 1)
    from waiting w where w.run is not null
), due as (
    select d.id
    from t cross join waiting w
    join runs r on r.number = w.run and r.status = 'active' and (r.deadline_at is null or r.deadline_at > t.now)
    cross join lateral (
        select s.id, s.due_at from standings s where s.run = w.run and s.due_at <= t.now order by s.due_at limit $1
    ) d
    order by d.due_at limit $1
), locked as (
    select s.id from standings s where s.id in (select id from due) and s.due_at <= (select now from t)
    order by s.id for update skip locked
), claimed as (
    update standings s set
        dispatch = s.dispatch + 1, dispatched = true, started = false, due_at = null, held_until = t.now + $2, updated_at = t.now
    from locked l cross join t
    where s.id = l.id
    returning s.id, s.seq, s.run, s.dispatch
), new_claim as (
    insert into claims (until, run, jobs)
    select t.now + $2, k.run, array_agg(k.id) from claimed k cross join t group by t.now, k.run
)
select k.id, k.dispatch, r.id as run_id, r.kind, r.queue, j.key, j.tenant, j.payload
from claimed k join runs r on r.number = k.run
cross join lateral (select key, tenant, payload from jobs where seq = k.seq limit 1) j
order by k.seq
