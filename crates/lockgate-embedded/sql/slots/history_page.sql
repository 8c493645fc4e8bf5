-- Returns a page of the history of a pool.
-- ?1 pool, ?2 serial before the page, ?3 last serial of the page.
select at, number, lease, fence, weight, ended, from_slots, to_slots
from record where serial > ?2 and serial <= ?3 and pool = ?1 order by serial
