-- Returns the earliest due time of a batch, a retry or an unpublished claim of an active run (ms since 1970).
-- One row; null when nothing is due at any time.
-- ?1 now (ms since 1970).
select min(due) as due from (
    select min(next_due) as due from runs
    where status = 'active' and next_due is not null and (deadline_at is null or deadline_at > ?1)
    union all
    select due_at from (
        select j.due_at from jobs j cross join runs r on r.number = j.run
        where j.due_at is not null and r.status = 'active' and (r.deadline_at is null or r.deadline_at > ?1)
        order by j.due_at limit 1
    )
)
