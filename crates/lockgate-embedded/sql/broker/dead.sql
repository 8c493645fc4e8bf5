-- At most ?3 dead letters of queue ?1, the oldest first; only the one of number ?2, unless that is null.
select number, queue, envelope, reason, detail, died_at
from dead_letters where queue = ?1 and (?2 is null or number = ?2)
order by number limit ?3
