-- The standing of the jobs in $1 (ids), each once, locked in the order of their ids; an unknown id has no row.
select s.id, s.state::text as state, s.dispatch, s.dispatched, s.started, s.executing, s.started_by, s.due_at, s.attempt, s.executions,
    s.unsettled, s.deferrals_in_row, s.reason, r.status = 'paused' as paused, coalesce(r.deadline_at <= ledger_now(), false) as expired,
    ledger_now() as now
from standings s join runs r on r.number = s.run
where s.id = any($1::uuid[])
order by s.id for update of s
