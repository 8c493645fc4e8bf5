-- Sets the cadence of a run.
-- ?1 number of the run, ?2 batch_size (jobs), ?3 batch_delay (ms), ?4 due time of its next batch (ms since
-- 1970; null: none).
update runs set batch_size = ?2, batch_delay = ?3, next_due = ?4 where number = ?1
