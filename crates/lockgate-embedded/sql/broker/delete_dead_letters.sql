-- Deletes dead letters of a queue.
-- ?1 queue, ?2 JSON array of their numbers (empty: all).
delete from dead_letters
where queue = ?1 and (?2 = '[]' or number in (select value from json_each(?2)))
