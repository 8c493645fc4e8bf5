-- Returns due jobs of active runs, those due the longest first: retries, deferrals, returned jobs, and claims
-- that were not published in time.
-- ?1 now (ms since 1970), ?2 maximum number of rows.
select j.seq, j.id, j.dispatch, j.key, j.tenant, j.payload, r.id as run_id, r.kind, r.queue
from jobs j cross join runs r on r.number = j.run
where j.due_at <= ?1 and r.status = 'active' and (r.deadline_at is null or r.deadline_at > ?1)
order by j.due_at limit ?2
