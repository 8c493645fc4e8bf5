-- Deletes jobs of settled runs that have not changed recently, and returns the run number of each.
-- ?1 time before which the last change lies (ms since 1970), ?2 maximum number of jobs.
delete from jobs where seq in (
    select j.seq
    from runs r cross join jobs j on j.run = r.number
    where r.created_at <= ?1 and r.status <> 'planning'
        and not exists (select 1 from jobs o where o.run = r.number and o.state in ('scheduled', 'enqueued'))
        and not exists (select 1 from jobs o where o.run = r.number and o.updated_at > ?1)
    limit ?2
)
returning run
