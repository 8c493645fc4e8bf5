-- Records that a batch of run number ?1 went out at ?2: the next is due at ?3, or never (null). ms since 1970.
update runs set batches = batches + ?4, last_batch_at = ?2, next_due = ?3 where number = ?1
