-- Writes changed job rows back.
-- ?1 JSON array of objects with the columns below, ?2 now (ms since 1970).
update jobs set
    state = x.state, dispatch = x.dispatch, dispatched = x.dispatched, started = x.started,
    executing = x.executing, started_by = x.started_by, due_at = x.due_at, attempt = x.attempt,
    executions = x.executions, unsettled = x.unsettled, deferrals = x.deferrals,
    deferrals_in_row = x.deferrals_in_row, reason = x.reason,
    waited = x.waited, ran = x.ran, settled_at = x.settled_at, updated_at = ?2
from (
    select value ->> 'seq' as seq, value ->> 'state' as state, value ->> 'dispatch' as dispatch,
        value ->> 'dispatched' as dispatched, value ->> 'started' as started,
        value ->> 'executing' as executing, value ->> 'started_by' as started_by,
        value ->> 'due_at' as due_at,
        value ->> 'attempt' as attempt,
        value ->> 'executions' as executions, value ->> 'unsettled' as unsettled,
        value ->> 'deferrals' as deferrals,
        value ->> 'deferrals_in_row' as deferrals_in_row, value ->> 'reason' as reason,
        value ->> 'waited' as waited,
        value ->> 'ran' as ran, value ->> 'settled_at' as settled_at
    from json_each(?1)
) x
where jobs.seq = x.seq
