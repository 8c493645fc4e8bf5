-- Deletes at most $1 claims that have ended, and makes their jobs due again unless they were published or
-- started in time. $2 is the ledger time (ms).
with ended as (
    delete from claims c using (
        select until, number from claims where until <= $2::bigint order by until limit $1 for update skip locked
    ) e
    where c.until = e.until and c.number = e.number
    returning c.jobs
)
update standings s set due_at = s.held_until
from (select unnest(jobs) as id from ended) x
where s.id = x.id and s.state = 'scheduled' and s.dispatched and s.due_at is null and s.held_until <= $2::bigint
