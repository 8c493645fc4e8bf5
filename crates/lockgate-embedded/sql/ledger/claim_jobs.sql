-- Claims the jobs numbered in ?1 (JSON array of seq) until ?2 (ms since 1970), as batch ?3 (null: they keep theirs); ?4 is
-- now. Keeps: each dispatch of a job has a number of its own.
update jobs set dispatch = dispatch + 1, dispatched = 1, started = 0, due_at = ?2, batch = coalesce(?3, batch), updated_at = ?4
where seq in (select value from json_each(?1))
