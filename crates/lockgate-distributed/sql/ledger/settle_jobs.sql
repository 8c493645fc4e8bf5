-- Settles jobs. Returns the id and new state of each job that this changed.
-- $1 ids, no id twice; $2 numbers of their executions (null: none); $3 dispatches (null: the execution is
-- recorded); $4 states; $5 due again after (ms, null: never); $6 whether deferred; $7 reasons; $8 waited (ms,
-- added to earlier waits); $9 ran (ms): arrays of one length. $10 is the ledger time (ms).
-- Keeps: a settlement counts only for the latest execution or dispatch; a terminal state is final; an
-- execution that is not recorded yet is the one after the last recorded execution.
update standings s set
    state = x.state::job_state, due_at = $10::bigint + x.after, reason = x.reason,
    deferrals = s.deferrals + x.deferred::integer,
    deferrals_in_row = case when x.deferred then s.deferrals_in_row + 1 else 0 end,
    attempt = case
        when x.execution is null then s.attempt
        else greatest(s.attempt + (x.dispatch is not null)::integer - x.deferred::integer, 0)
    end,
    executions = coalesce(x.execution, s.executions),
    unsettled = case when x.execution is null then s.unsettled else 0 end, dispatched = false,
    executing = s.executing and x.execution is null,
    waited = least(coalesce(s.waited, 0)::bigint + x.waited, 2147483647)::integer,
    ran = case when x.execution is null then s.ran else x.ran end,
    settled_at = $10::bigint, updated_at = $10::bigint
from unnest($1::uuid[], $2::integer[], $3::integer[], $4::text[], $5::bigint[], $6::boolean[], $7::text[], $8::integer[], $9::integer[])
    as x (id, execution, dispatch, state, after, deferred, reason, waited, ran)
where s.id = x.id and s.state in ('scheduled', 'enqueued')
    and case
        when x.dispatch is null then s.executing and s.executions = x.execution
        when x.execution is null then s.dispatched and s.dispatch = x.dispatch
        else s.dispatch = x.dispatch and s.executions = x.execution - 1
    end
returning s.id, s.state::text as state
