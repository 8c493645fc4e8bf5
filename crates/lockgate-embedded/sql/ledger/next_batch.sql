-- Returns the next jobs of a run that wait for their batch, in the order of planning.
-- ?1 number of the run, ?2 maximum number of rows.
select j.seq, j.id, j.dispatch, j.key, j.tenant, j.payload, r.id as run_id, r.kind, r.queue
from runs r cross join jobs j on j.run = r.number and j.state = 'scheduled' and j.due_at is null
where r.number = ?1
order by j.seq limit ?2
