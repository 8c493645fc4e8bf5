-- Looks at jobs whose start may be recorded later, and returns the execution of each that may run: $1 ids, each once,
-- $2 dispatches: arrays of one length. What comes back without a row, `standing.rs` decides on, as in start_jobs.
-- Keeps: only the latest dispatch starts its job; a job with an unsettled start is not let through here.
select s.id, s.attempt + 1 as attempt, s.executions + 1 as executions, ledger_now() as updated_at
from unnest($1::uuid[], $2::integer[]) as x (id, dispatch) join standings s on s.id = x.id join runs r on r.number = s.run
where s.dispatch = x.dispatch and s.dispatched and s.state in ('scheduled', 'enqueued') and s.unsettled = 0
    and r.status <> 'paused' and (r.deadline_at is null or r.deadline_at > ledger_now())
