-- Ends every job of run number ?1 that is not over, for reason ?2, at ?3 (ms since 1970).
-- Keeps: a terminal state is never left.
update jobs set state = 'cancelled', reason = ?2, due_at = null, updated_at = ?3
where run = ?1 and state in ('scheduled', 'enqueued')
