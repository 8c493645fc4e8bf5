-- How many waiters of pool ?1 are stranded: one row.
select count(*) from waiters w, json_each(w.pools) x where w.stranded = 1 and x.value = ?1
