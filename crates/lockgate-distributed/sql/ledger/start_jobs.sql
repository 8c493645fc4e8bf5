-- Records the starts of jobs, and returns the execution of each that may run: $1 ids, each once, $2 dispatches, $3 tokens:
-- arrays of one length. What comes back without a row, `decide` looks at: it is stale, paused, expired, poisoned, or the
-- same start said again.
-- Keeps: only the latest dispatch starts its job; not more than $4 times in a row without a settlement.
update standings s set
    state = 'enqueued', due_at = null, reason = null, started = true, executing = true, started_by = x.token,
    attempt = s.attempt + 1, executions = s.executions + 1, unsettled = s.unsettled + 1, updated_at = ledger_now()
from unnest($1::uuid[], $2::integer[], $3::bigint[]) as x (id, dispatch, token), runs r
where s.id = x.id and s.dispatch = x.dispatch and s.dispatched and s.state in ('scheduled', 'enqueued') and s.unsettled < $4
    and not (s.executing and s.started_by = x.token)
    and r.number = s.run and r.status <> 'paused' and (r.deadline_at is null or r.deadline_at > ledger_now())
returning s.id, s.attempt, s.executions, s.updated_at
