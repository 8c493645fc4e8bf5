-- Skips at most ?2 jobs whose run's deadline has passed at ?1 (now, ms since 1970), for reason ?3.
update jobs set state = 'skipped', reason = ?3, due_at = null, updated_at = ?1
where seq in (
    select j.seq
    from runs r cross join jobs j on j.run = r.number and j.state in ('scheduled', 'enqueued')
    where r.deadline_at <= ?1
    limit ?2
)
