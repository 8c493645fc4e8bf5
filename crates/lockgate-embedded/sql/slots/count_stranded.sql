-- Counts the stranded waiters of a pool. One row.
-- ?1 pool.
select count(*) from waiters w, json_each(w.pools) x where w.stranded = 1 and x.value = ?1
