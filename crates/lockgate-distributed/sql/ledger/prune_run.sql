-- Deletes run number $1 when it has no jobs, with its counts, claims and publications. Lock $2 keeps counts
-- from being folded meanwhile.
with locked as materialized (
    select pg_advisory_xact_lock($2)
), deleted as (
    delete from runs r using locked where r.number = $1 and not exists (select from standings s where s.run = r.number)
    returning r.number
), sums as (
    delete from counts c using deleted where c.run = deleted.number
), changes as (
    delete from count_changes c using deleted where c.run = deleted.number
), claimed as (
    delete from claims c using deleted where c.run = deleted.number
)
delete from publications p using deleted where p.run = deleted.number
