-- Sets the status of a run, and when its next batch is due.
-- ?1 number of the run, ?2 status, ?3 due time (ms since 1970; null: no batch is due).
update runs set status = ?2, next_due = ?3 where number = ?1
