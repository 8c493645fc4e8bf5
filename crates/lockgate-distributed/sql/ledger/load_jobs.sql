-- The standing of the jobs in $1 (ids), each once, locked in the order of their ids; an unknown id has no row.
-- $2 is ledger time, now (ms).
select s.id, s.state::text as state, s.dispatch, s.dispatched, s.started, s.executing, s.started_by, s.due_at, s.attempt, s.executions,
    s.unsettled, s.deferrals_in_row, s.reason, r.status = 'paused' as paused, coalesce(r.deadline_at <= $2::bigint, false) as expired,
    $2::bigint as now
from standings s join runs r on r.number = s.run
where s.id = any($1::uuid[])
order by s.id for update of s
