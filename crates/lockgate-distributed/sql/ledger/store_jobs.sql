-- Stores jobs that this transaction has locked: $1 ids, $2 states, $3 dispatches, $4 dispatched, $5 started,
-- $6 executing, $7 started_by, $8 due_at (ms since 1970, or null), $9 attempts, $10 executions, $11
-- unsettled, $12 reasons, $13 deferrals in a row: arrays of one length. $14 is the ledger time (ms).
update standings s set
    state = x.state::job_state, dispatch = x.dispatch, dispatched = x.dispatched, started = x.started,
    executing = x.executing, started_by = x.started_by, due_at = x.due_at, attempt = x.attempt, executions = x.executions,
    unsettled = x.unsettled, reason = x.reason, deferrals_in_row = x.deferrals_in_row, updated_at = $14::bigint
from unnest($1::uuid[], $2::text[], $3::integer[], $4::boolean[], $5::boolean[], $6::boolean[], $7::bigint[], $8::bigint[],
    $9::integer[], $10::integer[], $11::smallint[], $12::text[], $13::integer[])
    as x (id, state, dispatch, dispatched, started, executing, started_by, due_at, attempt, executions, unsettled, reason, deferrals_in_row)
where s.id = x.id
