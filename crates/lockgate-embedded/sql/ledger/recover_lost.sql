-- Makes at most ?3 jobs due at ?1 (now) whose runs use queue ?4, that were published before ?2, and have not started since.
-- Times are ms since 1970.
update jobs set state = 'scheduled', due_at = ?1, dispatched = 0, updated_at = ?1
where seq in (
    select j.seq
    from runs r cross join jobs j indexed by jobs_with_the_broker
        on j.run = r.number and j.state = 'enqueued' and j.started = 0 and j.updated_at <= ?2
    where r.queue = ?4
    limit ?3
)
