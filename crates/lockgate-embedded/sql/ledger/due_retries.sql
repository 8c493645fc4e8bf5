-- At most ?2 jobs of runs that may dispatch, that are due again by ?1 (ms since 1970), the longest due first: retries, deferrals,
-- jobs that were taken back, and claims that were not published in time.
select j.seq, j.id, j.dispatch, j.key, j.tenant, j.payload, r.id as run_id, r.kind, r.queue
from jobs j cross join runs r on r.number = j.run
where j.due_at <= ?1 and r.status = 'active' and (r.deadline_at is null or r.deadline_at > ?1)
order by j.due_at limit ?2
