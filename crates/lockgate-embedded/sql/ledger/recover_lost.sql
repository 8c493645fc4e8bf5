-- Makes jobs due again that were published but never started, because their message was lost.
-- ?1 now, ?2 time before which they were published, ?3 maximum number of jobs, ?4 queue. Times are ms since
-- 1970.
update jobs set state = 'scheduled', due_at = ?1, dispatched = 0, updated_at = ?1
where seq in (
    select j.seq
    from runs r cross join jobs j indexed by jobs_with_the_broker
        on j.run = r.number and j.state = 'enqueued' and j.started = 0 and j.updated_at <= ?2
    where r.queue = ?4
    limit ?3
)
