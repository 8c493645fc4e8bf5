-- Loads the jobs with ids $1, and locks them in the order of their ids. An unknown id has no row. $2 is the
-- ledger time (ms).
select s.id, s.state::text as state, s.dispatch, s.dispatched, s.started, s.executing, s.started_by, s.due_at, s.attempt, s.executions,
    s.unsettled, s.deferrals_in_row, s.reason, r.status = 'paused' as paused, coalesce(r.deadline_at <= $2::bigint, false) as expired,
    $2::bigint as now
from standings s join runs r on r.number = s.run
where s.id = any($1::uuid[])
order by s.id for update of s
