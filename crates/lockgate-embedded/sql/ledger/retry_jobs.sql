-- Makes the jobs of run number ?1 in the states ?2 (JSON array, terminal ones) due at ?3 (now, ms since 1970), with all
-- their attempts. Their executions and dispatches keep counting, and a dispatch is passed over, so that nothing older may
-- speak for them.
update jobs set
    state = 'scheduled', due_at = ?3, dispatch = dispatch + 1, dispatched = 0, executing = 0, attempt = 0, unsettled = 0,
    deferrals_in_row = 0,
    reason = null, updated_at = ?3
where run = ?1 and state in (select value from json_each(?2))
