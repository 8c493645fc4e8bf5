-- Returns dead letters of a queue, oldest first.
-- ?1 queue, ?2 number of a single dead letter (null: all), ?3 page size.
select number, queue, envelope, reason, detail, died_at
from dead_letters where queue = ?1 and (?2 is null or number = ?2)
order by number limit ?3
