-- Writes back the standing of jobs that this transaction has locked: $1 ids, $2 states, $3 dispatched, $4 started,
-- $5 executing, $6 started_by, $7 due_at (ms since 1970, or null), $8 attempts, $9 executions, $10 unsettled, $11 reasons:
-- arrays of one length.
update standings s set
    state = x.state::job_state, dispatched = x.dispatched, started = x.started, executing = x.executing,
    started_by = x.started_by, due_at = x.due_at, attempt = x.attempt, executions = x.executions, unsettled = x.unsettled,
    reason = x.reason, updated_at = ledger_now()
from unnest($1::uuid[], $2::text[], $3::boolean[], $4::boolean[], $5::boolean[], $6::bigint[], $7::bigint[], $8::integer[],
    $9::integer[], $10::smallint[], $11::text[])
    as x (id, state, dispatched, started, executing, started_by, due_at, attempt, executions, unsettled, reason)
where s.id = x.id
