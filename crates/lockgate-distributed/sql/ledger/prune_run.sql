-- Forgets run number $1 when it has no jobs, and what was noted of it. $2 keeps a folding of counts away meanwhile.
with quiet as materialized (
    select pg_advisory_xact_lock($2)
), gone as (
    delete from runs r using quiet where r.number = $1 and not exists (select from standings s where s.run = r.number)
    returning r.number
), sums as (
    delete from counts c using gone where c.run = gone.number
), changes as (
    delete from count_changes c using gone where c.run = gone.number
), claimed as (
    delete from claims c using gone where c.run = gone.number
)
delete from publications p using gone where p.run = gone.number
