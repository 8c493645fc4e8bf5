-- Folds at most $1 rows of `count_changes` into `counts`, unless another process, which holds lock $2, is
-- folding. Readers see each change in exactly one of the two tables.
with lock as materialized (
    select pg_try_advisory_xact_lock($2) as got
), deleted as (
    delete from count_changes
    where ctid = any (array (select c.ctid from lock join count_changes c on lock.got limit $1))
    returning run, state, jobs, deferrals, at
)
insert into counts as c (run, state, jobs, deferrals, at)
select run, state, sum(jobs), sum(deferrals), max(at) from deleted group by run, state order by run, state
on conflict (run, state) do update set
    jobs = c.jobs + excluded.jobs, deferrals = c.deferrals + excluded.deferrals, at = greatest(c.at, excluded.at)
