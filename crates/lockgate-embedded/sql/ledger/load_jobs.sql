-- Returns the rows of jobs, and whether their run is paused or past its deadline (1 or 0). An unknown id has
-- no row.
-- ?1 JSON array of ids, ?2 now (ms since 1970).
select j.seq, j.id, j.state, j.dispatch, j.dispatched, j.started, j.executing, j.started_by, j.due_at,
    j.attempt, j.executions, j.unsettled, j.deferrals,
    j.deferrals_in_row, j.reason, j.waited, j.ran, j.settled_at, r.status = 'paused' as paused,
    coalesce(r.deadline_at <= ?2, 0) as expired
from json_each(?1) x cross join jobs j on j.id = x.value cross join runs r on r.number = j.run
