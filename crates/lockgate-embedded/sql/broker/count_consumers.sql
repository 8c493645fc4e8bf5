-- Counts the consumers of a queue that are alive.
-- ?1 queue, ?2 now (virtual ms). Returns one row.
select count(*) from consumers where queue = ?1 and deadline > ?2
