-- Returns the waiters of a pool that need more than a number of slots of one pool. Only these can become
-- stranded, or no longer be stranded, by a change of the pool.
-- ?1 pool, ?2 slots.
select w.ticket, w.tenant, w.pools, w.needs, w.stranded from waiters w
where w.heaviest > ?2 and exists (select 1 from json_each(w.pools) x where x.value = ?1)
