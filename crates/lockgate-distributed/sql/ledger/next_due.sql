-- Returns when something falls due next in active runs (ms since 1970, null: never). One row: `wall`, the
-- server's clock; `batches`; `retries`, jobs that are due again; `claims`, whose jobs become due again when
-- the claim ends; and `ended`, whether any claim has ended. $1 is the ledger time (ms). The recursion steps
-- through the index from one run with such jobs to the next, so a paused run with a million of them costs one
-- step.
with recursive t as (select $1::bigint as now), waiting (run) as (
    (select run from standings where due_at is not null order by run limit 1)
    union all
    select (select s.run from standings s where s.due_at is not null and s.run > w.run order by s.run limit 1)
    from waiting w where w.run is not null
)
select wall_now() as wall,
    (select min(r.next_due) from runs r
        where r.next_due is not null and r.status = 'active' and (r.deadline_at is null or r.deadline_at > t.now)) as batches,
    (select min(d.due_at)
        from waiting w
        join runs r on r.number = w.run and r.status = 'active' and (r.deadline_at is null or r.deadline_at > t.now)
        cross join lateral (
            select s.due_at from standings s where s.run = w.run and s.due_at is not null order by s.due_at limit 1
        ) d) as retries,
    (select c.until from claims c
        join runs r on r.number = c.run and r.status = 'active' and (r.deadline_at is null or r.deadline_at > t.now)
        order by c.until limit 1) as claims,
    exists (select from claims c where c.until <= t.now) as ended
from t
