-- Deletes at most $2 jobs of run number $1, unless one of its jobs is not terminal. Returns their number.
-- Keeps: the counts of a run match its jobs while it is pruned. This transaction has locked the run.
with run as (
    select number, pruned_to from runs r
    where number = $1 and not exists (
        select from tallies t where t.run = r.number and t.state in ('scheduled', 'enqueued') and t.jobs > 0)
), deleted as (
    delete from standings s using (
        select o.id from run join standings o on o.run = run.number and o.seq > run.pruned_to order by o.seq limit $2
    ) old
    where s.id = old.id
    returning s.seq
), texts as (
    delete from jobs j using deleted where j.seq = deleted.seq
), counted as (
    update runs r set
        planned = r.planned - (select count(*) from deleted),
        pruned_to = coalesce((select max(seq) from deleted), r.pruned_to)
    from run where r.number = run.number
)
select count(*) from deleted
