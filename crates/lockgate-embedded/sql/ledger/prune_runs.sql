-- Deletes sealed runs without jobs.
-- ?1 time before which they were created (ms since 1970), ?2 maximum number of runs.
delete from runs where number in (
    select r.number from runs r
    where r.created_at <= ?1 and r.status <> 'planning'
        and not exists (select 1 from jobs j where j.run = r.number)
    limit ?2
)
