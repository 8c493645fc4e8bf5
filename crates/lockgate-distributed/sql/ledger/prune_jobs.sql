-- Forgets at most $2 jobs of run number $1, unless one of its jobs is not over. One row: how many.
-- Keeps: a run that is being pruned stays balanced. This transaction has locked the run.
with run as (
    select number, pruned_to from runs r
    where number = $1 and not exists (
        select from tallies t where t.run = r.number and t.state in ('scheduled', 'enqueued') and t.jobs > 0)
), gone as (
    delete from standings s using (
        select o.id from run join standings o on o.run = run.number and o.seq > run.pruned_to order by o.seq limit $2
    ) old
    where s.id = old.id
    returning s.seq
), texts as (
    delete from jobs j using gone where j.seq = gone.seq
), counted as (
    update runs r set
        planned = r.planned - (select count(*) from gone),
        pruned_to = coalesce((select max(seq) from gone), r.pruned_to)
    from run where r.number = run.number
)
select count(*) from gone
