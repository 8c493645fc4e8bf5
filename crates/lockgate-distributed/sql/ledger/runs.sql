-- Returns at most $3 runs, newest first, with their jobs by state and their deferrals. Unless $1 is null,
-- returns only the run whose name is $1 or whose id is $2. `changes` is the number of rows that wait to be
-- folded into the counts.
-- Keeps: one statement sees one snapshot, so the counts of each run are consistent.
select r.*, t.*
from (
    select * from runs where $1::text is null or name = $1 or id = $2::uuid order by number desc limit $3
) r cross join lateral (
    select
        coalesce(sum(jobs) filter (where state = 'scheduled'), 0)::bigint as scheduled,
        coalesce(sum(jobs) filter (where state = 'enqueued'), 0)::bigint as enqueued,
        coalesce(sum(jobs) filter (where state = 'succeeded'), 0)::bigint as succeeded,
        coalesce(sum(jobs) filter (where state = 'skipped'), 0)::bigint as skipped,
        coalesce(sum(jobs) filter (where state = 'failed'), 0)::bigint as failed,
        coalesce(sum(jobs) filter (where state = 'cancelled'), 0)::bigint as cancelled,
        coalesce(sum(deferrals), 0)::bigint as deferrals,
        count(*) as changes
    from (
        select state, jobs, deferrals from counts where run = r.number
        union all
        select state, jobs, deferrals from count_changes where run = r.number
    ) x
) t
order by r.number desc
