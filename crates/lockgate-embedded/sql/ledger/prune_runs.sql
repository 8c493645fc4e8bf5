-- Forgets at most ?2 sealed runs made before ?1 (ms since 1970) that have no jobs.
delete from runs where number in (
    select r.number from runs r
    where r.created_at <= ?1 and r.status <> 'planning' and not exists (select 1 from jobs j where j.run = r.number)
    limit ?2
)
