-- Checks jobs whose start is not recorded now. Returns the execution of each job that may run. `loaded.rs`
-- decides on jobs without a row, as for start_jobs.
-- $1 ids, no id twice, $2 dispatches, $3 how many unsettled starts each may have: arrays of one length. $4 is
-- the ledger time (ms).
-- Keeps: only the latest dispatch starts its job.
select s.id, s.attempt + 1 as attempt, s.executions + 1 as executions, s.deferrals_in_row, $4::bigint as updated_at
from unnest($1::uuid[], $2::integer[], $3::integer[]) as x (id, dispatch, unsettled) join standings s on s.id = x.id join runs r on r.number = s.run
where s.dispatch = x.dispatch and s.dispatched and s.state in ('scheduled', 'enqueued') and s.unsettled <= x.unsettled
    and r.status <> 'paused' and (r.deadline_at is null or r.deadline_at > $4::bigint)
