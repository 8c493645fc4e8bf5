-- Skips jobs whose run has passed its deadline.
-- ?1 now (ms since 1970), ?2 maximum number of jobs, ?3 reason.
update jobs set state = 'skipped', reason = ?3, due_at = null, updated_at = ?1
where seq in (
    select j.seq
    from runs r cross join jobs j on j.run = r.number and j.state in ('scheduled', 'enqueued')
    where r.deadline_at <= ?1
    limit ?2
)
