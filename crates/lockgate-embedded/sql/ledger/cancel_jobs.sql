-- Cancels all jobs of a run that are not settled.
-- ?1 number of the run, ?2 reason, ?3 now (ms since 1970).
-- Invariant: a job never leaves a terminal state.
update jobs set state = 'cancelled', reason = ?2, due_at = null, updated_at = ?3
where run = ?1 and state in ('scheduled', 'enqueued')
