-- Makes at most ?3 jobs due at ?1 (now) that were handed to the broker before ?2, and were not started since. ms since 1970.
update jobs set state = 'scheduled', due_at = ?1, dispatched = 0, updated_at = ?1
where seq in (
    select seq from jobs where state = 'enqueued' and started = 0 and updated_at <= ?2 order by updated_at limit ?3
)
