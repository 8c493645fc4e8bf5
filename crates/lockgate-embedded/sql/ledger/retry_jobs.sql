-- Makes settled jobs of a run due now, with all their attempts.
-- ?1 number of the run, ?2 JSON array of terminal states, ?3 now (ms since 1970). Executions and dispatches
-- keep counting, and one dispatch number is skipped, so that no older delivery or execution can settle the
-- job.
update jobs set
    state = 'scheduled', due_at = ?3, dispatch = dispatch + 1, dispatched = 0, executing = 0,
    attempt = 0, unsettled = 0, deferrals_in_row = 0,
    reason = null, updated_at = ?3
where run = ?1 and state in (select value from json_each(?2))
