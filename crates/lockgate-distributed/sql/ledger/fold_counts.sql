-- Folds at most $1 changes into the counts, unless another process, which holds the lock $2, is at it. Nobody sees a change
-- in both places, or in neither.
with mine as materialized (
    select pg_try_advisory_xact_lock($2) as got
), gone as (
    delete from count_changes
    where ctid = any (array (select c.ctid from mine join count_changes c on mine.got limit $1))
    returning run, state, jobs, deferrals, at
)
insert into counts as c (run, state, jobs, deferrals, at)
select run, state, sum(jobs), sum(deferrals), max(at) from gone group by run, state order by run, state
on conflict (run, state) do update set
    jobs = c.jobs + excluded.jobs, deferrals = c.deferrals + excluded.deferrals, at = greatest(c.at, excluded.at)
