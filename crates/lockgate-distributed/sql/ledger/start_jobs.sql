-- Records the starts of jobs. Returns the execution of each job that may run. `loaded.rs` decides on jobs
-- without a row: their start is stale, paused, expired, poisoned, or a repeated call.
-- $1 ids, no id twice; $2 dispatches; $3 tokens; $4 numbers of executions that run already (null: the job
-- does not run yet): arrays of one length. $6 is the ledger time (ms). When the message of a running job was
-- delivered twice and the other delivery was deferred, the job stays deferred.
-- Keeps: only the latest dispatch starts its job; at most $5 starts in a row without a settlement.
update standings s set
    state = case when s.dispatched then 'enqueued' else s.state end, due_at = case when s.dispatched then null else s.due_at end,
    started = true, executing = true, started_by = x.token,
    attempt = s.attempt + 1, executions = s.executions + 1, unsettled = s.unsettled + 1, updated_at = $6::bigint
from unnest($1::uuid[], $2::integer[], $3::bigint[], $4::integer[]) as x (id, dispatch, token, underway), runs r
where s.id = x.id and s.dispatch = x.dispatch and s.state in ('scheduled', 'enqueued')
    and not (s.executing and s.started_by = x.token) and r.number = s.run
    and case
        when x.underway is not null then s.executions = x.underway - 1
        else s.dispatched and s.unsettled < $5 and r.status <> 'paused' and (r.deadline_at is null or r.deadline_at > $6::bigint)
    end
returning s.id, s.attempt, s.executions, s.deferrals_in_row, s.updated_at
