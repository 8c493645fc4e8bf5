-- Records that the next batch of a run was claimed, and when the following one is due.
-- ?1 number of the run, ?2 now, ?3 due time of the following batch (null: none). Times are ms since 1970.
-- ?4 batches to add: 1, or 0 if no job was left.
update runs set batches = batches + ?4, last_batch_at = ?2, next_due = ?3 where number = ?1
