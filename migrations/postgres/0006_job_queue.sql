-- Adds the queue of a job's messages to `job_records`.

create or replace view job_records as
select s.seq, s.id, s.run, r.id as run_id, r.kind, j.key, j.tenant, s.state::text as state, s.attempt, s.executions, s.deferrals,
    s.batch, case when s.state = 'scheduled' then coalesce(s.due_at, s.held_until) end as due_at, s.reason, s.waited, s.ran,
    s.updated_at, j.payload, r.queue
from standings s join jobs j on j.seq = s.seq join runs r on r.number = s.run;
