-- Records what deliveries of jobs came to, and returns the id and state of each for which that was news: $1 ids, each once,
-- $2 whether by an execution, $3 the number of that execution, or of the delivery's dispatch, $4 states, $5 due again
-- after (ms, null: not), $6 whether deferred, $7 reasons, $8 waited (ms), $9 ran (ms): arrays of one length.
-- Keeps: nothing older than the latest execution or dispatch says anything; a terminal state is never left.
update standings s set
    state = x.state::job_state, due_at = ledger_now() + x.after, reason = x.reason,
    deferrals = s.deferrals + x.deferred::integer,
    attempt = case when x.deferred and x.executed then greatest(s.attempt - 1, 0) else s.attempt end,
    unsettled = case when x.executed then 0 else s.unsettled end, dispatched = false,
    executing = s.executing and not x.executed,
    waited = x.waited, ran = case when x.executed then x.ran else s.ran end,
    settled_at = ledger_now(), updated_at = ledger_now()
from unnest($1::uuid[], $2::boolean[], $3::integer[], $4::text[], $5::bigint[], $6::boolean[], $7::text[], $8::integer[], $9::integer[])
    as x (id, executed, number, state, after, deferred, reason, waited, ran)
where s.id = x.id and s.state in ('scheduled', 'enqueued')
    and case when x.executed then s.executing and s.executions = x.number else s.dispatched and s.dispatch = x.number end
returning s.id, s.state::text as state
