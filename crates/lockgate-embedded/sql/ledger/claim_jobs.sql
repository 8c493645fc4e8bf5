-- Claims jobs under their next dispatch numbers, until the hold ends.
-- ?1 JSON array of seq, ?2 end of the hold (ms since 1970), ?3 batch (null: unchanged), ?4 now (ms since
-- 1970).
-- Invariant: each dispatch of a job has a number of its own.
update jobs set dispatch = dispatch + 1, dispatched = 1, started = 0,
    due_at = ?2, batch = coalesce(?3, batch), updated_at = ?4
where seq in (select value from json_each(?1))
