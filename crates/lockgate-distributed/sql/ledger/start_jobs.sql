-- Records the starts of jobs, and returns the execution of each that may run: $1 ids, each once, $2 dispatches, $3 tokens,
-- $4 the numbers of executions that are underway already (null: the job does not run yet): arrays of one length. What comes
-- back without a row, `standing.rs` decides on: it is stale, paused, expired, poisoned, or the same start said again.
-- Where the message of a job that is underway has come twice, and the other delivery was put off, the job stays put off.
-- Keeps: only the latest dispatch starts its job; not more than $5 times in a row without a settlement.
-- $6 is ledger time, now (ms).
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
