-- The waiters of pool ?1 that need more than ?2 slots of one pool: those that a change of its numbers may strand, or not any more.
select w.ticket, w.tenant, w.pools, w.needs, w.stranded from waiters w
where w.heaviest > ?2 and exists (select 1 from json_each(w.pools) x where x.value = ?1)
